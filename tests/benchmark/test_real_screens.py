import json

import numpy as np
import pytest
from rich.console import Console

from scgim.benchmark import _real_screens, benchmark_real
from scgim.benchmark._real_screens import HELD_OUT_DOSES, SILENT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _data(load):
    try:
        return load()
    except (ValueError, OSError) as error:
        pytest.skip(f"real screens are not here: {error}")


@pytest.fixture(scope="module")
def sciplex2():
    return _data(_real_screens.sciplex2_a549)


@pytest.fixture
def few_nodes(monkeypatch):
    monkeypatch.setattr(_real_screens, "N_NODES", 3)


@pytest.fixture(scope="module")
def of_doses(sciplex2):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_real_screens, "N_NODES", 3)
        return benchmark_real("sciplex2", [3], max_epochs=2)


@pytest.fixture(scope="module")
def few_knock_outs():
    """Three silent and three other knock-outs with 60 cells each, and 200 control cells."""
    adata = _data(_real_screens.papalexi2021)
    labels = adata.obs["perturbation"].astype(str).to_numpy()
    wanted = [*SILENT[:3], "STAT1", "IFNGR1", "JAK2"]
    chosen = [np.flatnonzero(labels == name)[:60] for name in wanted]
    chosen.append(np.flatnonzero(labels == "control")[:200])
    return adata[np.sort(np.concatenate(chosen))].copy()


def _text(result):
    console = Console(record=True, width=160)
    result.print(console)
    return console.export_text()


def test_unseen_doses_stand_beside_interpolation_and_control(of_doses, tmp_path):
    result = of_doses
    predictors = set(result.scores["predictor"])
    assert {"GIM", "no effect", "dose interpolation", "technical duplicate"} <= predictors
    assert result.scores["seed"].unique().tolist() == [3]
    assert "dose interpolation" in _text(result)
    result.write_json(tmp_path / "real.json")
    assert json.loads((tmp_path / "real.json").read_text())["screen"] == "sciplex2"


def test_curves_of_known_genes_are_drawn_over_the_measured_means(of_doses, tmp_path):
    curve = of_doses.tables["predicted dose response"]
    assert set(curve["node"]) == {"ANGPTL4", "PER1"}
    assert (curve["lower"] <= curve["effect"]).all()
    observed = of_doses.tables["observed means"]
    assert set(HELD_OUT_DOSES) < set(observed["dose"])
    of_doses.write_figure(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_knock_outs_are_listed_with_what_they_target_and_move(
    few_knock_outs, monkeypatch, tmp_path
):
    monkeypatch.setattr(_real_screens, "papalexi2021", lambda: few_knock_outs)
    result = benchmark_real("papalexi", [0], max_epochs=1)
    table = result.tables["knock-outs"]
    assert len(table) == 6
    assert set(table.loc[table["silent"] == "yes", "knock-out"]) == set(SILENT[:3])
    assert table["evidence"].is_monotonic_decreasing
    assert (table["moves most"].str.count(",") == 4).all()
    assert len(result.scores) == 2
    assert "silent" in _text(result)
    result.write_figure(tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_the_screen_is_one_of_its_choices():
    with pytest.raises(ValueError, match="`screen='norman'`"):
        benchmark_real("norman", [0])


@pytest.mark.slow
def test_silent_knock_outs_of_a_real_screen_get_no_confident_target():
    _data(_real_screens.papalexi2021)
    scores = benchmark_real("papalexi", [0]).scores.set_index("metric")["value"]
    assert scores[_real_screens.SILENT_TARGETS] == 0
    assert scores[_real_screens.OTHER_TARGETS] >= 3


@pytest.mark.slow
def test_unseen_doses_of_a_real_drug_are_predicted_better_than_no_effect():
    _data(_real_screens.sciplex2_a549)
    scores = benchmark_real("sciplex2", [0, 1, 2]).scores
    mean = scores.groupby(["metric", "predictor"])["value"].mean()
    assert mean["weighted MSE", "GIM"] < mean["weighted MSE", "no effect"]
    assert mean["energy distance", "GIM"] < mean["energy distance", "dose interpolation"]
