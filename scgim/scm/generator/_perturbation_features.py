from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray

# Beyond this ratio of column scales, one common scale would let a few columns decide everything.
MAX_SCALE_RATIO = 5.0
MAX_Z_SCORE = 4.0


@dataclass(frozen=True)
class FeatureScaling:
    """How perturbation features are brought to scale, learned on the seen perturbations.

    Attributes
    ----------
    continuous
        Columns that are not 0 or 1, shape ``(n_continuous,)``.
    binary_blocks
        Columns of each block of 0/1 features, such as a fingerprint.
    mean
        Mean of the continuous columns.
    sd
        Standard deviation of the continuous columns.
    additive_scale
        Divisor of the continuous columns where features are to add up: one common standard
        deviation, so that a sum of descriptors stays a sum, unless the columns are in very
        different units.
    """

    continuous: IntArray
    binary_blocks: tuple[IntArray, ...]
    mean: FloatArray
    sd: FloatArray
    additive_scale: FloatArray
    block_numbers: tuple[int, ...] = ()

    @classmethod
    def fit(cls, features: FloatArray, block_of_column: IntArray) -> FeatureScaling:
        """Learn the scaling.

        Parameters
        ----------
        features
            Features of the seen perturbations, shape ``(n_perturbations, n_features)``.
        block_of_column
            Block of each column, shape ``(n_features,)``; 0/1 columns of one block share a kernel.

        Returns
        -------
        The scaling. Constant columns are left out.
        """
        varies = features.std(0) > 0
        is_binary = np.isin(features, (0.0, 1.0)).all(0)
        continuous = np.flatnonzero(varies & ~is_binary)
        binary = np.flatnonzero(varies & is_binary)
        numbers = tuple(int(block) for block in np.unique(block_of_column[binary]))
        blocks = tuple(binary[block_of_column[binary] == block] for block in numbers)
        values = features[:, continuous]
        sd = values.std(0)
        common = np.full_like(sd, values.std() if sd.size else 1.0)
        has_one_unit = sd.size == 0 or sd.max() <= MAX_SCALE_RATIO * np.median(sd)
        return cls(continuous, blocks, values.mean(0), sd, common if has_one_unit else sd, numbers)

    def standardise(self, features: FloatArray) -> FloatArray:
        """Standardise the continuous columns and limit outliers to four standard deviations.

        Parameters
        ----------
        features
            Features, shape ``(n_perturbations, n_features)``.

        Returns
        -------
        Shape ``(n_perturbations, n_continuous)``.
        """
        z_scores = (features[:, self.continuous] - self.mean) / self.sd
        limited: FloatArray = np.clip(z_scores, -MAX_Z_SCORE, MAX_Z_SCORE)
        return limited

    def additive(self, features: FloatArray) -> FloatArray:
        """Scale without centring, so that a sum of features stays a sum; 0/1 columns unchanged.

        Parameters
        ----------
        features
            Features, shape ``(n_perturbations, n_features)``.

        Returns
        -------
        Shape ``(n_perturbations, n_varying_columns)``.
        """
        scaled = features[:, self.continuous] / self.additive_scale
        return np.concatenate([scaled, *self.blocks(features)], axis=1)

    def blocks(self, features: FloatArray) -> list[FloatArray]:
        """Take out the blocks of 0/1 columns.

        Parameters
        ----------
        features
            Features, shape ``(n_perturbations, n_features)``.

        Returns
        -------
        One array per block.
        """
        return [features[:, columns] for columns in self.binary_blocks]


def tanimoto(left: FloatArray, right: FloatArray) -> FloatArray:
    """Tanimoto (Jaccard) similarity of 0/1 vectors, common bits over all bits.

    Parameters
    ----------
    left
        Shape ``(n, n_bits)``.
    right
        Shape ``(m, n_bits)``.

    Returns
    -------
    Shape ``(n, m)``, between 0 and 1; 0 where both vectors are empty.
    """
    common = left @ right.T
    union = left.sum(1)[:, None] + right.sum(1)[None] - common
    similarity: FloatArray = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return similarity
