from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scgim._types import FloatArray
    from scgim.spaces._measured_shifts import MeasuredShifts

# Draws of genes for the intervals, which then have ends that are known to a twentieth of their width.
N_BOOTSTRAP = 400
LOWER, UPPER = 0.1, 0.9
# A measured effect this many standard deviations above what noise alone would give has shares.
MIN_EFFECT_SD = 2.0
PARTS = ("mechanism", "direct", "unexplained")


def compute_mechanism_share(
    measured: MeasuredShifts,
    from_nodes: FloatArray,
    direct: FloatArray,
    degrees_of_freedom: tuple[float, FloatArray],
    names: list[str],
) -> pd.DataFrame:
    r"""Divide the measured effect of each perturbation into what nodes and direct effects explain.

    With measured shifts :math:`y`, their sampling variance :math:`v`, shifts by the nodes :math:`m` and
    direct effects :math:`d`, the effect is :math:`\sum (y^2 - v) / v`, of which the nodes explain
    :math:`\sum (2ym - m^2) / v` and the direct effects :math:`\sum (2(y - m)d - d^2) / v`. What was
    fitted to the same cells also explains noise; twice the degrees of freedom that it took are taken
    off (Efron 2004, J Am Stat Assoc 99:619).

    Parameters
    ----------
    measured
        Measured shifts.
    from_nodes
        What the nodes do in each condition, shape ``(n_rows, n_genes)``.
    direct
        What direct effects add, same shape.
    degrees_of_freedom
        Of the nodes, for each perturbation; and of the direct effects, ``(n_perturbations, n_genes)``.
    names
        The perturbations.

    Returns
    -------
    One row per perturbation: ``perturbation``, then ``mechanism``, ``direct`` and ``unexplained``, each
    with its 80 % interval over genes (``mechanism_lower``, ...). NaN where no effect was measured.
    """
    precision = 1 / measured.variance
    y, residual = measured.shift, measured.shift - from_nodes
    n_genes = y.shape[1]

    def add(values: FloatArray) -> FloatArray:
        total = np.zeros((len(names), n_genes))
        np.add.at(total, measured.perturbation, precision * values)
        return total

    of_nodes, of_direct = degrees_of_freedom
    size = add(y**2 - measured.variance)
    by_nodes = add((2 * y - from_nodes) * from_nodes) - 2 * of_nodes / n_genes
    by_direct = add((2 * residual - direct) * direct) - 2 * of_direct
    n_rows = np.bincount(measured.perturbation, minlength=len(names))
    has_effect = size.sum(1) > MIN_EFFECT_SD * np.sqrt(2.0 * n_genes * np.maximum(n_rows, 1))
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n_genes, np.full(n_genes, 1 / n_genes), N_BOOTSTRAP).astype(float)
    estimate = _shares(*(part.sum(1) for part in (size, by_nodes, by_direct)))
    draws = _shares(*(counts @ part.T for part in (size, by_nodes, by_direct)))
    lower, upper = np.quantile(draws, [LOWER, UPPER], axis=1)
    table: dict[str, object] = {"perturbation": names}
    for number, part in enumerate(PARTS):
        for suffix, values in (("", estimate), ("_lower", lower), ("_upper", upper)):
            table[part + suffix] = np.where(has_effect, values[number], np.nan)
    return pd.DataFrame(table)


def _shares(size: FloatArray, by_nodes: FloatArray, by_direct: FloatArray) -> FloatArray:
    """Shares of the nodes, of direct effects and of neither, which sum to one."""
    size = np.maximum(size, 1e-12)
    nodes = np.clip(by_nodes / size, 0.0, 1.0)
    direct = np.clip(by_direct / size, 0.0, 1.0 - nodes)
    return np.stack([nodes, direct, 1.0 - nodes - direct])
