import os
from pathlib import Path

import numpy as np
import pytest

from scgim import datasets

SHAPES = {
    "sciplex2_a549": (500, 198),
    "papalexi2021": (16192, 299),
    "hill2018": (5698, 28),
    "norman2019": (3375, 500),
    "sachs2005": (7466, 11),
    "hdstim_cytof": (4000, 30),
    "korkut2015": (89, 87),
    "dream4": (136, 10),
}
needs_data = pytest.mark.skipif(
    not os.environ.get("SCGIM_DATA"), reason="SCGIM_DATA names no folder of real data"
)


@needs_data
@pytest.mark.parametrize("name", SHAPES)
def test_screen_has_its_size_and_a_feature_row_for_each_perturbation(name):
    adata = getattr(datasets, name)()
    assert adata.shape == SHAPES[name]
    features = adata.uns["perturbation_features"]
    treated = adata.obs.loc[~adata.obs["is_control"], "perturbation"].astype(str).unique()
    assert {part for drug in treated for part in drug.split("+")} == set(features.index)
    np.testing.assert_array_equal(features, np.eye(len(features)))


@needs_data
def test_papalexi_keeps_uncertain_guides_on_request():
    assert datasets.papalexi2021(confident_only=False).n_obs == 20729


@needs_data
def test_loading_twice_gives_independent_objects():
    first = datasets.hill2018()
    first.X.data[:] = 0
    assert datasets.hill2018().X.sum() > 0


@needs_data
def test_compounds_and_their_fingerprints_share_an_index():
    compounds, fingerprints = datasets.sciplex_drugs(), datasets.sciplex_fingerprints()
    assert compounds.shape[0] == 188
    assert list(compounds.index) == list(fingerprints.index)
    assert set(np.unique(fingerprints)) == {0, 1}


@needs_data
@pytest.mark.parametrize(
    ("name", "n_rows"),
    [("sciplex_hdac_ic50", 15), ("compound_targets", 1046), ("sachs_reagents", 7)],
)
def test_table_has_one_row_per_compound(name, n_rows):
    table = getattr(datasets, name)()
    assert len(table) == n_rows
    assert table.index.is_unique


def test_unset_variable_is_named(monkeypatch):
    monkeypatch.delenv("SCGIM_DATA", raising=False)
    with pytest.raises(ValueError, match="The environment variable `SCGIM_DATA` is not set"):
        datasets.hill2018()


def test_missing_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SCGIM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"`SCGIM_DATA=.*nowhere'` is not a folder"):
        datasets.hill2018()


def test_missing_file_is_named(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("SCGIM_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"has no file 'hill2018_mcf10a_dox28\.h5ad'"):
        datasets.hill2018()


def test_unknown_dream4_network_is_named(monkeypatch):
    with pytest.raises(ValueError, match="`index=3` is not a choice"):
        datasets.dream4(100, 3)
