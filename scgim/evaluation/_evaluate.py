"""Evaluation of predictions on held-out cells, always beside baselines and ceilings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim._messages import quote_some
from scgim.evaluation._baselines import (
    BilinearOnFeatures,
    GeneratorOnComponents,
    MLPEnsemble,
    NearestPerturbation,
    RidgeOnFeatures,
)
from scgim.evaluation._ceilings import (
    AUTOENCODER,
    CEILINGS,
    DUPLICATE,
    ONLY_FOR_GIM,
    ORACLE,
    GIMCeilings,
    score_duplicate,
)
from scgim.evaluation._evaluated import name_predictors, predict_held_out
from scgim.evaluation._held_out_cells import HeldOutCells, divide_controls
from scgim.evaluation._predicted_cells import predict_conditions
from scgim.evaluation._scoring import METRICS, Prediction, Scorer, ScoringSettings
from scgim.evaluation._simple_baselines import (
    AdditiveShifts,
    ContextMean,
    DoseInterpolation,
    MeanOfTreated,
    NoEffect,
    OtherContexts,
    SameClassMean,
    SameDoseMean,
)
from scgim.evaluation._training_screen import ScreenKeys, TrainingScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import anndata as ad
    from numpy.typing import NDArray

    from scgim.evaluation._evaluated import Evaluated
    from scgim.evaluation._moved_control import MovedControl
    from scgim.evaluation._predictors import Predictor
    from scgim.evaluation._splits import Split
    from scgim.evaluation._trained_gim import TrainedGIM

EVALUATED, BASELINE, ABLATION, CEILING = "evaluated", "baseline", "ablation", "ceiling"
N_NEIGHBORS = 5
COLUMNS = [
    "predictor",
    "kind",
    "perturbation",
    "dose",
    "context",
    "metric",
    "family",
    "better",
    "value",
    "reason",
    "n_cells",
    "seed",
]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one split, and the predictions that they judge.

    Attributes
    ----------
    scores
        Tidy table, see :func:`evaluate`.
    screen
        The training cells.
    truth
        The held-out cells.
    shifts
        Predicted mean shift of each predictor, ``(n_conditions, n_genes)``, NaN where it has none.
    """

    scores: pd.DataFrame
    screen: TrainingScreen
    truth: HeldOutCells
    shifts: dict[str, NDArray[np.float64]]


def all_baselines(classes: pd.Series | None = None) -> list[MovedControl]:
    """Make every baseline that an evaluation contains, whether or not the screen allows for it.

    Parameters
    ----------
    classes
        Class of each perturbation, if any is known.

    Returns
    -------
    Unfitted predictors, simplest first.
    """
    return [
        NoEffect(),
        MeanOfTreated(),
        ContextMean(),
        SameDoseMean(),
        SameClassMean(classes),
        AdditiveShifts(),
        DoseInterpolation(),
        OtherContexts(),
        NearestPerturbation(),
        NearestPerturbation(N_NEIGHBORS),
        RidgeOnFeatures(),
        BilinearOnFeatures(),
        MLPEnsemble(),
    ]


