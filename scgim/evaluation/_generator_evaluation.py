"""How well features tell effects, from tables of effects: no cells needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.model_selection import KFold

from scgim._messages import quote_some
from scgim.data._screen import number_blocks
from scgim.evaluation._training_screen import group_means
from scgim.scm import InterventionGenerator, RandomEffects
from scgim.scm.generator._effect_kernel import EffectKernel, compare_features
from scgim.scm.generator._effect_stack import fit_effect_stack
from scgim.scm.generator._perturbation_features import FeatureScaling
from scgim.scm.generator._stack_loss import MEMBERS, MeasuredEffects
from scgim.scm.generator._strength_curve import StrengthCurve

if TYPE_CHECKING:
    from numpy.typing import NDArray

STACK = "GIM"
OTHER_CONTEXTS = "other contexts, shrunk"
# Components of the effects that stand for nodes, as many as the default model has.
N_COMPONENTS = 20
# A fold leaves out at least two perturbations, and the generator needs four to learn from.
MIN_PERTURBATIONS = 8
# Effects have no sampling variance of their own here; this only keeps divisions finite.
TINY = 1e-9


@dataclass(frozen=True)
class GeneratorScores:
    """Scores of predicted effects, and the predictions.

    Attributes
    ----------
    scores
        One row per context and predictor: ``context``, ``predictor``, ``r2`` (share of the squared
        deviations from the mean of the other perturbations that is predicted; 0 is that mean),
        ``r2_from_control`` (share of the squared effects; 0 is no effect), ``pearson`` (of the
        deviations) and ``n_perturbations``.
    predictions
        Predicted effects of each predictor, in the order of ``design``, ``(n_rows, n_genes)``.
    design
        ``perturbation`` and ``context`` of each row.
    """

    scores: pd.DataFrame
    predictions: dict[str, NDArray[np.float64]]
    design: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """Average over contexts, weighed by their perturbations.

        Returns
        -------
        One row per predictor: ``r2``, ``r2_from_control``, ``pearson``.
        """
        columns = ["r2", "r2_from_control", "pearson"]
        weighted = self.scores[columns].mul(self.scores["n_perturbations"], axis=0)
        weighted[["predictor", "n_perturbations"]] = self.scores[["predictor", "n_perturbations"]]
        total = weighted.groupby("predictor", sort=False).sum()
        return total[columns].div(total["n_perturbations"], axis=0)


def evaluate_generator(
    effects: pd.DataFrame | AnnData,
    features: pd.DataFrame,
    *,
    perturbation_key: str = "perturbation",
    context_key: str | None = None,
    n_folds: int = 10,
    seed: int = 0,
) -> GeneratorScores:
    """Predict effects of left-out perturbations from their features, as an unseen one is by GIM.

    Takes published signatures as well as effects of one's own: one row per perturbation (and
    context, such as a cell line), without cells. All rows of a perturbation in the same fold are left
    out together. The members of the prediction stand beside it, the mean of the other perturbations
    among them; with contexts also the effect in the other contexts, shrunk by how well they agree,
    which is what a perturbation has that was run elsewhere.

    Parameters
    ----------
    effects
        Effects, rows x genes. A DataFrame is indexed by perturbation; an AnnData names it in
        ``obs[perturbation_key]``.
    features
        One row of numbers per perturbation. Columns that share the text before a ``:`` are one block,
        such as a fingerprint.
    perturbation_key
        Column of ``obs`` with perturbations.
    context_key
        Column of ``obs`` with contexts; ``None`` for one context.
    n_folds
        Folds over perturbations.
    seed
        Seed of the folds.

    Returns
    -------
    Scores and predictions.

    Raises
    ------
    ValueError
        For effects or features that are not finite, rows that are there twice, perturbations without
        features, or fewer than eight perturbations in a context.

    Examples
    --------
    >>> scores = evaluate_generator(effects, features)  # doctest: +SKIP
    >>> scores.summary()  # doctest: +SKIP
    """
    values, design = _read_effects(effects, perturbation_key, context_key)
    table = _check_inputs(values, design, features, n_folds)
    blocks = number_blocks(table.columns)
    names = [*MEMBERS, STACK]
    predictions = {name: np.zeros_like(values) for name in names}
    baseline = np.zeros_like(values)
    present = design["perturbation"].unique()
    folds = KFold(min(n_folds, len(present)), shuffle=True, random_state=seed)
    for _, left_out in folds.split(present):
        is_out = design["perturbation"].isin(present[left_out]).to_numpy()
        for context in design["context"].unique():
            here = (design["context"] == context).to_numpy()
            train, test = np.flatnonzero(here & ~is_out), np.flatnonzero(here & is_out)
            if not len(test):
                continue
            x = table.loc[design["perturbation"].iloc[np.r_[train, test]]].to_numpy(np.float64)
            predicted = _predict_fold(values[train], x[: len(train)], x[len(train) :], blocks)
            for name in names:
                predictions[name][test] = predicted[name]
            baseline[test] = values[train].mean(0)
    if len(design["context"].unique()) > 1:
        predictions[OTHER_CONTEXTS] = _predict_from_other_contexts(values, design)
    scores = [
        {"context": context, "predictor": name}
        | _score(values[here], predicted[here], baseline[here])
        for context in design["context"].unique()
        for here in [(design["context"] == context).to_numpy()]
        for name, predicted in predictions.items()
    ]
    return GeneratorScores(pd.DataFrame(scores), predictions, design)


def _predict_fold(
    effect: NDArray[np.float64],
    features: NDArray[np.float64],
    new: NDArray[np.float64],
    blocks: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """Every member's prediction of new perturbations, and their sum."""
    n = len(effect)
    scaling = FeatureScaling.fit(features, blocks)
    axes = np.linalg.svd(effect, full_matrices=False)[2][:N_COMPONENTS]
    scores = effect @ axes.T
    generator = InterventionGenerator(
        features,
        blocks,
        RandomEffects(
            shift=scores,
            shift_variance=np.full(n, TINY),
            log10_ec50=np.zeros(n),
            log10_ec50_variance=np.ones(n),
        ),
        noise=np.full(n, TINY),
        ec50_noise=np.ones(n),
    )
    none = StrengthCurve(np.zeros(0), np.zeros(0))
    saturated = np.full(n, np.inf)
    measured = MeasuredEffects(np.arange(n), saturated, effect, np.full(effect.shape, TINY))
    kernel = EffectKernel.of(features, scaling)
    fitted = fit_effect_stack(measured, kernel, generator.left_out_shift @ axes, none)
    assert fitted is not None
    stack = fitted[0]
    generated = generator.predict(new)
    causal = generated.shift @ axes
    similarity = compare_features(new, features, scaling)
    members = stack.members(similarity, np.full(len(new), np.inf), causal)
    total = stack.predict(
        similarity,
        np.full(len(new), np.inf),
        causal,
        is_far=generated.is_far,
        is_unknown=generated.is_unknown,
    )
    return members | {STACK: total}


