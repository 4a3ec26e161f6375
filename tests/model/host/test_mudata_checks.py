import re

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

from scgim.model.host import _mudata_checks as v

BOTH = {"rna_layer": "rna", "protein_layer": "adt"}


def _says(message, error=ValueError):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def _modality(cells, variables):
    obs, var = pd.DataFrame(index=list(cells)), pd.DataFrame(index=list(variables))
    return ad.AnnData(np.ones((len(obs), len(var)), np.float32), obs, var)


@pytest.fixture
def mdata():
    return md.MuData({"rna": _modality("abc", ["g1", "g2"]), "adt": _modality("abc", ["CD3"])})


def test_a_screen_of_one_modality_is_sent_elsewhere():
    message = (
        "`mdata` is a AnnData, but the model was set up with RNA and protein as modalities of a "
        "`mudata.MuData`. Pass one, or use `GIM.setup_anndata` for RNA alone."
    )
    with _says(message, TypeError):
        v.check_mudata(_modality("abc", ["g1"]), BOTH)


def test_an_unknown_layer_argument_is_named(mdata):
    message = (
        "`modalities` has the keys ['atac_layer', 'rna_layer'], but `GIM.setup_mudata` reads "
        "['rna_layer', 'protein_layer']. Pass for example "
        "`modalities={'rna_layer': 'rna', 'protein_layer': 'protein'}`."
    )
    with _says(message):
        v.check_mudata(mdata, {"rna_layer": "rna", "atac_layer": "adt"})


def test_a_missing_modality_is_named(mdata):
    v.check_mudata(mdata, BOTH)
    message = (
        "`modalities['protein_layer']='protein'` is not a modality of `mdata`. The modalities "
        "closest to it are ['rna', 'adt']. Pass one of them."
    )
    with _says(message):
        v.check_mudata(mdata, {**BOTH, "protein_layer": "protein"})


def test_a_modality_that_lacks_cells_is_named():
    mdata = md.MuData({"rna": _modality("abc", ["g1"]), "adt": _modality("ac", ["CD3"])})
    message = (
        "The modality 'adt' lacks 1 of 3 cells, for example 'b', but every cell needs every "
        "modality. Keep the cells that all modalities share (`mudata.MuData` of the subsetted "
        "modalities), or leave the modality out."
    )
    with _says(message):
        v.check_mudata(mdata, BOTH)


def test_cells_in_another_order_are_noticed():
    mdata = md.MuData({"rna": _modality("abc", ["g1"]), "adt": _modality("cab", ["CD3"])})
    message = (
        "The modality 'adt' has its cells in another order than `mdata.obs`, so its values would "
        "be read for other cells. Bring it in order: `modality[mdata.obs_names]`, then build the "
        "`mudata.MuData` again."
    )
    with _says(message):
        v.check_mudata(mdata, BOTH)


def test_cells_of_another_kind_than_those_of_training_are_refused(mdata):
    genes = np.array(["g1", "g2"])
    v.check_variables(mdata, {"rna": genes, "adt": np.array(["CD3"])})
    message = (
        "The cells are a MuData, but the model was set up with an AnnData. Pass the modality with "
        "its genes."
    )
    with _says(message, TypeError):
        v.check_variables(mdata, genes)
    message = (
        "The cells are a AnnData, but the model was set up with a MuData of 'rna', 'adt'. Pass "
        "cells with these modalities."
    )
    with _says(message, TypeError):
        v.check_variables(mdata["rna"], {"rna": genes, "adt": np.array(["CD3"])})


def test_a_modality_of_training_that_is_missing_is_named(mdata):
    message = (
        "The cells have no modality 'protein', with which the model was set up. Add it under this "
        "name."
    )
    with _says(message):
        v.check_variables(mdata, {"protein": np.array(["CD3"])})


def test_features_of_a_modality_are_read_once_per_perturbation():
    modality = _modality("abcd", ["size", "charge"])
    modality.X[:2] = 3
    labels = pd.Series(["x", "x", "y", "y"])
    table = v.features_of_modality(modality, labels, "drug")
    assert table.loc["x"].tolist() == [3, 3]
    assert table.loc["y"].tolist() == [1, 1]
    modality.X[0, 1] = 7
    message = (
        "Cells of 'x' differ in their features in the modality 'drug', but all cells of a "
        "perturbation have the same features. Correct them, or pass a table with one row per "
        "perturbation in `mdata.uns`."
    )
    with _says(message):
        v.features_of_modality(modality, labels, "drug")
