import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgim.model import GIM

SETUP = {
    "perturbation_key": "drug",
    "control": "vehicle",
    "dose_key": "dose",
    "features_key": "drug_features",
}


@pytest.fixture
def adata():
    """Two doses of three drugs, four cells each, and eight control cells."""
    design = [("vehicle", 0.0)] * 8
    design += [(f"drug_{i}", d) for i in range(3) for d in (1.0, 10.0) for _ in range(4)]
    obs = pd.DataFrame(design, columns=["drug", "dose"], index=[f"c{i}" for i in range(32)])
    counts = np.random.default_rng(0).poisson(3.0, size=(32, 6)).astype(np.float32) + 1
    adata = ad.AnnData(sp.csr_matrix(counts), obs=obs)
    adata.var_names = [f"gene_{i}" for i in range(6)]
    adata.uns["drug_features"] = pd.DataFrame(
        {"weight": [1.0, 2.0, 3.5, 9.0], "charge": [0.0, 1.0, -1.0, 0.0]},
        index=["drug_0", "drug_1", "drug_2", "drug_unseen"],
    )
    return adata


def whole(message):
    return f"^{re.escape(message)}$"


def refuses(adata, message, error=ValueError, **changes):
    """Check that set-up raises this message and writes nothing."""
    keys = set(adata.uns), list(adata.obs)
    with pytest.raises(error, match=whole(message)):
        GIM.setup_anndata(adata, **(SETUP | changes))
    assert (set(adata.uns), list(adata.obs)) == keys


def warns(adata, message, **changes):
    with pytest.warns(UserWarning, match=whole(message)):
        GIM.setup_anndata(adata, **(SETUP | changes))


def test_a_good_screen_is_accepted_without_a_word(adata, recwarn):
    GIM.setup_anndata(adata, **SETUP)
    assert not recwarn.list


def test_something_that_is_no_anndata_is_named(adata):
    message = (
        "`adata` is a DataFrame, but `GIM.setup_anndata` takes an `anndata.AnnData` of cells x "
        "genes."
    )
    with pytest.raises(TypeError, match=whole(message)):
        GIM.setup_anndata(adata.obs, **SETUP)


@pytest.mark.parametrize("argument", ["perturbation_key", "dose_key", "batch_key"])
def test_a_column_that_is_not_there_is_named_with_the_closest(adata, argument):
    refuses(
        adata,
        f"`{argument}='drugs'` is not a column of `adata.obs`. The columns closest to it are "
        "['drug']. Pass one of them to `GIM.setup_anndata`.",
        **{argument: "drugs"},
    )


@pytest.mark.parametrize(
    ("cell", "new", "pair"),
    [
        ("c9", "Drug_0 ", ("Drug_0 ", "drug_0")),
        ("c1", "Vehicle", ("vehicle", "Vehicle")),  # the control is named first
    ],
)
def test_two_spellings_of_one_drug_or_of_the_control_are_named(adata, cell, new, pair):
    adata.obs.loc[cell, "drug"] = new
    adata.uns["drug_features"].loc[new] = 0.5
    refuses(
        adata,
        f"`adata.obs['drug']` has {pair[0]!r} and {pair[1]!r}, which differ in upper case or "
        "blanks only and would be two perturbations. Give them one label or, if they are two, "
        "names that differ in more.",
        dose_key=None,
    )


def test_missing_labels_are_counted(adata):
    adata.obs.loc["c9", "drug"] = np.nan
    refuses(
        adata,
        "`adata.obs['drug']` is missing for 1 of 32 cells. Every cell needs the label of its "
        "perturbation or of the control. Fill them in, or drop these cells before "
        "`GIM.setup_anndata`.",
    )


def test_a_misspelt_control_is_named_with_the_closest_labels(adata):
    refuses(
        adata,
        "`control='Vehicel'` is not a value of `adata.obs['drug']`, so there are no control cells. "
        "The values closest to it are ['vehicle']. Pass the label of the control cells as "
        "`control`.",
        control="Vehicel",
    )


def test_a_screen_without_control_cells_is_refused(adata):
    refuses(
        adata[8:].copy(),
        "`control='vehicle'` is not a value of `adata.obs['drug']`, so there are no control cells. "
        "The values closest to it are ['drug_0', 'drug_1', 'drug_2']. Pass the label of the "
        "control cells as `control`.",
    )


def test_a_screen_with_nothing_but_control_cells_is_refused(adata):
    refuses(
        adata[:8].copy(),
        "All 8 cells are control cells (`control='vehicle'`), but a screen needs at least one "
        "perturbation in `adata.obs['drug']`. Add perturbed cells, or correct `control`.",
    )


