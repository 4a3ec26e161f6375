"""What a user is told of unseen perturbations whose features tell nothing of them."""

from __future__ import annotations

from scgim._messages import quote_some, warn

# What such perturbations are predicted to do, with and without a population to draw them from.
PREDICTED = {
    False: "to have no effect",
    True: "to do what other perturbations do at their dose",
}


def warn_if_features_say_nothing(
    names: list[str], p_value: float, *, is_informative: bool, has_population: bool = False
) -> None:
    """Warn that the causal model has nothing to say of unseen perturbations, for want of information.

    Parameters
    ----------
    names
        Unseen perturbations.
    p_value
        How often shuffled features predict as well.
    is_informative
        Whether the features were shown to say something.
    has_population
        Whether they are then predicted from what other perturbations do, and not as no effect.
    """
    if not is_informative:
        warn(
            f"Unseen perturbations {quote_some(names)} are predicted {PREDICTED[has_population]}, "
            "because the features of the seen ones cannot be told from shuffled ones (permutation p = "
            f"{p_value:.2g}). This is a default and no finding. Give features that say more about "
            "mechanisms, and see `GIM.get_generator_report`."
        )


def warn_if_mechanism_is_unknown(names: list[str], *, has_population: bool = False) -> None:
    """Warn that the causal model has nothing to say of perturbations, for nothing like them was run.

    Parameters
    ----------
    names
        Perturbations whose features are unlike those of all seen ones and of their sums.
    has_population
        Whether they are then predicted from what other perturbations do, and not as no effect.
    """
    if names:
        warn(
            f"Unseen perturbations {quote_some(names)} are predicted {PREDICTED[has_population]}, "
            "because their features are unlike those of every seen perturbation and of every sum of known mechanisms. "
            "This is a default and no finding; intervals are as wide as the effects of seen "
            "perturbations. Leave them out with `GIM.predict(..., abstain=True)`, or run one of their "
            "kind."
        )


def warn_if_targets_are_guessed(names: list[str], p_value: float, largest: float) -> None:
    """Warn that targets of unseen perturbations come from features that may say nothing.

    Parameters
    ----------
    names
        Unseen perturbations.
    p_value
        How often shuffled features predict left-out targets as well.
    largest
        Up to which p value features are taken to say something.
    """
    if p_value > largest:
        warn(
            f"Targets of the unseen perturbations {quote_some(names)} are little more than the rate "
            "at which each gene is a target, because the features of the seen ones cannot be told "
            f"from shuffled ones (permutation p = {p_value:.2g}). Give features that say more about "
            "mechanisms, and see `GIM.get_generator_report`."
        )
