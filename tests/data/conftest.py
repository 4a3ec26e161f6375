import anndata as ad
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def adata():
    """Combinations, four doses, batches and covariates on four genes."""
    design = [("vehicle", 0.0)] * 12
    design += [(drug, d) for drug in ("A", "B+A", "C") for d in (1.0, 2.0, 4.0, 8.0)] * 3
    obs = pd.DataFrame(design, columns=["drug", "dose"])
    obs.index = obs.index.astype(str)
    obs["plate"] = pd.Categorical(np.where(np.arange(len(obs)) % 2, "p2", "p1"))
    obs["donor"] = pd.Categorical(np.where(np.arange(len(obs)) % 3, "x", "y"))
    obs["age"] = np.arange(len(obs), dtype=float)
    adata = ad.AnnData(np.ones((len(obs), 4), np.float32), obs=obs)
    adata.uns["features"] = pd.DataFrame(
        {
            "ecfp:1": [0.0, 1.0, 0.0, 1.0],
            "ecfp:2": [1.0, 1.0, 0.0, 0.0],
            "logp": [1.0, 2.0, 4.0, 0],
        },
        index=["A", "B", "C", "unseen"],
    )
    return adata