def test_a_truncated_control_label_is_recognised(adata):
    adata.obs["drug"] = adata.obs.drug.to_numpy().astype("<U6")
    refuses(
        adata,
        "`control='vehicle'` is not a value of `adata.obs['drug']`, but 'vehicl' is: the labels "
        "look truncated to 6 characters, as numpy does when a longer string is written into a "
        "fixed-width array. Rebuild the column from untruncated labels (dtype=object), then call "
        "`GIM.setup_anndata` again.",
    )


def test_a_truncated_perturbation_label_is_recognised(adata):
    adata.uns["drug_features"] = adata.uns["drug_features"].rename(
        {"drug_1": "drug_1_hydrochloride"}
    )
    refuses(
        adata,
        "Perturbation 'drug_1' has no row in `adata.uns['drug_features']`. "
        "'drug_1_hydrochloride' has one: the label may have been truncated. Add its features, or "
        "drop its 8 cells before `GIM.setup_anndata`.",
    )


def test_perturbations_without_features_are_named_with_their_cells(adata):
    adata.uns["drug_features"] = adata.uns["drug_features"].drop(index=["drug_1", "drug_2"])
    refuses(
        adata,
        "Perturbation 'drug_1' has no row in `adata.uns['drug_features']` (2 perturbations have "
        "none). The rows closest to it are ['drug_0', 'drug_unseen']. Add its features, or drop "
        "its 8 cells before `GIM.setup_anndata`.",
    )


def test_cells_of_combinations_count_for_each_part(adata):
    adata.obs.loc[adata.obs.drug == "drug_0", "drug"] = "drug_0+drug_1"
    adata.uns["drug_features"] = adata.uns["drug_features"].drop(index="drug_1")
    with pytest.raises(ValueError, match="or drop its 16 cells before"):
        GIM.setup_anndata(adata, **SETUP)


def test_a_missing_feature_table_is_named_with_the_closest_entry(adata):
    refuses(
        adata,
        "`features_key='drug_feature'` is not an entry of `adata.uns`. The entries closest to it "
        "are ['drug_features']. Pass one of them, or write the features with "
        "`scgim.pp.perturbation_features`.",
        features_key="drug_feature",
    )


def test_features_that_are_no_table_are_refused(adata):
    adata.uns["drug_features"] = adata.uns["drug_features"].to_numpy()
    refuses(
        adata,
        "`adata.uns['drug_features']` is a ndarray, but perturbation features are a pandas "
        "DataFrame with one row per perturbation and one column per feature.",
        error=TypeError,
    )


def test_a_transposed_feature_table_is_recognised(adata):
    adata.uns["drug_features"] = adata.uns["drug_features"].T
    refuses(
        adata,
        "`adata.uns['drug_features']` has the perturbations in its columns and 'weight', 'charge' "
        "in its index, but rows must be perturbations. Pass its transpose, `features.T` of shape "
        "(4, 2).",
    )


def test_missing_feature_values_are_named_by_row_and_column(adata):
    adata.uns["drug_features"].loc["drug_2", "charge"] = np.nan
    refuses(
        adata,
        "`adata.uns['drug_features']` has 1 missing or infinite values, in the columns 'charge' of "
        "'drug_2'. Fill them in, or drop these columns or perturbations.",
    )


def test_text_features_are_named(adata):
    adata.uns["drug_features"]["target"] = ["EGFR", "MEK", "BRD4", "MEK"]
    refuses(
        adata,
        "`adata.uns['drug_features']` has columns that are not numbers: 'target'. Encode them, for "
        "example with `pandas.get_dummies`, or drop them.",
    )


def test_repeated_feature_rows_are_named(adata):
    features = adata.uns["drug_features"]
    adata.uns["drug_features"] = pd.concat([features, features.loc[["drug_1"]] + 1])
    refuses(
        adata,
        "`adata.uns['drug_features']` has several rows for 'drug_1', but each perturbation has "
        "one. Keep one row of each, for example `features[~features.index.duplicated()]`.",
    )


def test_constant_feature_columns_are_ignored_with_a_warning(adata):
    adata.uns["drug_features"]["assay"] = [7.0, 7.0, 7.0, 8.0]
    warns(
        adata,
        "1 of 3 columns of `adata.uns['drug_features']` are constant over the perturbations of the "
        "screen and will be ignored: 'assay'.",
    )
    assert GIM(adata, n_nodes=2).screen.table.features.columns.tolist() == ["weight", "charge"]


