from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from scgim.scm import shift_nodes
from scgim.scm.generator._dense_interventions import respond
from scgim.scm.generator._effect_kernel import EffectKernel
from scgim.scm.generator._effect_stack import EffectStack, MeasuredEffects, fit_effect_stack
from scgim.scm.generator._perturbation_features import FeatureScaling
from scgim.spaces._direct_effects import predict_measured

if TYPE_CHECKING:
    from scgim._types import FloatArray
    from scgim.scm.generator._strength_curve import StrengthCurve
    from scgim.spaces._latent_fit import LatentFit
    from scgim.spaces._measured_shifts import MeasuredShifts


def learn_unseen_effects(
    fit: LatentFit, measured: MeasuredShifts, curve: StrengthCurve
) -> tuple[EffectStack, FloatArray, FloatArray] | None:
    """Weigh what the mean shift of an unseen perturbation may rest on.

    Parameters
    ----------
    fit
        What was learned of the nodes.
    measured
        Measured shifts.
    curve
        How strength follows the dose in the screen as a whole.

    Returns
    -------
    The stack, what it predicts of each condition with its perturbation left out, and what the nodes
    alone predict of it, each ``(n_rows, n_genes)``; ``None`` without a generator.
    """
    generator, features = fit.interventions.generator, fit.screen.seen_features
    if generator is None or features is None:
        return None
    scaling = FeatureScaling.fit(features, fit.screen.feature_blocks)
    of_row = measured.perturbation
    left_out = respond(
        fit.table,
        fit.interventions.hill,
        generator.left_out_shift[of_row],
        generator.left_out_log10_ec50[of_row],
        measured.log10_dose,
    )
    causal = predict_measured(fit, measured, shift_nodes(torch.as_tensor(left_out)))
    fitted = fit_effect_stack(
        MeasuredEffects(of_row, measured.log10_dose, measured.shift, measured.variance),
        EffectKernel.of(features, scaling),
        causal,
        curve,
    )
    return None if fitted is None else (*fitted, causal)
