from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scgim.scm.generator._stack_loss import CAUSAL, KERNEL, NEIGHBOURS, POPULATION

if TYPE_CHECKING:
    from scgim.scm.generator._effect_stack import EffectStack

MEASURED = "own cells"
NO_EFFECT = "no effect"
COLUMNS = ["perturbation", "source", "weight", "left_out_r2", "nearest", "text"]
# A source below this share of the weights is not worth a word.
MIN_SHARE = 0.005
WORDS = {
    POPULATION: "what most perturbations do at this dose",
    NEIGHBOURS: "what the most similar perturbations do",
    KERNEL: "perturbations with similar features, {nearest} first",
    CAUSAL: "interventions on the causal graph, predicted from features",
}
KINDS = {
    "near": "",
    "far": " Its features are far from those of all perturbations that were run.",
    "unknown": " It is unlike all known mechanisms, so only the population tells about it.",
}


def describe_sources(
    names: list[str],
    unseen: dict[str, tuple[str, list[str]]],
    stack: EffectStack | None,
) -> pd.DataFrame:
    """Say in numbers and words what the predictions of perturbations rest on.

    Parameters
    ----------
    names
        The perturbations.
    unseen
        Of each that was not run: which weights of the stack hold, and the most similar perturbations
        that were run.
    stack
        The members and their weights; ``None`` for a model that predicts unseen perturbations by the
        causal generator alone.

    Returns
    -------
    ``perturbation, source, weight, left_out_r2, nearest, text``, a row per perturbation and source.
    """
    rows = []
    for name in names:
        if name not in unseen:
            text = f"{name} was run: its prediction rests on its own cells."
            rows.append((name, MEASURED, 1.0, float("nan"), "", text))
            continue
        if stack is None:
            text = f"100% {WORDS[CAUSAL]}."
            rows.append((name, CAUSAL, 1.0, float("nan"), "", text))
            continue
        kind, nearest = unseen[name]
        weights = stack.weights[kind]
        text = _sentence(weights, nearest) + KINDS[kind]
        for source, weight in sorted(weights.items(), key=lambda item: -item[1]):
            r2 = stack.left_out_r2[source]
            rows.append((name, source, weight, r2, ", ".join(nearest), text))
    return pd.DataFrame(rows, columns=COLUMNS)


def _sentence(weights: dict[str, float], nearest: list[str]) -> str:
    """Write shares of the weights as a sentence."""
    total = max(sum(weights.values()), 1.0)
    parts = [
        f"{weight / total:.0%} {WORDS[source].format(nearest=nearest[0])}"
        for source, weight in sorted(weights.items(), key=lambda item: -item[1])
        if weight / total >= MIN_SHARE
    ]
    left = 1 - sum(weights.values()) / total
    if left >= MIN_SHARE:
        parts.append(f"{left:.0%} {NO_EFFECT}")
    return ", ".join(parts) + "."