def test_bits_that_no_drug_of_the_screen_has_are_ignored_with_a_line_in_the_log(
    adata, recwarn, caplog
):
    adata.uns["drug_features"]["bit_7"] = [0, 0, 0, 1]
    with caplog.at_level("INFO", logger="scgim"):
        GIM.setup_anndata(adata, **SETUP)
    assert not recwarn.list
    assert "are constant over the perturbations of the screen and will be ignored: 'bit_7'" in (
        caplog.text
    )
    assert GIM(adata, n_nodes=2).screen.table.features.columns.tolist() == ["weight", "charge"]


def test_nothing_but_constant_features_is_refused(adata):
    adata.uns["drug_features"] = adata.uns["drug_features"] * 0
    with pytest.warns(UserWarning, match="share all features"):
        refuses(
            adata,
            "All 2 columns of `adata.uns['drug_features']` are constant over the perturbations of "
            "the screen, so they cannot tell them apart. Pass features that differ, or leave out "
            "`features_key`.",
        )


def test_perturbations_with_the_same_features_are_named(adata):
    adata.uns["drug_features"].loc["drug_2"] = adata.uns["drug_features"].loc["drug_0"]
    warns(
        adata,
        "2 perturbations share all features with another in `adata.uns['drug_features']`: "
        "'drug_0', 'drug_2'. No model can tell them apart when they are unseen. Add features that "
        "do, or merge them.",
    )


def test_negative_doses_are_named_with_their_perturbations(adata):
    adata.obs.loc[["c8", "c16"], "dose"] = -1.0
    refuses(
        adata,
        "`adata.obs['dose']` is negative for 2 cells of 'drug_0', 'drug_1', but a dose must be "
        "zero or positive, not a logarithm. Correct or drop these cells before "
        "`GIM.setup_anndata`.",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_doses_are_named_with_their_perturbations(adata, value):
    adata.obs.loc["c8", "dose"] = value
    refuses(
        adata,
        "`adata.obs['dose']` is missing or infinite for 1 cells of 'drug_0', but a dose must be a "
        "finite number. Correct or drop these cells before `GIM.setup_anndata`.",
    )


def test_text_doses_are_shown_with_the_function_that_reads_them(adata):
    adata.obs["dose"] = adata.obs.dose.map(lambda dose: f"{dose:g} uM")
    refuses(
        adata,
        "`adata.obs['dose']` holds text such as '0 uM', but doses are numbers in one unit. Convert "
        "them (`scgim.pp.normalize_dose` reads units), with 0 for control cells.",
    )


def test_control_cells_with_a_dose_are_counted(adata):
    adata.obs.loc[["c0", "c1"], "dose"] = 0.5
    refuses(
        adata,
        "2 control cells have a non-zero dose in `adata.obs['dose']`, for example 0.5, but the "
        "control is dose 0. Set the dose of control cells to 0, or correct `control`.",
    )


def test_treated_cells_at_dose_zero_are_named(adata):
    adata.obs.loc[["c8", "c9"], "dose"] = 0.0
    refuses(
        adata,
        "`adata.obs['dose']` must be positive for perturbed cells, but 2 cells of 'drug_0' have "
        "dose 0. Mark them as control or remove them.",
    )


def test_one_perturbation_is_accepted_with_a_warning(adata):
    one = adata[adata.obs.drug.isin(["vehicle", "drug_1"])].copy()
    warns(
        one,
        "The screen has one perturbation, 'drug_1'. Its doses can be predicted, unseen "
        "perturbations cannot, and its targets rest on gene programs alone. Add perturbations to "
        "learn from their features.",
    )


def test_a_condition_with_one_cell_is_named(adata):
    warns(
        adata[:-3].copy(),
        "1 of 7 conditions have a single cell: 'drug_2 at dose 10'. Their shifts will be almost "
        "unknown. Drop them, or read their intervals.",
    )


@pytest.mark.filterwarnings("ignore:Category 2 in adata.obs")  # scvi says so, too
def test_a_perturbation_with_one_cell_is_named_without_doses(adata):
    kept = np.r_[0:24, 31]
    warns(
        adata[kept].copy(),
        "1 of 4 conditions have a single cell: 'drug_2'. Their shifts will be almost unknown. Drop "
        "them, or read their intervals.",
        dose_key=None,
    )


def builds_not(adata, message, error=ValueError, **options):
    GIM.setup_anndata(adata, **SETUP)
    with pytest.raises(error, match=whole(message)):
        GIM(adata, **({"n_nodes": 2} | options))


def test_values_that_are_no_counts_are_refused(adata):
    adata.X = adata.X / 3
    builds_not(
        adata,
        "`adata.X` has values that are not whole numbers, but `gene_likelihood='nb'` is for raw "
        "counts. Pass `layer=` with the counts to `GIM.setup_anndata`, or use "
        "`gene_likelihood='normal'` for transformed expression.",
    )


def test_negative_values_are_refused_for_counts(adata):
    adata.X[0, 0] = -2
    builds_not(
        adata,
        "`adata.X` has negative values, but `gene_likelihood='poisson'` is for raw counts. Pass "
        "`layer=` with the counts to `GIM.setup_anndata`, or use `gene_likelihood='normal'` for "
        "transformed expression.",
        gene_likelihood="poisson",
    )


def test_the_layer_with_bad_values_is_named(adata):
    adata.layers["raw"] = adata.X / 3
    GIM.setup_anndata(adata, **SETUP, layer="raw")
    with pytest.raises(ValueError, match=r"^`adata\.layers\['raw'\]` has values that are not"):
        GIM(adata, n_nodes=2)


@pytest.mark.parametrize("likelihood", ["nb", "normal"])
def test_missing_expression_is_refused_whatever_the_likelihood(adata, likelihood):
    adata.X = adata.X.toarray()
    adata.X[3, 2] = np.nan
    builds_not(
        adata,
        "`adata.X` has missing or infinite values. Expression must be finite. Correct or drop "
        "these cells or genes.",
        gene_likelihood=likelihood,
    )


def test_empty_cells_are_counted(adata):
    adata.X = adata.X.toarray()
    adata.X[[4, 7]] = 0
    builds_not(
        adata,
        "2 cells have no counts in `adata.X`, the first of them in row 4. Remove them, for example "
        "with `sc.pp.filter_cells(adata, min_counts=1)`.",
    )


def test_empty_genes_are_named_with_a_warning(adata):
    adata.X = adata.X.toarray()
    adata.X[:, 2] = 0
    GIM.setup_anndata(adata, **SETUP)
    message = (
        "1 genes have no counts in `adata.X`: 'gene_2'. Nothing can be learned about them. Remove "
        "them, for example with `sc.pp.filter_genes(adata, min_counts=1)`."
    )
    with pytest.warns(UserWarning, match=whole(message)):
        GIM(adata, n_nodes=2)


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("gene_likelihood", "negbin", "['nb', 'zinb', 'poisson', 'normal']"),
        ("dose_response", "Hill", "['hill', 'free']"),
    ],
)
def test_options_with_typos_are_named_with_their_choices(adata, option, value, choices):
    builds_not(
        adata,
        f"`{option}={value!r}` is not a choice. Choose one of {choices}.",
        **{option: value},
    )