def _predict_from_other_contexts(
    values: NDArray[np.float64], design: pd.DataFrame
) -> NDArray[np.float64]:
    """Mean effect of a perturbation in the other contexts, shrunk by how well contexts agree.

    The factor of a context is the least-squares slope of the effects in each other context on the mean
    of the rest, so that the effects to be predicted have no part in it.
    """
    code = design["perturbation"].factorize()[0]
    contexts = design["context"].unique()
    predicted = np.zeros_like(values)
    for context in contexts:
        here = (design["context"] == context).to_numpy()
        others = group_means(values[~here], code[~here], code.max() + 1)
        rest = [
            _slope_terms(values, code, design["context"].to_numpy(), one, context)
            for one in contexts
            if one != context
        ]
        product, square = np.sum(rest, axis=0)
        factor = np.clip(product / max(square, TINY), 0.0, 1.0) if square > TINY else 1.0
        predicted[here] = factor * others[code[here]]
    return predicted


def _slope_terms(
    values: NDArray[np.float64],
    code: NDArray[np.int64],
    contexts: NDArray[np.object_],
    target: str,
    left_out: str,
) -> tuple[float, float]:
    """Sum products and squares for the slope of one context on the mean of the rest."""
    here = contexts == target
    rest = ~here & (contexts != left_out)
    if not rest.any():
        return 0.0, 0.0
    mean = group_means(values[rest], code[rest], code.max() + 1)[code[here]]
    return float((mean * values[here]).sum()), float((mean**2).sum())


