from __future__ import annotations

import io
import json
import re

import pandas as pd
import pytest
from rich.console import Console

from scgim.datasets import ProgramsWorld
from scgim.evaluation import ReportProgress, ReportSettings, ScreenKeys, Split, split, write_report
from scgim.evaluation.report import _write_report

# how few cells are learnt from, and how few drugs are held out, is no matter here
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unseen perturbations"),
    pytest.mark.filterwarnings("ignore:Too few perturbations are held out"),
]
QUICK = {"n_nodes": 4, "max_epochs": 2, "restarts": 1}


@pytest.fixture(scope="module")
def adata():
    world = ProgramsWorld(
        n_nodes=4, n_genes=50, n_control=100, n_cells=8, n_classes=3, n_drugs=9, n_unseen=2,
        n_sums=1, n_interior=2, n_top=1,
    )  # fmt: skip
    screen = world.screen()
    del screen.uns["truth"]
    return screen


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("written") / "evaluation"


@pytest.fixture(scope="module")
def report(adata, out, steps):
    settings = ReportSettings(seeds=(0, 1), **QUICK)
    about = {"where from": "a simulated <world>"}
    return write_report(
        adata, out, settings=settings, title="My screen", about=about, progress=steps.append
    )


def test_the_page_the_tables_and_the_splits_are_written(report, out):
    assert report.page == out / "report.html"
    names = {str(path.relative_to(out)) for path in out.rglob("*.*") if path.suffix != ".png"}
    assert names == {
        "report.html",
        "files.txt",
        "tables/mechanism_share.csv",
        "tables/prediction_sources.csv",
        "tables/scores.csv",
        "tables/paired_differences.csv",
        "tables/coverage.csv",
        "tables/feature_audit.csv",
        "tables/split_seed0.json",
        "tables/split_seed1.json",
    }
    assert {"paired_differences.png", "predicted_vs_observed.png", "coverage.png"} <= {
        path.name for path in (out / "figures").iterdir()
    }


def test_the_page_says_what_the_report_says(report):
    page = report.page.read_text()
    assert "<h1>My screen</h1>" in page
    header = page[page.index("<header>") : page.index("</header>")]
    assert report.verdict.sentence in header
    assert report.audit.sentence in header
    assert all(problem in page for problem in report.control_problems)


def test_the_page_says_with_what_it_was_run(report):
    page = report.page.read_text()
    rows = dict(re.findall(r"<dt>([^<]*)</dt>\s*<dd>([^<]*)</dd>", page))
    assert rows["perturbation"] == "drug"
    assert rows["max epochs"] == "2"
    assert rows["groups"] == "not given"
    assert rows["where from"] == "a simulated &lt;world&gt;"


def test_the_scores_are_those_of_the_file(report, out):
    written = pd.read_csv(out / "tables" / "scores.csv", keep_default_na=False, na_values=[""])
    assert set(report.scores["split"]) == {"drug"}
    assert report.scores["seed"].unique().tolist() == [0, 1]
    shared = ["predictor", "metric", "value"]
    pd.testing.assert_frame_equal(report.scores[shared], written[shared], check_dtype=False)


def test_each_split_is_that_of_its_seed(report, adata, out):
    for seed in (0, 1):
        loaded = Split.load(out / "tables" / f"split_seed{seed}.json")
        expected = split(adata, "perturbation", seed=seed)
        pd.testing.assert_frame_equal(loaded.held_out, expected.held_out)


def test_the_report_is_printed_and_written_as_every_result(report, tmp_path):
    output = io.StringIO()
    report.print(Console(file=output, width=1000))
    assert output.getvalue().startswith(report.verdict.sentence)
    assert f"Open {report.page} in a browser." in output.getvalue()
    report.write_json(tmp_path / "evaluation.json")
    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert document["verdict"] == report.verdict.word
    assert len(document["scores"]) == len(report.scores)
    compared = report.comparison().loc["GIM", ("energy distance", "drug")]
    own = report.scores.query("predictor == 'GIM' and metric == 'energy distance'")
    assert compared == pytest.approx(own["value"].mean())