def evaluate(
    predictors: Evaluated | Mapping[str, Evaluated],
    adata: ad.AnnData,
    split: Split,
    *,
    classes: pd.Series | None = None,
    settings: ScoringSettings | None = None,
) -> pd.DataFrame:
    """Score predictions on held-out cells beside all baselines and ceilings.

    Baselines cannot be left out: a score says nothing without them. Nor can the ablation, GIM's generator
    on principal components without a causal model: what GIM does better is what that model earns. Principal components, the choice of
    genes, scales and features come from training cells only. The control cells are divided: predictors
    see one half, the truth is measured from the other, so that they share no noise.

    Parameters
    ----------
    predictors
        A trained :class:`~scgim.model.GIM`, predicted cells as an AnnData, an object that follows
        :class:`Predictor`, or a dictionary of several by name. An AnnData has the columns of ``obs``
        and the genes of ``adata``, in counts, normalised counts or log1p of them.
    adata
        The whole screen, which is not changed.
    split
        What is held out, see :func:`split`. A model has to be trained on ``split.training(adata)``;
        predictors that follow the protocol are fitted here.
    classes
        Class of each perturbation, such as its mechanism of action, for the baseline
        :class:`SameClassMean`.
    settings
        Sizes that scores depend on.

    Returns
    -------
    Tidy table, one row per predictor, condition and metric: ``predictor``, ``kind`` (evaluated,
    baseline, ablation or ceiling), ``perturbation``, ``dose``, ``context``, ``metric``, ``family``, ``better``
    (higher, lower or zero), ``value``, ``reason`` (why there is no value, else empty), ``n_cells``
    (held-out cells) and ``seed`` (of the split). What does not apply has a row with NaN and the reason.

    Raises
    ------
    ValueError
        When predictions lack genes or conditions, are in another space, are NaN or copies of the
        truth, or when the split leaves nothing to train on.

    See Also
    --------
    judge : Better, on par or worse, by the claim rule.
    """
    return run_evaluation(predictors, adata, split, classes=classes, settings=settings).scores


