"""Perturbations with the features of others, to see whether predictions follow the features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scgim.evaluation._training_screen import TrainingScreen

ABLATIONS = ("shuffled", "zeroed", "random")


@dataclass(frozen=True)
class StandIns:
    """Perturbations that stand in for unseen ones, under names of their own.

    A predictor that knows them by name needs no way to change features: it is asked for the stand-in.

    Attributes
    ----------
    features
        One row per stand-in.
    names
        Of each ablation, one dictionary per draw: unseen perturbation to its stand-in.
    """

    features: pd.DataFrame
    names: dict[str, list[dict[str, str]]]

    @classmethod
    def draw(
        cls,
        screen: TrainingScreen,
        seen: Sequence[str],
        unseen: Sequence[str],
        n_draws: int,
        rng: np.random.Generator,
    ) -> StandIns:
        """Draw stand-ins of all kinds.

        Parameters
        ----------
        screen
            The training cells, with features of all perturbations.
        seen
            Perturbations of the training cells.
        unseen
            Perturbations to stand in for.
        n_draws
            Draws of shuffled and random features.
        rng
            Source of randomness.

        Returns
        -------
        The stand-ins.
        """
        training = screen.features.loc[list(seen)].astype(float)
        own = screen.features.loc[list(unseen)].astype(float)
        pool = pd.concat([own, training])
        tables: list[pd.DataFrame] = []
        names: dict[str, list[dict[str, str]]] = {}
        for kind in ABLATIONS:
            names[kind] = []
            for draw in range(1 if kind == "zeroed" else n_draws):
                table = _replace(kind, own, pool, training, rng)
                label = [f"{name} ({kind} {draw})" for name in own.index]
                tables.append(table.set_axis(label))
                names[kind].append(dict(zip(own.index, label, strict=True)))
        return cls(pd.concat(tables), names)

    def replaced(
        self, conditions: pd.DataFrame, screen: TrainingScreen
    ) -> Iterator[tuple[str, list[pd.DataFrame]]]:
        """Ask for the stand-ins instead of the perturbations.

        Parameters
        ----------
        conditions
            Held-out conditions.
        screen
            The training cells.

        Returns
        -------
        Of each ablation, the conditions of each draw.
        """
        key = screen.keys.perturbation
        parts = [screen.split(label) for label in conditions[key].astype(str)]
        for kind, draws in self.names.items():
            yield (
                kind,
                [
                    conditions.assign(**{key: [_rename(part, names) for part in parts]})
                    for names in draws
                ],
            )


def ablate_all(features: pd.DataFrame, kind: str, rng: np.random.Generator) -> pd.DataFrame:
    """Ablate the features of all perturbations, seen and unseen, for a training from scratch.

    Parameters
    ----------
    features
        One row per perturbation.
    kind
        "shuffled" between perturbations, "random" (each column shuffled on its own) or "one-hot" (an
        indicator per perturbation).
    rng
        Source of randomness.

    Returns
    -------
    Features with the same rows.
    """
    if kind == "shuffled":
        return features.iloc[rng.permutation(len(features))].set_axis(features.index)
    if kind == "one-hot":
        return pd.DataFrame(np.eye(len(features)), index=features.index, columns=features.index)
    changed = rng.permuted(features.to_numpy(dtype=float), axis=0)
    return pd.DataFrame(changed, index=features.index, columns=features.columns)


def with_features(screen: TrainingScreen, features: pd.DataFrame) -> TrainingScreen:
    """Give a screen other features.

    Parameters
    ----------
    screen
        The training cells, which are not changed.
    features
        One row per perturbation.

    Returns
    -------
    The same cells.
    """
    adata = screen.adata.copy()
    assert screen.keys.features is not None
    adata.uns[screen.keys.features] = features
    return replace(screen, adata=adata)


def _replace(
    kind: str,
    own: pd.DataFrame,
    pool: pd.DataFrame,
    training: pd.DataFrame,
    rng: np.random.Generator,
) -> pd.DataFrame:
    if kind == "shuffled":
        # Anybody's features but one's own: a draw that hits a perturbation itself moves on by one.
        chosen = rng.integers(len(pool) - 1, size=len(own))
        return pool.iloc[chosen + (chosen >= np.arange(len(own)))]
    if kind == "zeroed":
        is_binary = training.isin([0.0, 1.0]).all()
        return pd.concat([training.mean().where(~is_binary, 0.0)] * len(own), axis=1).T
    drawn = {name: rng.choice(column.to_numpy(), len(own)) for name, column in training.items()}
    return pd.DataFrame(drawn)


def _rename(parts: Sequence[str], names: dict[str, str]) -> str:
    return "+".join(names.get(part, part) for part in parts)
