"""Whether a predictor uses the features of perturbations, or any others would do as well."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from scgim._messages import quote_some
from scgim.evaluation._claim import MIN_SHARE_OF_SEEDS
from scgim.evaluation._evaluate import prepare
from scgim.evaluation._scoring import ScoringSettings
from scgim.evaluation._stand_ins import StandIns, ablate_all, with_features
from scgim.evaluation._trained_gim import TrainedGIM
from scgim.metrics import largest_shifts
from scgim.model import GIM

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import anndata as ad
    from numpy.typing import NDArray

    from scgim.evaluation._predictors import Predictor
    from scgim.evaluation._splits import Split
    from scgim.evaluation._training_screen import TrainingScreen

FeatureVerdict = Literal["uses features", "does not use features", "cannot tell"]

PREDICTED_AGAIN, RETRAINED = "predicted again", "retrained"
# Trained on constants, no predictor can tell perturbations apart, and some refuse to be.
RETRAINED_WITH = ("shuffled", "random", "one-hot")
MIN_EFFECT = 0.05
NO_CHANGE = 1e-6
N_TOP_GENES = 50
N_RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class FeatureAudit:
    """What the features of unseen perturbations are worth to a predictor.

    Attributes
    ----------
    predictor
        Name of the predictor.
    r2
        R² of the mean shift of the unseen perturbations with their own features.
    effects
        One row per ablation: ``ablation`` ("shuffled", "zeroed", "random", "one-hot"), ``how``
        ("predicted again" or "retrained"), ``r2``, ``effect`` (R² that is lost without the right
        features), ``lower`` and ``upper`` (95 % interval, paired over perturbations), ``moved``
        (squared change of the predictions over their squared size) and ``n_perturbations``; ``seed``
        where the audits of several seeds were joined.
    verdict
        "uses features": shuffled features predict worse, beyond chance, and the right ones better
        than no effect. "does not use features": predictions do not change, or shuffled features
        cost less than 0.05 of R². "cannot tell": anything else, such as too few perturbations.
    """

    predictor: str
    r2: float
    effects: pd.DataFrame
    verdict: FeatureVerdict

    @property
    def uses_features(self) -> bool:
        """Whether the audit passes, for :func:`judge` and :func:`judge_overall`."""
        return self.verdict == "uses features"

    @property
    def sentence(self) -> str:
        """The verdict with its numbers."""
        shuffled = self.effects[self.effects["ablation"] == "shuffled"]
        parts = [_describe_loss(how, rows) for how, rows in shuffled.groupby("how", sort=False)]
        n_seeds = shuffled["seed"].nunique() if "seed" in shuffled else 1
        seeds = "" if n_seeds == 1 else f", mean of {n_seeds} seeds,"
        n_perturbations = int(shuffled["n_perturbations"].iloc[0])
        return (
            f"{self.predictor} {_in_words(self.verdict)}: R² of {n_perturbations} unseen "
            f"perturbations{seeds} is {self.r2:.3f}; {' and '.join(parts)}."
        )


def join_audits(audits: Mapping[int, FeatureAudit]) -> FeatureAudit:
    """Join the audits of several seeds, as :func:`judge` joins scores.

    Parameters
    ----------
    audits
        Audit of each seed.

    Returns
    -------
    Mean R², the effects of all seeds, and the verdict that at least four of five seeds agree on, else
    "cannot tell".
    """
    verdicts = [audit.verdict for audit in audits.values()]
    n_needed = math.ceil(MIN_SHARE_OF_SEEDS * len(verdicts))
    agreed: list[FeatureVerdict] = [
        verdict
        for verdict in ("uses features", "does not use features")
        if verdicts.count(verdict) >= n_needed
    ]
    return FeatureAudit(
        next(iter(audits.values())).predictor,
        float(np.mean([audit.r2 for audit in audits.values()])),
        pd.concat([audit.effects.assign(seed=seed) for seed, audit in audits.items()]),
        agreed[0] if agreed else "cannot tell",
    )


def audit_features(
    predictor: GIM | Predictor,
    adata: ad.AnnData,
    split: Split,
    *,
    retrain: Callable[[], Predictor] | None = None,
    n_draws: int = 10,
    seed: int = 0,
) -> FeatureAudit:
    """Replace the features of unseen perturbations and see what the predictions lose.

    A predictor that ignores features can score well wherever perturbations resemble each other. So it
    is asked again for each held-out perturbation, as if it had the features of another one
    ("shuffled"), none ("zeroed": the mean of the training perturbations, 0 for indicators) or values
    drawn column by column ("random"). With ``retrain`` it is also trained anew on features that are
    shuffled, random, or indicators of the perturbations ("one-hot").

    Parameters
    ----------
    predictor
        A :class:`~scgim.model.GIM` trained on ``split.training(adata)``, or anything that follows
        :class:`Predictor`, which is fitted here.
    adata
        The whole screen, which is not changed.
    split
        A split that holds out perturbations.
    retrain
        Makes an untrained predictor. Takes as long as three trainings, or seconds with
        :class:`RefittedGIM`; left out by default.
    n_draws
        Draws of shuffled and random features.
    seed
        Seed of the draws.

    Returns
    -------
    Effects and verdict.

    Raises
    ------
    ValueError
        When the screen has no features, or the split holds out no perturbation as a whole.

    See Also
    --------
    evaluate : Scores beside baselines.
    """
    screen, truth = prepare(adata, split, ScoringSettings())
    return audit_on(
        predictor,
        screen,
        truth.conditions,
        truth.shift,
        retrain=retrain,
        n_draws=n_draws,
        seed=seed,
    )


def audit_on(
    predictor: GIM | Predictor,
    screen: TrainingScreen,
    conditions: pd.DataFrame,
    true_shift: NDArray[np.float64],
    *,
    retrain: Callable[[], Predictor] | None = None,
    n_draws: int = 10,
    seed: int = 0,
) -> FeatureAudit:
    """Audit as :func:`audit_features` does, against a truth that is given.

    Parameters
    ----------
    predictor
        As for :func:`audit_features`.
    screen
        The training cells.
    conditions
        Held-out conditions.
    true_shift
        Their mean shift, shape ``(n_conditions, n_genes)``.
    retrain
        Makes an untrained predictor.
    n_draws
        Draws of shuffled and random features.
    seed
        Seed of the draws.

    Returns
    -------
    Effects and verdict.
    """
    labels = conditions[screen.keys.perturbation].astype(str)
    seen = _named(screen, screen.conditions["perturbation"])
    unseen = unseen_perturbations(screen, conditions)
    check_can_be_audited(unseen, screen.features.index, has_features=screen.has_features)
    is_asked = np.array([bool(set(screen.split(label)) & set(unseen)) for label in labels])
    conditions = conditions[is_asked].reset_index(drop=True)
    errors = _Errors(conditions[screen.keys.perturbation].astype(str), true_shift[is_asked])
    stand_ins = StandIns.draw(screen, sorted(seen), unseen, n_draws, np.random.default_rng(seed))
    fitted = _fit(predictor, screen, stand_ins.features)
    own = fitted.predict_shift(conditions)
    # What a model says about stand-ins and about features that say nothing is no news to the user.
    with warnings.catch_warnings(record=True, action="always"):
        rows = [
            {"ablation": name, "how": PREDICTED_AGAIN}
            | errors.compare(own, [fitted.predict_shift(table) for table in tables])
            for name, tables in stand_ins.replaced(conditions, screen)
        ]
        if retrain is not None:
            rng = np.random.default_rng([seed, 1])
            rows += [
                {"ablation": name, "how": RETRAINED} | errors.compare(own, [shift])
                for name, shift in _retrain(retrain, screen, conditions, rng)
            ]
    effects = pd.DataFrame(rows)
    r2 = errors.r2(own)
    return FeatureAudit(fitted.name, r2, effects, _verdict(r2, effects))


def unseen_perturbations(screen: TrainingScreen, conditions: pd.DataFrame) -> list[str]:
    """Name the perturbations that only features tell about.

    Parameters
    ----------
    screen
        The training cells.
    conditions
        Held-out conditions.

    Returns
    -------
    Perturbations of the conditions, alone or in combination, that training has never seen.
    """
    held_out = _named(screen, conditions[screen.keys.perturbation].astype(str))
    return sorted(held_out - _named(screen, screen.conditions["perturbation"]))


def _named(screen: TrainingScreen, labels: pd.Series) -> set[str]:
    return {name for label in labels for name in screen.split(label)}


def _fit(predictor: GIM | Predictor, screen: TrainingScreen, features: pd.DataFrame) -> Predictor:
    """Make a predictor that knows the features of stand-ins; a trained GIM is not trained again."""
    predictor = TrainedGIM(predictor) if isinstance(predictor, GIM) else predictor
    if isinstance(predictor, TrainedGIM) and hasattr(predictor, "model"):
        trained = predictor.with_new_features(features)
        trained.fit(screen)
        return trained
    predictor.fit(with_features(screen, pd.concat([screen.features, features])))
    return predictor


class _Errors:
    """Squared errors of mean shifts by perturbation, over the genes that truly move most."""

    def __init__(self, labels: pd.Series, true_shift: NDArray[np.float64]) -> None:
        self._true = true_shift
        self._genes = largest_shifts(true_shift, min(N_TOP_GENES, true_shift.shape[1]))
        self._code, names = pd.factorize(labels)
        self._n = len(names)
        self._size = self._by_perturbation(true_shift)

    def r2(self, shift: NDArray[np.float64]) -> float:
        return 1.0 - float(self._error(shift).sum() / self._size.sum())

    def compare(
        self, own: NDArray[np.float64], shifts: list[NDArray[np.float64]]
    ) -> dict[str, float]:
        """Compare predictions without the right features, averaged over draws, with own ones."""
        without = np.mean([self._error(shift) for shift in shifts], axis=0)
        lost = without - self._error(own)
        total = self._size.sum()
        lower, upper = self._interval(lost)
        moved = np.mean([self._by_perturbation(shift - own).sum() for shift in shifts])
        size = self._by_perturbation(own).sum()
        return {
            "r2": 1.0 - float(without.sum() / total),
            "effect": float(lost.sum() / total),
            "lower": lower,
            "upper": upper,
            "moved": float(moved / size) if size > 0 else float(moved > 0),
            "n_perturbations": self._n,
        }

    def _interval(self, lost: NDArray[np.float64]) -> tuple[float, float]:
        """Interval of the R² that is lost, perturbations drawn with replacement."""
        rng = np.random.default_rng(0)
        drawn = rng.integers(self._n, size=(N_RESAMPLES, self._n))
        effect = lost[drawn].sum(axis=1) / self._size[drawn].sum(axis=1)
        tail = (1.0 - LEVEL) / 2.0
        lower, upper = np.quantile(effect, [tail, 1.0 - tail])
        return float(lower), float(upper)

    def _error(self, shift: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._by_perturbation(shift - self._true)

    def _by_perturbation(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        squared = (np.square(values) * self._genes).sum(axis=1)
        return np.bincount(self._code, squared, minlength=self._n).astype(np.float64)


def _retrain(
    make: Callable[[], Predictor],
    screen: TrainingScreen,
    conditions: pd.DataFrame,
    rng: np.random.Generator,
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Train on ablated features of all perturbations and predict."""
    for name in RETRAINED_WITH:
        predictor = make()
        predictor.fit(with_features(screen, ablate_all(screen.features, name, rng)))
        yield name, predictor.predict_shift(conditions)


