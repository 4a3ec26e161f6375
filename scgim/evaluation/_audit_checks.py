"""Checks on what an audit is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scgim._messages import quote_some

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


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


def check_differing_perturbations(n_perturbations: int) -> None:
    """Raise unless there are perturbations to tell apart.

    Parameters
    ----------
    n_perturbations
        Number of different perturbations.
    """
    if n_perturbations < 2:
        msg = (
            f"Differences between perturbations need at least two of them, but there is "
            f"{n_perturbations}. Pass the conditions of more perturbations."
        )
        raise ValueError(msg)


def check_decoys(n_rows: int, decoys: Sequence[str], known: Collection[str]) -> None:
    """Raise if a table of targets has no perturbation without an effect.

    Parameters
    ----------
    n_rows
        Rows of these perturbations.
    decoys
        Perturbations that are known to do nothing.
    known
        Perturbations of the table.
    """
    if n_rows == 0:
        msg = (
            f"`targets` has no row of {quote_some(decoys)}. It has perturbations such as "
            f"{quote_some(sorted(set(known))[:3])}. Pass perturbations of the table that do nothing."
        )
        raise ValueError(msg)