def test_progress_is_told_in_lines(report, steps):
    assert str(steps[0]) == "1/2 Seed 0: GIM"
    assert [step.seed for step in steps if step.is_done] == [0, 1]
    assert str(steps[-1]) == f"2/2 Seed 1: {steps[-1].doing}"
    assert re.fullmatch(r"\d+ conditions held out", steps[-1].doing)
    assert all(isinstance(step, ReportProgress) for step in steps)


def test_the_screen_is_not_changed(adata, report):
    assert not [key for key in adata.uns if "scvi" in key or "gim" in key]


def test_a_claim_joins_both_splits(adata, tmp_path):
    classes = pd.Series(
        {f"drug_{i:02}": "first" if i < 4 else "second" for i in range(12)}, name="class"
    )
    settings = ReportSettings(split="claim", seeds=(0,), **QUICK)
    report = write_report(adata, tmp_path, groups=classes, settings=settings)
    assert list(report.parts) == ["drug", "group"]
    assert set(report.scores["split"]) == {"drug", "group"}
    assert "by class" in report.verdict.sentence
    assert report.verdict.sentence in report.page.read_text()
    for name, part in report.parts.items():
        assert part.page == tmp_path / name / "report.html"
        assert part.verdict.sentence in report.page.read_text()
    passed = [part.uses_features for part in report.parts.values()]
    assert report.uses_features is (None if None in passed else all(passed))


@pytest.mark.parametrize(
    ("settings", "keys", "message"),
    [
        ({"split": "claim"}, {}, "`kind='claim'` needs `groups`"),
        ({"split": "drug"}, {"features": None}, "`keys.features` is None"),
        ({"split": "context"}, {}, "`kind='context'` needs `context`"),
        ({"plate": "dos"}, {}, "`plate='dos'` is not a column of `adata.obs`"),
        ({}, {"perturbation": "drugs"}, "`perturbation='drugs'` is not a column of `adata.obs`"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_written(
    adata, tmp_path, settings, keys, message
):
    with pytest.raises(ValueError, match=re.escape(message)):
        write_report(
            adata,
            tmp_path / "no",
            keys=ScreenKeys(**keys),
            settings=ReportSettings(**settings, **QUICK),
        )
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "drugs"}, "`split='drugs'` is not a choice"),
        ({"seeds": ()}, "`len(seeds)=0` is too small"),
        ({"restarts": 0}, "`restarts=0` is too small"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ReportSettings(**settings)


def test_too_few_held_out_perturbations_are_said_before_training(adata):
    few = [split(adata, "perturbation", seed=seed) for seed in (0, 1)]
    counts = [chosen.held_out["drug"].nunique() for chosen in few]
    with pytest.warns(UserWarning, match="can only be 'on par'") as caught:
        _write_report.warn_too_few_held_out("drug", few)
    assert f"{counts[0]} (seed 0), {counts[1]} (seed 1), where 5 are needed" in str(
        caught[0].message
    )


@pytest.mark.filterwarnings("error")
def test_enough_held_out_perturbations_are_no_reason_to_warn(adata):
    _write_report.warn_too_few_held_out("drug", [split(adata, "perturbation", fraction=0.7)])


def test_whole_perturbations_need_features():
    _write_report.check_has_features_for("interior_dose", has_features=False)
    _write_report.check_has_features_for("group", has_features=True)
    message = (
        "`split='group'` holds out whole perturbations, but `keys.features` is None, so a model has "
        "nothing to predict them by. Name the entry of `adata.uns` with their features, or hold out "
        "something else: `interior_dose`, `top_dose`, `perturbation_in_context` or `combination`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _write_report.check_has_features_for("group", has_features=False)