def run_evaluation(
    predictors: Evaluated | Mapping[str, Evaluated],
    adata: ad.AnnData,
    split: Split,
    *,
    classes: pd.Series | None = None,
    settings: ScoringSettings | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate as :func:`evaluate` does, and keep what reports show beside the scores.

    Parameters
    ----------
    predictors
        As for :func:`evaluate`.
    adata
        The whole screen.
    split
        What is held out.
    classes
        Class of each perturbation, if any is known.
    settings
        Sizes.
    progress
        Told the name of each predictor before it is scored.

    Returns
    -------
    Scores and predictions.
    """
    settings = settings or ScoringSettings()
    screen, truth = prepare(adata, split, settings)
    run = _Run(Scorer(screen, truth, settings), progress or (lambda _: None))
    named = name_predictors(predictors)
    ablation = GeneratorOnComponents()
    baselines = [*all_baselines(classes), ablation]
    repeated = Counter([*named, *(baseline.name for baseline in baselines), *CEILINGS])
    check_new_names([name for name, count in repeated.items() if count > 1])
    models = {name: run.add_evaluated(name, value) for name, value in named.items()}
    for baseline in baselines:
        run.add_predictor(baseline, ABLATION if baseline is ablation else BASELINE)
    run.add_ceilings([model for model in models.values() if model is not None])
    scores = _with_conditions(pd.concat(run.tables, ignore_index=True), truth)
    return Evaluation(scores.assign(seed=split.seed)[COLUMNS], screen, truth, run.shifts)


def prepare(
    adata: ad.AnnData, split: Split, settings: ScoringSettings
) -> tuple[TrainingScreen, HeldOutCells]:
    """Divide a screen into what predictors may see and the truth.

    Parameters
    ----------
    adata
        The whole screen.
    split
        What is held out.
    settings
        Whose seed divides the control cells.

    Returns
    -------
    Training cells and held-out cells.
    """
    keys = evaluation_keys(split)
    is_held_out = split.is_held_out(adata)
    is_reference = divide_controls(adata, keys, settings.seed)
    is_training = ~is_held_out & ~is_reference
    labels = adata.obs[keys.perturbation].astype(str)
    check_training_remains(
        labels[is_training & (labels != keys.control).to_numpy()].nunique(),
        n_held_out=len(split.held_out),
    )
    screen = TrainingScreen(adata[is_training].copy(), keys)
    return screen, HeldOutCells.of(adata[is_held_out], adata[is_reference], screen)


def evaluation_keys(split: Split) -> ScreenKeys:
    """Tell where the design of a screen is, contexts of the split among it.

    Parameters
    ----------
    split
        What is held out.

    Returns
    -------
    The keys.
    """
    return replace(split.keys, context=split.keys.context or split.context)


class _Run:
    """Collects the scores of one evaluation."""

    def __init__(self, scorer: Scorer, progress: Callable[[str], None]) -> None:
        self.scorer = scorer
        self.progress = progress
        self.tables: list[pd.DataFrame] = []
        self.shifts: dict[str, NDArray[np.float64]] = {}

    def add_evaluated(self, name: str, value: Evaluated) -> TrainedGIM | None:
        """Score what was handed over; returns a GIM that ceilings can be taken from."""
        self.progress(name)
        scorer = self.scorer
        prediction, gim = predict_held_out(
            name, value, scorer.screen, scorer.truth, scorer.settings
        )
        self._add(prediction, EVALUATED)
        return gim

    def add_predictor(self, predictor: Predictor, kind: str) -> None:
        """Fit a predictor on the training cells and score it."""
        self.progress(predictor.name)
        predictor.fit(self.scorer.screen)
        self._add(predict_conditions(predictor, self.scorer.truth, self.scorer.settings), kind)

    def add_ceilings(self, models: list[TrainedGIM]) -> None:
        """Score the ceilings; those of a GIM for the first model that is one."""
        self.progress(DUPLICATE)
        duplicate = score_duplicate(self.scorer)
        self.tables.append(duplicate.assign(predictor=DUPLICATE, kind=CEILING))
        if not models:
            n_conditions = self.scorer.truth.n_conditions
            for name in (AUTOENCODER, ORACLE):
                self.tables.append(_without_values(name, n_conditions, ONLY_FOR_GIM))
            return
        ceilings = GIMCeilings(models[0], self.scorer.screen, self.scorer.truth)
        for make in (ceilings.autoencoder, ceilings.oracle_intervention):
            prediction = make()
            self.progress(prediction.name)
            self._add(prediction, CEILING)

    def _add(self, prediction: Prediction, kind: str) -> None:
        self.shifts[prediction.name] = prediction.shift
        scores = self.scorer.score(prediction)
        self.tables.append(scores.assign(predictor=prediction.name, kind=kind))


def _without_values(name: str, n_conditions: int, reason: str) -> pd.DataFrame:
    rows = [(row, metric.name) for metric in METRICS for row in range(n_conditions)]
    table = pd.DataFrame(rows, columns=["condition", "metric"])
    return table.assign(value=np.nan, reason=reason, predictor=name, kind=CEILING)


def _with_conditions(scores: pd.DataFrame, truth: HeldOutCells) -> pd.DataFrame:
    """Name conditions and metrics in full."""
    row = scores["condition"].to_numpy()
    plain = truth.plain.assign(n_cells=truth.moments.n_cells).iloc[row].reset_index(drop=True)
    families = {metric.name: metric for metric in METRICS}
    found = [families[name] for name in scores["metric"]]
    return scores.reset_index(drop=True).assign(
        **{column: plain[column] for column in ("perturbation", "dose", "context", "n_cells")},
        family=[metric.family for metric in found],
        better=[metric.better for metric in found],
    )


def check_training_remains(n_perturbations: int, *, n_held_out: int) -> None:
    """Raise if a split leaves nothing to learn from.

    Parameters
    ----------
    n_perturbations
        Perturbations in the training cells.
    n_held_out
        Held-out conditions.
    """
    if n_perturbations == 0:
        msg = (
            f"The split holds out all {n_held_out} treated conditions, so no perturbation is left to "
            "train on and every prediction would be a guess. Hold out fewer."
        )
        raise ValueError(msg)


def check_new_names(repeated: Collection[str]) -> None:
    """Raise if a predictor has the name of another.

    Parameters
    ----------
    repeated
        Names that occur more than once.
    """
    if repeated:
        msg = (
            f"The names {quote_some(sorted(repeated))} are used more than once among predictors, "
            "baselines and ceilings. Give each predictor a name of its own."
        )
        raise ValueError(msg)
