"""The figures that World G is judged by: what is measured, and the bars it has to clear."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scgim.benchmark._figures import Figure

if TYPE_CHECKING:
    from scgim.datasets import GenesWorld

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
SPLITS = {"training": "training", "new_dose": "new dose", "unseen_drug": "unseen drug"}
PER_SPLIT = (TARGET_AP, MEAN_ERROR, SLICED_WASSERSTEIN, NLL)
ANY = (-math.inf, math.inf)


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
    plain = world.features == "linear" and world.sign == "node" and world.n_nodes == 20
    is_linear = plain and world.mechanism == "linear" and world.intervention == "shift"
    is_er2 = is_linear and world.graph == "er2"
    is_mlp = plain and world.mechanism == "mlp" and world.intervention == "shift"
    has_hard = plain and world.intervention != "shift"
    bars: dict[tuple[str, str], tuple[tuple[float, float], tuple[float, float] | None]] = {}
    if is_er2:
        bars = {
            (EDGE_F1, ""): ((0.95, math.inf), None),
            (SHD, ""): ((-math.inf, 2.5), (-math.inf, 0.6)),
            (TARGET_AP, "training"): ((0.97, math.inf), (0.99, math.inf)),
            (TARGET_AP, "new_dose"): ((0.97, math.inf), (0.99, math.inf)),
            (TARGET_AP, "unseen_drug"): ((0.85, math.inf), (0.97, math.inf)),
            (MEAN_ERROR, "training"): ((-math.inf, 0.22), (-math.inf, 0.19)),
            (MEAN_ERROR, "new_dose"): ((-math.inf, 0.22), (-math.inf, 0.19)),
            (MEAN_ERROR, "unseen_drug"): ((-math.inf, 1.2), (-math.inf, 0.9)),
        }
    elif is_mlp:
        bars = {
            (EDGE_F1, ""): ((0.92, math.inf), None),
            (SHD, ""): ((-math.inf, 4.0), (-math.inf, 1.0)),
            (TARGET_AP, "training"): ((0.97, math.inf), None),
            (MEAN_ERROR, "new_dose"): ((-math.inf, 0.30), (-math.inf, 0.24)),
        }
    elif has_hard:
        bars = {(EDGE_F1, ""): ((0.9, math.inf), None), (KIND_RIGHT, ""): ((0.9, math.inf), None)}
    bars[SECONDS, ""] = ((-math.inf, 60.0), (-math.inf, 20.0))
    measured = [(metric, "") for metric in (EDGE_F1, SHD, SID, EDGE_AP, TARGET_PRECISION)]
    measured += [(KIND_RIGHT, "")] if world.intervention != "shift" else []
    measured += [(metric, split) for metric in PER_SPLIT for split in SPLITS]
    figures = []
    for metric, split in [*measured, (SECONDS, "")]:
        bar, moonshot = bars.get((metric, split), (ANY, None))
        label = f"{metric}, {SPLITS[split]}" if split else metric
        figures.append(Figure(label, metric, split, predictor=SEARCH, bar=bar, moonshot=moonshot))
    return tuple(figures)
