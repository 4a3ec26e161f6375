import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from scgim.benchmark import ChemistrySettings, benchmark_chemistry
from scgim.benchmark._chemistry import _groups, _result
from scgim.benchmark._figures import ENERGY, GIM_NAME, R2, SHUFFLED_NAME
from scgim.datasets import ChemistryWorld

pytestmark = [
    pytest.mark.usefixtures("real_data"),
    # Of few compounds, many bits of the fingerprint are all alike.
    pytest.mark.filterwarnings("ignore:.* are constant over the perturbations"),
]


@pytest.fixture(scope="module")
def printed():
    return io.StringIO()


@pytest.fixture(scope="module")
def result(real_data, printed):
    world = ChemistryWorld(n_nodes=4, n_genes=60, n_control=150, n_cells=5, n_drugs=40)
    settings = ChemistrySettings(world=world, max_epochs=4)
    return benchmark_chemistry(
        [2],
        split="target",
        features=["annotations"],
        settings=settings,
        console=Console(file=printed, width=200),
    )


def test_every_predictor_is_scored_by_both_metrics(result):
    scores = result.scores[result.scores["metric"].isin([R2, ENERGY])]
    assert set(scores.groupby("predictor").size()) == {2}
    assert {
        GIM_NAME,
        SHUFFLED_NAME,
        "no effect",
        "same-dose mean",
        "nearest drug",
        "ridge",
        "MLP ensemble",
        "generator on PCA",
        "class oracle",
        "feature ceiling",
        "replicate ceiling",
    } <= set(scores["predictor"])


def test_unseen_target_makes_no_claim_and_says_so(result):
    (claim,) = result.claims
    assert claim.startswith(
        "No claim for drugs of an unseen target, annotations: features do not reach a mechanism that "
        "no training drug has (R² "
    )


def test_class_oracle_knows_nothing_of_an_unseen_target(result):
    comparison = result.comparison().loc["annotations"]
    assert comparison.loc["class oracle", R2] == pytest.approx(0, abs=1e-9)


def test_audits_of_right_and_shuffled_features_are_kept(result):
    assert result.audits["predictor"].tolist() == [GIM_NAME, SHUFFLED_NAME]
    assert result.audits["sentence"].str.contains("predicted again with shuffled").all()


def test_results_are_written_and_printed(result, printed, tmp_path):
    result.write_json(tmp_path / "chemistry.json")
    document = json.loads((tmp_path / "chemistry.json").read_text())
    assert document["benchmark"] == "chemistry"
    assert document["scenario"] == "target"
    assert document["settings"]["n_drugs"] == 40
    assert document["claims"] == result.claims
    assert len(document["scores"]) == len(result.scores)
    assert "seed 2, fold 0, annotations, ridge: R²" in printed.getvalue()
    output = io.StringIO()
    result.print(Console(file=output, width=200))
    assert "80 % intervals cover" in output.getvalue()
    assert "No claim for drugs" in output.getvalue()


@pytest.mark.parametrize("split", ["interior_dose", "top_dose"])
def test_left_out_doses_are_scored_beside_interpolation_and_without_an_audit(result, split):
    dosed = benchmark_chemistry([2], split=split, features=["structure"], settings=result.settings)
    scored = set(dosed.scores["predictor"])
    assert {"dose interpolation", "ridge", "replicate ceiling"} <= scored
    assert not {SHUFFLED_NAME, "class oracle", "feature ceiling"} & scored
    assert dosed.audits.empty
    (claim,) = dosed.claims
    assert claim.startswith(f"Known drugs, {split.replace('_', ' ')} left out: R² ")
    dosed.print(Console(file=io.StringIO()))


@pytest.mark.parametrize("split", ["scaffold", "similarity", "target"])
def test_groups_name_every_drug_and_keep_alike_drugs_together(split):
    world = ChemistryWorld(0, n_drugs=100)
    groups = _groups(world, split)
    assert list(groups.index) == list(world.drugs.index)
    assert groups.notna().all()
    assert 10 < groups.nunique() < 100
    assert _groups(world, "random") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, "`number of seeds=0` is too small"),
        ({"seeds": [0], "split": "dose"}, "`split='dose'` is not a choice"),
        ({"seeds": [0], "features": ["smiles"]}, "`features='smiles'` is not a choice"),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        benchmark_chemistry(**arguments)


def test_bars_stand_beside_figures_of_the_random_split_only(result):
    assert (result.figures()["bar"] == "").all()
    scores = result.scores.assign(split=np.where(result.scores["split"] == "", "", "random"))
    figures = _result(scores, result.audits, "random", ChemistrySettings()).figures()
    bars = pd.Series(figures["bar"].to_numpy(), index=figures["figure"])
    assert bars["R², annotations"] == "≥ 0.45"
    assert bars["features shuffled: R²"] == "-0.02 to 0.07"
    assert bars["80 % intervals cover, genes that move most"] == "0.7 to 0.9"
    assert bars[bars.index.str.contains("the best of the others")].tolist() == ["≤ 1"]