def _verdict(r2: float, effects: pd.DataFrame) -> FeatureVerdict:
    if (effects.loc[effects["how"] == PREDICTED_AGAIN, "moved"] < NO_CHANGE).all():
        return "does not use features"
    shuffled = effects[effects["ablation"] == "shuffled"]
    if shuffled["n_perturbations"].iloc[0] < 3:
        return "cannot tell"
    if (shuffled["lower"] > 0).all():
        return "uses features" if r2 > 0 else "cannot tell"
    return "does not use features" if (shuffled["upper"] < MIN_EFFECT).any() else "cannot tell"


def _describe_loss(how: str, shuffled: pd.DataFrame) -> str:
    interval = "interval" if len(shuffled) == 1 else "intervals from"
    numbers = shuffled["effect"].mean(), shuffled["lower"].min(), shuffled["upper"].max()
    effect, lower, upper = (round(number, 3) + 0.0 for number in numbers)  # no minus before 0
    return (
        f"{how} with shuffled features, R² falls by {effect:.3f} "
        f"(95 % {interval} {lower:.3f} to {upper:.3f})"
    )


def _in_words(verdict: FeatureVerdict) -> str:
    return {"cannot tell": "may or may not use features"}.get(verdict, verdict)


def check_can_be_audited(
    unseen: Sequence[str], known: Collection[str], *, has_features: bool
) -> None:
    """Raise unless there are unseen perturbations that only their features tell about.

    Parameters
    ----------
    unseen
        Held-out perturbations that are not in training.
    known
        Perturbations with features.
    has_features
        Whether the screen has features at all.
    """
    if not has_features:
        msg = (
            "The screen has no features of perturbations (`keys.features` is None), so there is "
            "nothing to audit. Name the entry of `adata.uns` that holds them in `ScreenKeys`."
        )
        raise ValueError(msg)
    if not unseen:
        msg = (
            "The split holds out no perturbation as a whole: all of its held-out conditions are of "
            "perturbations seen in training, for which features are not needed. Audit on a split "
            'such as `split(adata, "perturbation")`.'
        )
        raise ValueError(msg)
    missing = [name for name in unseen if name not in known]
    if missing:
        msg = (
            f"{quote_some(missing)} are held out and have no row of features, so no predictor can "
            "predict them. Add the rows."
        )
        raise ValueError(msg)
