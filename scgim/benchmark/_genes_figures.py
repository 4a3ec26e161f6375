"""The figures that World G is judged by: what is measured, and the bars it has to clear."""

from __future__ import annotations

import math
from dataclasses import replace

from scgim.benchmark._figures import Figure
from scgim.datasets import GenesWorld

_Bars = tuple[tuple[float, float], tuple[float, float] | None]

EDGE_F1 = "edge F1"
SHD = "structural Hamming distance"
SID = "structural intervention distance"
EDGE_AP = "edge average precision"
TARGET_AP = "target average precision"
TARGET_PRECISION = "target precision"
KIND_RIGHT = "share of targets of the right kind"
MEAN_ERROR = "mean error"
SLICED_WASSERSTEIN = "sliced Wasserstein distance"
NLL = "nats per cell"
SECONDS = "CPU seconds to fit"
SEARCH = "search"
NO_EFFECT = "no effect"
SPLITS = {"training": "training", "new_dose": "new dose", "unseen_drug": "unseen drug"}
PER_SPLIT = (TARGET_AP, MEAN_ERROR, SLICED_WASSERSTEIN, NLL)
ANY = (-math.inf, math.inf)


def _at_least(bar: float, moonshot: float | None = None) -> _Bars:
    return (bar, math.inf), None if moonshot is None else (moonshot, math.inf)


def _at_most(bar: float, moonshot: float | None = None) -> _Bars:
    return (-math.inf, bar), None if moonshot is None else (-math.inf, moonshot)


_KIND_BARS = {(EDGE_F1, ""): _at_least(0.9), (KIND_RIGHT, ""): _at_least(0.9)}
BARS: dict[GenesWorld, dict[tuple[str, str], _Bars]] = {
    GenesWorld(): {
        (EDGE_F1, ""): _at_least(0.95),
        (SHD, ""): _at_most(2.5, 0.6),
        (TARGET_AP, "training"): _at_least(0.97, 0.99),
        (TARGET_AP, "new_dose"): _at_least(0.97, 0.99),
        (TARGET_AP, "unseen_drug"): _at_least(0.85, 0.97),
        (MEAN_ERROR, "training"): _at_most(0.22, 0.19),
        (MEAN_ERROR, "new_dose"): _at_most(0.22, 0.19),
        (MEAN_ERROR, "unseen_drug"): _at_most(1.2, 0.9),
    },
    GenesWorld(mechanism="mlp"): {
        (EDGE_F1, ""): _at_least(0.92),
        (SHD, ""): _at_most(4.0, 1.0),
        (TARGET_AP, "training"): _at_least(0.97),
        (MEAN_ERROR, "new_dose"): _at_most(0.30, 0.24),
    },
    GenesWorld(intervention="hard"): _KIND_BARS,
    GenesWorld(intervention="mixed"): _KIND_BARS,
    GenesWorld(n_nodes=50): {(EDGE_F1, ""): _at_least(0.95), (SECONDS, ""): _at_most(180.0)},
    GenesWorld(n_nodes=100): {
        (EDGE_F1, ""): _at_least(0.95),
        (SECONDS, ""): _at_most(600.0, 180.0),
    },
}
DEFAULT_BARS = {(SECONDS, ""): _at_most(60.0, 20.0)}


def genes_figures(world: GenesWorld) -> tuple[Figure, ...]:
    """List what is measured on World G, with the bars that were set for its variant.

    Parameters
    ----------
    world
        The variant; where no bar was set, figures are reported only.

    Returns
    -------
    The figures.
    """
    bars = DEFAULT_BARS | BARS.get(replace(world, seed=0), {})
    measured = [(metric, "") for metric in (EDGE_F1, SHD, SID, EDGE_AP, TARGET_PRECISION)]
    measured += [(KIND_RIGHT, "")] if world.intervention != "shift" else []
    measured += [(metric, split) for metric in PER_SPLIT for split in SPLITS]
    figures = []
    for metric, split in [*measured, (SECONDS, "")]:
        bar, moonshot = bars.get((metric, split), (ANY, None))
        label = f"{metric}, {SPLITS[split]}" if split else metric
        figures.append(Figure(label, metric, split, predictor=SEARCH, bar=bar, moonshot=moonshot))
    ratio = f"{MEAN_ERROR} / no effect, {SPLITS['unseen_drug']}"
    figures.append(Figure(ratio, MEAN_ERROR, "unseen_drug", predictor=SEARCH, over=NO_EFFECT))
    return tuple(figures)