def _score(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], baseline: NDArray[np.float64]
) -> dict[str, float]:
    error = float(((truth - predicted) ** 2).sum())
    moved, deviation = predicted - baseline, truth - baseline
    size = float(np.sqrt((moved**2).sum() * (deviation**2).sum()))
    return {
        "r2": 1 - error / float((deviation**2).sum()),
        "r2_from_control": 1 - error / float((truth**2).sum()),
        "pearson": float((moved * deviation).sum()) / size if size > TINY else 0.0,
        "n_perturbations": len(truth),
    }


def _read_effects(
    effects: pd.DataFrame | AnnData, perturbation_key: str, context_key: str | None
) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Effects as an array, and perturbation and context of each row."""
    if isinstance(effects, AnnData):
        matrix = effects.X.toarray() if hasattr(effects.X, "toarray") else effects.X
        values, obs = np.asarray(matrix, dtype=np.float64), effects.obs
        labels = _column(obs, perturbation_key)
    else:
        values, obs = effects.to_numpy(np.float64), pd.DataFrame(index=effects.index)
        labels = effects.index.astype(str).to_numpy()
        if context_key is not None:
            message = (
                f"`context_key={context_key!r}` names a column of `obs`, but `effects` is a DataFrame, "
                "which has one context. Pass an AnnData."
            )
            raise ValueError(message)
    contexts = np.full(len(values), "") if context_key is None else _column(obs, context_key)
    return values, pd.DataFrame({"perturbation": labels, "context": contexts})


def _column(obs: pd.DataFrame, key: str) -> NDArray[np.object_]:
    if key not in obs:
        message = (
            f"`obs` has no column {key!r}; its columns are {list(obs.columns)}. Name one of them."
        )
        raise ValueError(message)
    return obs[key].astype(str).to_numpy()


def _check_inputs(
    values: NDArray[np.float64], design: pd.DataFrame, features: pd.DataFrame, n_folds: int
) -> pd.DataFrame:
    """Raise for effects or features that cannot be used; give the features as they are looked up."""
    is_bad = ~np.isfinite(values).all(1)
    if is_bad.any():
        names = design.loc[is_bad, "perturbation"].tolist()
        message = (
            f"The effects of {quote_some(names)} are not finite numbers. Leave these rows out, or fill "
            "in what is missing before the comparison."
        )
        raise ValueError(message)
    repeated = design[design.duplicated()]
    if len(repeated):
        rows = [" in ".join(filter(None, row)) for row in repeated.itertuples(index=False)]
        message = (
            f"`effects` has more than one row of {quote_some(rows)}. Give one row per perturbation and "
            "context: average replicates first."
        )
        raise ValueError(message)
    table = features.set_axis(features.index.astype(str))
    missing = sorted(set(design["perturbation"]) - set(table.index))
    if missing:
        message = (
            f"`features` has no row for {quote_some(missing)}. Give features of every perturbation, or "
            "leave these effects out."
        )
        raise ValueError(message)
    if table.index.has_duplicates or not np.isfinite(table.to_numpy(np.float64)).all():
        message = (
            "`features` must have one row of finite numbers per perturbation, but a row is there twice "
            "or a number is missing. Mend the table first."
        )
        raise ValueError(message)
    fewest = int(design.groupby("context")["perturbation"].nunique().min())
    if fewest < MIN_PERTURBATIONS:
        message = (
            f"A context has {fewest} perturbations, and at least {MIN_PERTURBATIONS} are needed to leave "
            "some out and learn from the rest. Leave the context out."
        )
        raise ValueError(message)
    if n_folds < 2:
        message = f"`n_folds` is {n_folds}, but at least 2 folds are needed."
        raise ValueError(message)
    return table
