"""One mean shift with one interval from several trainings of the same model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from scipy.stats import norm

from scgim.model._prediction_mixin import DEFAULT_LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from scgim.model._conditions import ConditionsLike
    from scgim.model._gim import GIM

MAX_LEVEL = 0.9999


def predict_pooled_shift(
    models: Sequence[GIM],
    conditions: ConditionsLike,
    *,
    level: float = DEFAULT_LEVEL,
    features: pd.DataFrame | None = None,
    ignore: Sequence[str] | str = (),
    seed: int = 0,
) -> AnnData:
    r"""Predict the mean shift of expression by several trainings of a model together.

    Each training states an interval, from its distribution over interventions and from its errors on
    conditions that it left out. How much another training would have said something else is not in it.
    Here the trainings are a mixture: the mean is the mean of their means :math:`m_i`, and the half-width
    is :math:`\sqrt{\overline{h_i^2} + z^2 \overline{(m_i - \bar m)^2}}` with :math:`h_i` the half-width of
    each and :math:`z` the normal quantile of the level. Trainings that agree have the interval of one of
    them.

    Parameters
    ----------
    models
        Trained models of the same screen, which differ in their seed and may differ in their number of
        nodes.
    conditions
        As for :meth:`GIM.predict_shift`.
    level
        Probability with which the interval should hold the true mean shift of a gene.
    features
        As for :meth:`GIM.predict_shift`.
    ignore
        As for :meth:`GIM.predict_shift`.
    seed
        Seed of the draws from the distribution over interventions.

    Returns
    -------
    As :meth:`GIM.predict_shift`, and ``layers["spread"]``: the standard deviation of the means of the
    trainings.

    Raises
    ------
    ValueError
        Without a model, or when the models have seen different screens.

    Examples
    --------
    >>> models = []  # doctest: +SKIP
    >>> for scvi.settings.seed in range(3):  # doctest: +SKIP
    ...     models.append(GIM(adata))
    ...     models[-1].train()
    >>> predict_pooled_shift(models, [("drug_a", 1.0)])  # doctest: +SKIP
    """
    check_can_pool([_describe(model) for model in models])
    predicted = [
        model.predict_shift(conditions, level=level, features=features, ignore=ignore, seed=seed)
        for model in models
    ]
    means = np.array([one.X for one in predicted], dtype=np.float64)
    half_widths = [(one.layers["upper"] - one.layers["lower"]) / 2 for one in predicted]
    within = np.square(np.array(half_widths, dtype=np.float64)).mean(axis=0)
    mean, spread = means.mean(axis=0), means.std(axis=0)
    z = norm.ppf((1.0 + min(level, MAX_LEVEL)) / 2.0)
    half_width = np.sqrt(within + (z * spread) ** 2)
    first = predicted[0]
    return AnnData(
        X=mean,
        obs=first.obs,
        var=first.var,
        layers={"lower": mean - half_width, "upper": mean + half_width, "spread": spread},
        uns={"scgim": first.uns["scgim"] | {"n_models": len(models)}},
    )


def _describe(model: GIM) -> dict[str, object]:
    """Tell what trainings must have in common."""
    screen = model.screen
    conditions = screen.conditions[["perturbation", "dose"]].itertuples(index=False, name=None)
    return {
        "genes": list(model.get_var_names()),
        "conditions": [(str(label), f"{dose:g}") for label, dose in conditions],
        "columns of `obs`": [screen.perturbation_key, screen.dose_key, screen.batch_key],
        "likelihood": model.gene_likelihood,
    }


def check_can_pool(described: Sequence[Mapping[str, object]]) -> None:
    """Raise unless there are models, all of the same screen.

    Parameters
    ----------
    described
        What the models must have in common, name to value.
    """
    if not described:
        message = "`models` is empty. Pass at least one trained model, and better three or more."
        raise ValueError(message)
    for number, other in enumerate(described[1:], start=1):
        differing = [name for name, value in described[0].items() if other[name] != value]
        if differing:
            message = (
                f"`models[{number}]` differs from `models[0]` in its {' and '.join(differing)}, so their "
                "predictions are not of the same thing. Pass trainings of one screen that differ in "
                "their seed only."
            )
            raise ValueError(message)
