from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from scgim._types import FloatArray

# Doses are log10, Hill slopes belong to natural logarithms: n ln(10) is the slope per decade.
LN10 = math.log(10.0)


def hill_response(log10_dose: Tensor, log10_ec50: Tensor, hill: Tensor) -> Tensor:
    r"""Fraction of the saturating effect that is reached at a dose.

    Computes :math:`d^n / (d^n + \mathrm{EC50}^n) = \sigma(n \ln 10\,(\log_{10} d -
    \log_{10}\mathrm{EC50}))` (Hill 1910).

    Parameters
    ----------
    log10_dose
        Dose, log10; minus infinity is dose zero, infinity is saturation.
    log10_ec50
        Dose of half the effect, log10 of the same unit.
    hill
        Slope n, positive.

    Returns
    -------
    Response between 0 and 1, exactly 0 at dose zero; shapes broadcast.

    Examples
    --------
    >>> at_zero_and_ec50 = torch.tensor([-torch.inf, 1.0])
    >>> hill_response(at_zero_and_ec50, torch.tensor(1.0), torch.tensor(2.0))
    tensor([0.0000, 0.5000])
    """
    is_finite = log10_dose.isfinite()
    # Infinities are replaced before the product: 0 * inf would make the gradient NaN.
    finite = torch.where(is_finite, log10_dose, log10_ec50.detach())
    response = torch.sigmoid(hill * LN10 * (finite - log10_ec50))
    return torch.where(is_finite, response, (log10_dose > 0).to(response.dtype))


def hill_response_of_arrays(
    log10_dose: FloatArray, log10_ec50: FloatArray, hill: FloatArray | float
) -> FloatArray:
    """As :func:`hill_response`, on arrays and in double precision.

    Parameters
    ----------
    log10_dose
        Dose, log10; minus infinity is dose zero, infinity is saturation.
    log10_ec50
        Dose of half the effect, log10 of the same unit.
    hill
        Slope, positive.

    Returns
    -------
    Response between 0 and 1, exactly 0 at dose zero; shapes broadcast.
    """
    # Copies: PyTorch warns about arrays that are read-only.
    arguments = (
        torch.from_numpy(np.array(values, dtype=np.float64))
        for values in (log10_dose, log10_ec50, hill)
    )
    response: FloatArray = hill_response(*arguments).numpy()
    return response


def hill_gradient(
    log10_dose: FloatArray, log10_ec50: FloatArray, hill: FloatArray | float
) -> FloatArray:
    r"""Differentiate the Hill curve by its two parameters, for Gauss-Newton and Laplace.

    With :math:`h = \sigma(x)` and :math:`x = n \ln 10\,(\log_{10} d - m)`, where :math:`m =
    \log_{10}\mathrm{EC}_{50}`,

    .. math::
        \partial h / \partial m = -n \ln 10\; h (1 - h), \qquad
        \partial h / \partial \log n = x\, h (1 - h).

    Parameters
    ----------
    log10_dose
        Dose, log10; infinities are allowed, the curve is flat there.
    log10_ec50
        Dose of half the effect, log10 of the same unit.
    hill
        Slope, positive.

    Returns
    -------
    Derivatives by log10 EC50 and by log slope, the broadcast shape plus ``(2,)``.
    """
    response = hill_response_of_arrays(log10_dose, log10_ec50, hill)
    steepness = LN10 * hill * response * (1 - response)
    apart = np.where(np.isfinite(log10_dose), log10_dose - log10_ec50, 0.0)
    gradient: FloatArray = np.stack([-steepness, steepness * apart], axis=-1)
    return gradient
