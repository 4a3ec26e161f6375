import json
import re

import anndata as ad
import pandas as pd
import pytest

from scgim.cli import _evaluate, main
from scgim.datasets import ProgramsWorld
from scgim.evaluation import Split

# how few cells are learnt from, and how few drugs are held out, is no matter here
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unseen perturbations"),
    pytest.mark.filterwarnings("ignore:Too few perturbations are held out"),
]

KEYS = ("--perturbation", "drug", "--control", "vehicle", "--dose", "dose")
QUICK = ("--n-nodes", 4, "--max-epochs", 2, "--restarts", 1)


def _run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    world = ProgramsWorld(
        n_nodes=4,
        n_genes=50,
        n_control=100,
        n_cells=8,
        n_classes=3,
        n_drugs=9,
        n_unseen=2,
        n_sums=1,
        n_interior=2,
        n_top=1,
    )
    adata = world.screen()
    del adata.uns["truth"]
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def evaluated(screen):
    out = screen.parent / "evaluated"
    options = ("--features", "drug_features", "--split", "drug", "--seeds", 0, 1, "--out", out)
    assert _run("evaluate", screen, *KEYS, *QUICK, *options) == 0
    return out


@pytest.fixture(scope="module")
def page(evaluated):
    return (evaluated / "report.html").read_text()


def test_scores_differences_coverage_and_splits_are_written(evaluated):
    names = {path.name for path in (evaluated / "tables").iterdir()}
    assert names == {
        "scores.csv",
        "paired_differences.csv",
        "coverage.csv",
        "feature_audit.csv",
        "mechanism_share.csv",
        "prediction_sources.csv",
        "split_seed0.json",
        "split_seed1.json",
    }
    scores = pd.read_csv(evaluated / "tables" / "scores.csv")
    assert set(scores["seed"]) == {0, 1}
    assert {"GIM", "no effect", "ridge", "technical duplicate"} <= set(scores["predictor"])


def test_the_split_can_be_used_again(evaluated, screen):
    chosen = Split.load(evaluated / "tables" / "split_seed1.json")
    adata = ad.read_h5ad(screen)
    scores = pd.read_csv(evaluated / "tables" / "scores.csv").query("seed == 1")
    assert set(adata.obs.loc[chosen.is_held_out(adata), "drug"]) == set(scores["perturbation"])


def test_the_page_starts_with_the_verdict(page):
    header = page[page.index("<header>") : page.index("</header>")]
    assert re.search(r"GIM is (better|on par|worse)", header)
    assert "A claim needs more than one table" in header


def test_the_feature_audit_stands_in_the_header_and_has_a_table(page, evaluated):
    header = page[page.index("<header>") : page.index("</header>")]
    assert re.search(r"Feature audit: GIM (uses|does not use|may or may not use) features", header)
    for row in ("own features", "shuffled, predicted again", "zeroed, predicted again",
                "random, predicted again", "one-hot, retrained"):  # fmt: skip
        assert f'<th scope="row">{row}</th>' in page
    effects = pd.read_csv(evaluated / "tables" / "feature_audit.csv")
    assert effects.groupby("seed").size().tolist() == [6, 6]


def test_the_page_says_whether_control_cells_are_control_cells(page):
    assert "Are the control cells what they say?" in page
    assert "The shift that all perturbations share at their lowest dose is" in page


def test_the_page_needs_no_network(page):
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert page.count("data:image/png;base64,") >= 4


def test_the_page_has_every_baseline_and_says_what_was_left_out(page):
    for name in ("no effect", "context mean", "additive", "dose interpolation", "MLP ensemble"):
        assert f'<th scope="row">{name}</th>' in page
    assert "What was left out" in page
    assert "not a combination" in page


def test_the_page_says_split_seeds_and_versions(page):
    for text in ("scvi-tools", "held out, seed 1", "scored as log1p of counts per 10,000"):
        assert text in page


def test_images_are_described_and_tables_can_be_scrolled_by_keyboard(page):
    images = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert images
    assert all(len(text) > 20 for text in images)
    assert page.count('<div class="scroll" tabindex="0"') == page.count("<table>")


def test_a_plate_that_is_not_there_is_told_the_closest(screen, tmp_path, capsys):
    options = ("--features", "drug_features", "--plate", "dos", "--out", tmp_path / "no")
    assert _run("evaluate", screen, *KEYS, *options) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert message.startswith("Error: `plate='dos'` is not a column of `adata.obs`.")


def test_users_file_is_not_touched(screen, evaluated):
    adata = ad.read_h5ad(screen)
    assert not [key for key in adata.uns if "scvi" in key or "gim" in key]


