import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scgim.evaluation import evaluate_generator

N, GENES = 20, 40


def make(rng, *, from_features=1.0, own=0.3, lines=("a", "b")):
    names = [f"drug_{i}" for i in range(N)]
    features = pd.DataFrame(rng.normal(size=(N, 3)), index=names, columns=["x", "y", "z"])
    common = rng.normal(size=GENES) + from_features * features.to_numpy() @ rng.normal(
        size=(3, GENES)
    )
    rows = [common + own * rng.normal(size=(N, GENES)) for _ in lines]
    obs = pd.DataFrame(
        {"perturbation": names * len(lines), "line": np.repeat(list(lines), N)},
        index=[str(i) for i in range(N * len(lines))],
    )
    return AnnData(np.concatenate(rows), obs=obs), features


@pytest.fixture(scope="module")
def informative():
    effects, features = make(np.random.default_rng(0))
    return evaluate_generator(effects, features, context_key="line", n_folds=4)


def test_features_that_tell_effects_beat_the_mean(informative):
    summary = informative.summary()
    assert summary.loc["GIM", "r2"] > 0.4
    assert abs(summary.loc["population mean", "r2"]) < 0.05


def test_an_effect_carries_over_to_a_context_that_agrees(informative):
    assert informative.summary().loc["other contexts, shrunk", "r2_from_control"] > 0.8


def test_predictions_are_in_the_order_of_the_design(informative):
    assert informative.design.perturbation.iloc[N] == "drug_0"
    assert {len(table) for table in informative.predictions.values()} == {2 * N}


def test_features_that_say_nothing_are_not_used():
    effects, features = make(np.random.default_rng(1), from_features=0.0, lines=("a",))
    table = pd.DataFrame(effects.X, index=effects.obs.perturbation)
    assert evaluate_generator(table, features, n_folds=4).summary().loc["GIM", "r2"] > -0.1


def test_effects_of_a_line_that_disagrees_are_shrunk():
    rng = np.random.default_rng(2)
    effects, features = make(rng, lines=("a", "b", "c"))
    effects.X[:] = rng.normal(size=effects.shape)
    scores = evaluate_generator(effects, features, context_key="line", n_folds=2)
    assert scores.summary().loc["other contexts, shrunk", "r2_from_control"] > -0.1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e, f: (e[[*range(N), 0]], f), "more than one row of 'drug_0'"),
        (lambda e, f: (e, f.iloc[1:]), "`features` has no row for 'drug_0'"),
        (lambda e, f: (e[:5], f), "has 5 perturbations, and at least 8"),
        (lambda e, f: (e, f.replace(f.iloc[0, 0], np.nan)), "a number is missing"),
        (lambda e, f: (e, pd.concat([f, f.iloc[:1]])), "a row is there twice"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(spoil, message):
    effects, features = spoil(*make(np.random.default_rng(3), lines=("a",)))
    with pytest.raises(ValueError, match=message):
        evaluate_generator(effects, features)


def test_effects_that_are_no_numbers_are_named():
    effects, features = make(np.random.default_rng(4), lines=("a",))
    effects.X[3, 2] = np.nan
    with pytest.raises(ValueError, match="effects of 'drug_3' are not finite"):
        evaluate_generator(effects, features)


def test_a_column_that_is_not_there_is_named():
    effects, features = make(np.random.default_rng(5), lines=("a",))
    with pytest.raises(ValueError, match="no column 'cell'"):
        evaluate_generator(effects, features, context_key="cell")
