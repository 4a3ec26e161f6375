import io
import json

import pytest
from rich.console import Console

from scgim.benchmark import ProgramsSettings, benchmark_programs
from scgim.benchmark._figures import ENERGY, GIM_NAME, R2, SHUFFLED_NAME


@pytest.fixture(scope="module")
def printed():
    return io.StringIO()


@pytest.fixture(scope="module")
def result(small_world, printed):
    settings = ProgramsSettings(world=small_world, max_epochs=30)
    return benchmark_programs([3], settings=settings, console=Console(file=printed, width=120))


def test_every_predictor_is_scored_on_every_split(result):
    scores = result.scores[result.scores["metric"].isin([R2, ENERGY])]
    per_predictor = scores.groupby("predictor").size()
    assert per_predictor.pop("dose interpolation") == 4  # two metrics of two splits
    assert set(per_predictor) == {8}
    assert {
        GIM_NAME,
        SHUFFLED_NAME,
        "no effect",
        "mean of treated",
        "same-dose mean",
        "nearest drug",
        "ridge",
        "bilinear",
        "MLP ensemble",
        "generator on PCA",
        "oracle",
    } <= set(per_predictor.index)


def test_all_figures_are_measured(result):
    figures = result.figures()
    assert len(figures) == 27
    assert figures["mean"].notna().all()
    assert set(figures["reached"]) <= {"", "missed", "bar", "moonshot"}


def test_audits_of_right_and_shuffled_features_are_kept(result):
    assert result.audits["predictor"].tolist() == [GIM_NAME, SHUFFLED_NAME]
    assert result.audits["verdict"][1] == "does not use features"
    assert result.audits["sentence"].str.contains("predicted again with shuffled").all()


def test_oracle_is_better_than_no_effect(result):
    comparison = result.comparison()
    assert comparison.loc["oracle", (R2, "unseen_drug", "mean")] > 0.9
    assert comparison.loc["no effect", (R2, "unseen_drug", "mean")] == 0


def test_results_are_written_as_json_with_settings_and_versions(result, tmp_path):
    result.write_json(tmp_path / "programs.json")
    document = json.loads((tmp_path / "programs.json").read_text())
    assert document["benchmark"] == "programs"
    assert document["settings"]["n_nodes"] == 4
    assert document["settings"]["max_epochs"] == 30
    assert document["versions"]["scgim"]
    assert len(document["scores"]) == len(result.scores)


def test_progress_and_tables_go_to_the_console(result, printed):
    assert "seed 3, ridge: unseen drugs R²" in printed.getvalue()
    output = io.StringIO()
    result.print(Console(file=output, width=160))
    assert "graph average precision" in output.getvalue()
    assert "≥ 0.95" in output.getvalue()
    assert "replicate ceiling" in output.getvalue()


@pytest.mark.filterwarnings("ignore:Unseen perturbations .* are predicted to")
def test_unseen_class_makes_no_claim_and_says_so(small_world, tmp_path):
    settings = ProgramsSettings(world=small_world, max_epochs=4)
    result = benchmark_programs([3], split="class", settings=settings)
    assert set(result.scores["split"]) == {"unseen_class", ""}
    assert result.audits.empty
    (claim,) = result.claims
    assert claim.startswith("No claim for drugs of an unseen mechanism class: ")
    assert claim.endswith("% of these conditions.")
    assert "dose interpolation" not in set(result.scores["predictor"])
    result.write_json(tmp_path / "class.json")
    assert json.loads((tmp_path / "class.json").read_text())["split"] == "class"
    output = io.StringIO()
    result.print(Console(file=output, width=160))
    assert "unseen class" in output.getvalue()
    assert "No claim for drugs" in output.getvalue()


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="`split='drug'` is not a choice"):
        benchmark_programs([0], split="drug")


def test_no_seed_is_refused():
    with pytest.raises(ValueError, match="`number of seeds=0` is too small"):
        benchmark_programs([])
