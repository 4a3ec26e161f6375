import anndata as ad
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def make_screen():
    """Build an AnnData whose cells have the given columns and Poisson counts of 20 genes."""

    def make(**columns):
        n_cells = len(next(iter(columns.values())))
        obs = pd.DataFrame(columns, index=[f"cell_{cell}" for cell in range(n_cells)])
        counts = np.random.default_rng(0).poisson(3.0, (n_cells, 20)).astype(np.float32)
        var = pd.DataFrame(index=[f"gene_{gene}" for gene in range(20)])
        return ad.AnnData(counts, obs=obs, var=var)

    return make
