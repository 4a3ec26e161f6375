from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scgim.scm import shift_nodes
from scgim.scm.generator._dense_interventions import respond
from scgim.scm.generator._effect_kernel import EffectKernel
from scgim.scm.generator._effect_stack import EffectStack, fit_effect_stack
from scgim.scm.generator._perturbation_features import FeatureScaling
from scgim.spaces._direct_effects import predict_measured

if TYPE_CHECKING:
    from scgim._types import FloatArray
    from scgim.scm import Intervention, InterventionGenerator
    from scgim.scm.generator._strength_curve import StrengthCurve
    from scgim.spaces._latent_fit import LatentFit
    from scgim.spaces._measured_shifts import MeasuredShifts


# Draws from the distribution over interventions of a left-out perturbation, and control cells for each:
# together as many as for one intervention that is known.
N_DRAWS = 8
N_CELLS = 32


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
    draws = _draw_left_out(fit, generator, measured)
    causal = predict_measured(fit, measured, draws, N_CELLS)
    fitted = fit_effect_stack(measured, EffectKernel.of(features, scaling), causal, curve)
    return None if fitted is None else (*fitted, causal)


def _draw_left_out(
    fit: LatentFit, generator: InterventionGenerator, measured: MeasuredShifts
) -> Intervention:
    """Draw what the generator thinks of each condition with its perturbation left out.

    Expression bends with the nodes, so the mean over the distribution over interventions is not the
    shift under the mean intervention. Draws are centred, which leaves only the bend to chance.
    """
    of_row = measured.perturbation
    shift = generator.left_out_shift[of_row][None]
    log10_ec50 = generator.left_out_log10_ec50[of_row][None]
    if generator.is_informative:
        n = len(of_row)
        noise, ec50_noise = generator.draw_residuals(
            np.ones(n, int), np.zeros(n, bool), N_DRAWS, np.random.default_rng(0)
        )
        shift = shift + noise - noise.mean(0)
        log10_ec50 = log10_ec50 + ec50_noise - ec50_noise.mean(0)
    moved = respond(fit.table, fit.interventions.hill, shift, log10_ec50, measured.log10_dose)
    return shift_nodes(torch.as_tensor(moved))