def test_unseen_drugs_without_features_are_refused(screen, tmp_path, capsys):
    assert _run("evaluate", screen, *KEYS, "--split", "drug", "--out", tmp_path / "no") == 2
    message = " ".join(capsys.readouterr().err.split())
    assert message == (
        "Error: `--split drug` holds out whole perturbations, but there are no features by which a "
        "model could predict them. Pass `--features`, or hold out something else: `interior_dose`, "
        "`top_dose`, `perturbation_in_context` or `combination`."
    )
    assert not (tmp_path / "no").exists()


def test_dose_split_needs_no_features(screen, tmp_path):
    out = tmp_path / "doses"
    options = ("--split", "interior_dose", "--seeds", 0, "--out", out)
    assert _run("evaluate", screen, *KEYS, *QUICK[:-1], 2, *options) == 0
    scores = pd.read_csv(out / "tables" / "scores.csv")
    has_value = scores.groupby("predictor")["value"].count() > 0
    assert has_value["dose interpolation"]
    assert not has_value["ridge"]
    page = (out / "report.html").read_text()
    assert page.count("No audit: this split holds out doses, contexts or combinations") == 2
    assert not (out / "tables" / "feature_audit.csv").exists()
    assert "Does another training say the same?" in page
    coverage = pd.read_csv(out / "tables" / "coverage.csv")
    assert coverage["seed"].astype(str).unique().tolist() == ["0", "0, all together"]


GROUPS = {f"drug_{i:02}": "first" if i < 4 else "second" for i in range(12)}


@pytest.fixture(scope="module")
def claimed(screen):
    file = screen.parent / "groups.csv"
    file.write_text("drug,class\n" + "\n".join(f"{k},{v}" for k, v in GROUPS.items()))
    options = ("--features", "drug_features", "--split", "claim", "--groups", file, "--seeds", 0)
    out = screen.parent / "claim"
    assert _run("evaluate", screen, *KEYS, *QUICK, *options, "--out", out) == 0
    return out


def test_the_whole_claim_is_made_from_both_splits(claimed):
    page = (claimed / "report.html").read_text()
    assert "On unseen perturbations GIM is" in page
    for name in ("drug", "group"):
        assert (claimed / name / "report.html").is_file()
        assert f"Are the features used? (--split {name})" in page
        assert f"<p>--split {name}: GIM is " in page
        assert (claimed / "figures" / f"paired_differences_{name}.png").is_file()


def test_whole_groups_are_held_out(claimed, screen):
    chosen = Split.load(claimed / "group" / "tables" / "split_seed0.json")
    assert chosen.grouping == "class"
    held_out = set(chosen.held_out["drug"])
    assert len({GROUPS[name] for name in held_out}) == 1
    assert held_out == {name for name in GROUPS if GROUPS[name] == GROUPS[min(held_out)]} & set(
        ad.read_h5ad(screen).obs["drug"]
    )


def test_groups_that_were_not_given_are_asked_for(screen, tmp_path, capsys):
    options = ("--features", "drug_features", "--split", "claim", "--out", tmp_path / "no")
    assert _run("evaluate", screen, *KEYS, *options) == 2
    assert "`--split claim` holds out whole groups" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sciplex2_a549_dex_small", ("--dose", "dose", "--split", "interior_dose")),
        (
            "papalexi2021_sub299",
            ("--context", "bio_rep", "--split", "perturbation_in_context"),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The screen has one perturbation")
@pytest.mark.filterwarnings("ignore:.* genes have no counts")
def test_real_screens_get_a_report(real_data, tmp_path, name, options):
    file = real_data / f"{name}.h5ad"
    keys = ("--perturbation", "perturbation", "--control", "control", "--seeds", 0)
    assert _run("evaluate", file, *keys, *options, "--out", tmp_path) == 0
    scores = pd.read_csv(tmp_path / "tables" / "scores.csv")
    own = scores.query("predictor == 'GIM' and metric == 'weighted R² from control'")
    assert own["value"].notna().all()
    split = json.loads((tmp_path / "tables" / "split_seed0.json").read_text())
    assert len(split["held_out"]["perturbation"]) == len(own)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


def test_whole_perturbations_need_features():
    message = (
        "`--split drug` holds out whole perturbations, but there are no features by which a model "
        "could predict them. Pass `--features`, or hold out something else: `interior_dose`, "
        "`top_dose`, `perturbation_in_context` or `combination`."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _evaluate.check_can_predict_unseen("drug", has_features=False)


def test_whole_groups_need_a_file_that_names_them():
    message = (
        "`--split claim` holds out whole groups of perturbations, but no groups were given. Pass "
        "`--groups FILE`, a CSV file with one row per perturbation: its name, and its group, such as "
        "its scaffold."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _evaluate.check_has_group_file("claim", is_given=False)
