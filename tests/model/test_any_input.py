"""Whatever a user passes ends in finite results or in an error in scgim's own words."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scgim.cli._errors import is_user_error
from scgim.cli._tables_from_files import read_conditions, read_features
from scgim.model import GIM

pytestmark = pytest.mark.filterwarnings("ignore")
quickly = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
numbers = st.one_of(
    st.floats(), st.integers(-5, 10**12), st.sampled_from([0, 1e-13, 1e-300, 1e300, 10.0, np.nan])
)
scalars = st.one_of(
    numbers,
    st.booleans(),
    st.none(),
    st.complex_numbers(),
    st.text(max_size=6),
    st.sampled_from(["drug_a", "drug_a+drug_b", "drug_x", "vehicle", "lane_1", "NA", "1", "1,5"]),
)
labels = st.one_of(
    scalars, st.sampled_from(["drug_a", "drug_b+drug_a", "drug_x", "drug_a+drug_a", "vehicle"])
)
values = {"labels": labels, "doses": st.one_of(st.just(1.0), numbers, scalars), "others": scalars}


def columns(rows):
    return st.fixed_dictionaries(
        {"drug": st.lists(labels, min_size=rows, max_size=rows)},
        optional={
            "dose": st.lists(values["doses"], min_size=rows, max_size=rows),
            "lane": st.lists(scalars, min_size=rows, max_size=rows),
            "note": st.lists(scalars, min_size=rows, max_size=rows),
        },
    )


def outcome(call):
    """What a call gives, or ``None`` for an error of ours; any other error is a defect."""
    try:
        return call()
    except (ValueError, TypeError, RuntimeError) as error:
        if not is_user_error(error):
            raise
        return None


def is_finite(predicted):
    matrix = predicted.X.data if sp.issparse(predicted.X) else predicted.X
    return np.isfinite(matrix).all()


@quickly
@given(table=st.integers(0, 3).flatmap(columns))
def test_any_table_of_conditions(model, table):
    asked = pd.DataFrame({key: pd.Series(column, dtype=object) for key, column in table.items()})
    before = asked.copy(deep=True)
    for call in (lambda: model.predict_shift(asked), lambda: model.predict(asked, n_cells=3)):
        predicted = outcome(call)
        assert predicted is None or is_finite(predicted)
    pd.testing.assert_frame_equal(asked, before)


@quickly
@given(
    asked=st.one_of(
        scalars, st.lists(st.one_of(scalars, st.tuples(labels, values["doses"])), max_size=3)
    )
)
def test_any_list_of_conditions(model, asked):
    predicted = outcome(lambda: model.predict_shift(asked))
    assert predicted is None or is_finite(predicted)


@quickly
@given(
    shifts=st.dictionaries(
        st.one_of(scalars, st.sampled_from(["program_0", "program_1"])), scalars, max_size=2
    ),
    kind=st.one_of(st.sampled_from(["shift", "set", "scale"]), scalars),
)
def test_any_intervention_by_hand(model, shifts, kind):
    nodes = dict(zip(["program_0", "program_1"], model.node_names_, strict=False))
    named = {nodes.get(name, name): value for name, value in shifts.items()}
    predicted = outcome(lambda: model.do(named, kind=kind, n_cells=3, output="nodes"))
    assert predicted is None or is_finite(predicted)


@quickly
@given(
    cells=st.lists(scalars, min_size=4, max_size=4),
    name=st.sampled_from(["new", "drug_x", "drug_a+drug_b", "vehicle"]),
)
def test_any_features_of_a_new_perturbation(model, cells, name):
    registered = list(model.screen.table.features.columns)
    table = pd.DataFrame([cells], index=[name], columns=registered, dtype=object).infer_objects()
    before = table.copy(deep=True)
    dose = 1.0
    predicted = outcome(lambda: model.predict_shift([(name, dose)], features=table))
    assert predicted is None or is_finite(predicted)
    pd.testing.assert_frame_equal(table, before)


@quickly
@given(
    key=st.sampled_from(["drug", "dose", "lane", "age", "size"]),
    value=scalars,
    where=st.sampled_from(["one cell", "half", "all"]),
)
def test_any_value_in_a_column_at_set_up(screen, key, value, where):
    adata = screen.copy()
    adata.obs["size"] = 1.0
    column = adata.obs[key].astype(object)
    rows = {"one cell": [3], "half": range(0, adata.n_obs, 2), "all": range(adata.n_obs)}[where]
    column.iloc[list(rows)] = pd.Series([value] * len(rows), dtype=object).to_numpy()
    adata.obs[key] = column.infer_objects()
    before = adata.obs.copy(deep=True)
    outcome(
        lambda: GIM(
            _set_up(adata),
            n_nodes=3,
        )
    )
    own = [name for name in adata.obs if not name.startswith("_scvi")]
    pd.testing.assert_frame_equal(adata.obs[own], before)


def _set_up(adata):
    GIM.setup_anndata(
        adata,
        "drug",
        "vehicle",
        dose_key="dose",
        features_key="drug_features",
        batch_key="lane",
        continuous_covariate_keys="age",
        size_factor_key="size",
    )
    return adata


@quickly
@given(value=numbers, dtype=st.sampled_from(["float32", "float64", "float16", "int64", "uint16"]))
def test_any_value_in_the_expression(screen, value, dtype):
    adata = screen.copy()
    with np.errstate(all="ignore"):
        counts = adata.X.toarray()
        counts[5, 3] = np.float64(value)
        adata.X = counts.astype(dtype)
    for likelihood in ("nb", "normal"):
        outcome(
            lambda likelihood=likelihood: GIM(
                _set_up_plain(adata), n_nodes=3, gene_likelihood=likelihood
            )
        )


def _set_up_plain(adata):
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="drug_features")
    return adata


@quickly
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.lists(st.text('ab,;\n"\t0.NA', max_size=8), max_size=6).map("\n".join),
    )
)
@pytest.mark.parametrize("header", ["", "drug,dose\n", "drug,f1,f2\n"])
def test_any_text_in_a_csv_file(tmp_path, header, text):
    path = tmp_path / "table.csv"
    path.write_bytes((header + text).encode("utf-8", "surrogatepass"))
    conditions = outcome(lambda: read_conditions(path, "drug"))
    assert conditions is None or conditions["drug"].map(lambda name: bool(name.strip())).all()
    features = outcome(lambda: read_features(path))
    assert features is None or all(map(pd.api.types.is_numeric_dtype, features.dtypes))
