import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.pp import normalize_dose


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("nM", 2.0), ("µM", 2e3), ("uM", 2e3), ("\u03bcM", 2e3), ("mM", 2e6), ("pM", 2e-3)],
)
def test_numbers_are_converted_from_the_declared_unit(make_screen, unit, expected):
    adata = make_screen(dose=[0.0, 2.0])
    normalize_dose(adata, "dose", unit=unit)
    assert adata.obs["dose_nM"].tolist() == [0.0, expected]


def test_text_is_converted_from_the_unit_each_entry_names(make_screen):
    adata = make_screen(dose=["0", "10 nM", "0.3uM", "1e-3 mM", "5 µM"])
    report = normalize_dose(adata, "dose")
    assert adata.obs["dose_nM"].tolist() == [0.0, 10.0, 300.0, 1000.0, 5000.0]
    assert report["unit"].tolist()[1:] == ["nM", "µM", "mM", "µM"]


def test_report_says_what_was_done_and_stays_with_the_data(make_screen, tmp_path):
    adata = make_screen(dose=[0.0, 1.0, 1.0])
    report = normalize_dose(adata, "dose", unit="µM", key_added="nanomolar")
    expected = pd.DataFrame(
        {"found": ["0", "1"], "unit": ["µM", "µM"], "dose": [0.0, 1000.0], "n_cells": [1, 2]},
        index=["0", "1"],
    )
    pd.testing.assert_frame_equal(report, expected, check_index_type=False)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    stored = ad.read_h5ad(tmp_path / "screen.h5ad").uns["nanomolar_conversion"]
    assert stored["dose"].tolist() == [0.0, 1000.0]


def test_original_doses_stay(make_screen):
    adata = make_screen(dose=[0.0, 1.0])
    normalize_dose(adata, "dose", unit="µM", to="mM")
    assert adata.obs["dose"].tolist() == [0.0, 1.0]
    assert adata.obs["dose_mM"].tolist() == [0.0, 0.001]


def test_binary_rounding_leaves_no_trace(make_screen):
    adata = make_screen(dose=[0.07, 0.29, 1.1])
    normalize_dose(adata, "dose", unit="µM")
    assert adata.obs["dose_nM"].tolist() == [70.0, 290.0, 1100.0]


def test_categories_and_integers_are_read(make_screen):
    adata = make_screen(dose=pd.Categorical(["10 nM", "0 nM"]), number=np.array([10, 0]))
    normalize_dose(adata, "dose")
    normalize_dose(adata, "number", unit="nM")
    assert adata.obs["dose_nM"].tolist() == adata.obs["number_nM"].tolist() == [10.0, 0.0]


def test_number_without_unit_asks_for_it(make_screen):
    message = (
        "`adata.obs['dose']` holds doses without a unit: '1'. Expected a unit for each. Declare it, "
        "for example with `unit='nM'`."
    )
    for dose in ([0.0, 1.0], ["10 nM", "1"]):
        adata = make_screen(dose=dose)
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            normalize_dose(adata, "dose")
        assert list(adata.obs) == ["dose"]


def test_entry_with_another_unit_than_declared_is_named(make_screen):
    message = (
        "`unit='nM'` contradicts entries of `adata.obs['dose']` that name another unit: '1 µM'. "
        "Leave `unit` out to use the units that are written, or correct the entries."
    )
    adata = make_screen(dose=["10 nM", "1 µM"])
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        normalize_dose(adata, "dose", unit="nM")
    assert list(adata.obs) == ["dose"]


@pytest.mark.parametrize("entry", ["-1 nM", "high", "10 mg", np.nan, "inf nM", "1,5 nM"])
def test_entry_that_is_no_dose_is_named_and_nothing_is_written(make_screen, entry):
    adata = make_screen(dose=["1 nM", entry])
    named = "missing" if isinstance(entry, float) else entry
    with pytest.raises(ValueError, match=f"holds entries that are not a dose: '{named}'"):
        normalize_dose(adata, "dose")
    assert list(adata.obs) == ["dose"]
    assert not adata.uns


def test_unknown_unit_names_the_choices(make_screen):
    message = r"`unit='nm'` is not a unit of dose that scgim knows\. The choices are \['pM', 'nM'"
    with pytest.raises(ValueError, match=message):
        normalize_dose(make_screen(dose=[1.0]), "dose", unit="nm")


def test_unknown_column_gets_the_closest(make_screen):
    with pytest.raises(ValueError, match=r"`dose_key='Dose'` is not a column.*\['dose'\]"):
        normalize_dose(make_screen(dose=[1.0]), "Dose", unit="nM")


def test_dose_that_no_drug_is_given_at_is_a_warning(make_screen):
    adata = make_screen(dose=[0.0, 10_000.0])
    with pytest.warns(UserWarning, match=r"run from 10 to 10 mol/l\..*Check the unit") as caught:
        normalize_dose(adata, "dose", unit="mM")
    assert caught[0].filename == __file__


def test_control_only_is_converted_to_zero(make_screen):
    adata = make_screen(dose=[0, 0])
    normalize_dose(adata, "dose", unit="nM")
    assert adata.obs["dose_nM"].tolist() == [0.0, 0.0]