def test_an_unknown_causal_space_is_named(adata):
    GIM.setup_anndata(adata, **SETUP)
    with pytest.raises(ValueError, match=r"^`causal_space='program'` is not a choice\. Choose one"):
        GIM(adata, n_nodes=2, causal_space="program")


@pytest.mark.parametrize("n_nodes", [1, 2.5])
def test_a_graph_has_at_least_two_nodes(adata, n_nodes):
    builds_not(
        adata,
        f"`n_nodes={n_nodes!r}`, but a causal graph has at least 2 nodes. Raise it.",
        n_nodes=n_nodes,
    )


def _mask(adata, values=None, columns=("p53", "MAPK")):
    values = np.eye(2)[np.arange(6) % 2] if values is None else values
    return pd.DataFrame(values, index=adata.var_names, columns=list(columns))


def test_a_missing_program_mask_is_named_with_the_closest_entry(adata):
    adata.varm["pathways"] = _mask(adata)
    refuses(
        adata,
        "`program_mask_key='pathway'` is not an entry of `adata.varm`. The entries closest to it "
        "are ['pathways']. Pass one of them, or leave it out.",
        program_mask_key="pathway",
    )


def test_a_program_mask_without_names_is_refused(adata):
    adata.varm["pathways"] = _mask(adata).to_numpy()
    refuses(
        adata,
        "`adata.varm['pathways']` is a ndarray, but a program mask is a DataFrame whose columns "
        "name the programs. Wrap it: `pd.DataFrame(mask, index=adata.var_names, columns=names)`.",
        error=TypeError,
        program_mask_key="pathways",
    )


def test_a_program_mask_with_weights_is_refused(adata):
    adata.varm["pathways"] = _mask(adata, np.eye(2)[np.arange(6) % 2] * 0.5)
    refuses(
        adata,
        "`adata.varm['pathways']` has values other than 0 and 1, for example 0.5, but a program "
        "mask says which gene may belong to which program. Pass `mask != 0`.",
        program_mask_key="pathways",
    )


def test_programs_without_genes_are_named(adata):
    adata.varm["pathways"] = _mask(adata, np.eye(2)[np.zeros(6, int)])
    refuses(
        adata,
        "`adata.varm['pathways']` has programs without genes: 'MAPK'. Drop these columns.",
        program_mask_key="pathways",
    )
