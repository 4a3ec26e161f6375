import pandas as pd

from scgim.benchmark._chemistry_figures import best_baseline, chemistry_figures
from scgim.benchmark._figures import ENERGY, R2

SCORES = pd.DataFrame(
    [
        (0, "GIM", R2, 0.3),
        (0, "GIM", ENERGY, 0.6),
        (0, "ridge", R2, 0.2),
        (0, "ridge", ENERGY, 0.8),
        (0, "generator on PCA", R2, 0.25),
        (0, "generator on PCA", ENERGY, 0.9),
        (0, "class oracle", R2, 0.5),
        (0, "class oracle", ENERGY, 0.4),
        (1, "GIM", R2, 0.1),
        (1, "GIM", ENERGY, 0.8),
        (1, "ridge", ENERGY, 0.6),
    ],
    columns=["seed", "predictor", "metric", "value"],
).assign(split="random")


def test_oracles_are_no_baselines():
    assert best_baseline(SCORES, R2) == "generator on PCA"
    assert best_baseline(SCORES, ENERGY) == "ridge"
    assert best_baseline(SCORES[SCORES["predictor"] == "GIM"], R2) is None


def test_figures_average_over_seeds_and_compare_with_the_best_of_the_others():
    figures = chemistry_figures(SCORES, "random", "structure").set_index("figure")
    assert figures.loc["R², structure", "mean"] == 0.2
    assert figures.loc["R², structure", "reached"] == "bar"
    ratio = figures.loc["energy distance / ridge, the best of the others"]
    assert ratio["mean"] == (0.6 + 0.8) / (0.8 + 0.6)
    assert chemistry_figures(SCORES, "random", "annotations")["reached"].iloc[0] == "missed"
