from __future__ import annotations

import math

import torch
from torch import Tensor

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
