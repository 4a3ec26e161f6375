"""Named genes on real screens, and on simulated gold standards that others made."""

import numpy as np
import pytest

from scgim.benchmark._target_rankings import select_panel
from scgim.datasets import dream4, papalexi2021
from scgim.model import GIM, GraphSearch

KEYS = {"perturbation_key": "perturbation", "control": "control"}


def _fit(adata, **options):
    GIM.setup_anndata(adata, **KEYS, **options.pop("setup", {}))
    model = GIM(adata, causal_space="genes", **options)
    model.train(search=GraphSearch(n_restarts=4), enable_progress_bar=False)
    return model


@pytest.mark.usefixtures("real_data")
def test_knock_outs_of_papalexi_find_their_own_gene():
    adata = papalexi2021()
    adata = adata[:, select_panel(adata, 40)].copy()
    known = adata.uns["known_targets"]
    known = dict(zip(known.perturbation.astype(str), known.target.astype(str), strict=True))
    model = _fit(adata, setup={"batch_key": "bio_rep"})
    targets = model.get_intervention_targets()
    rank = targets.groupby("perturbation").evidence.rank(ascending=False)
    own = targets.node == targets.perturbation.map(known)
    assert own.sum() == 9
    assert (1 / rank[own]).mean() > 0.85
    fall = model.predict(["control", "STAT1"], n_cells=1000, seed=0)[:, "STAT1"].X.toarray()
    assert fall[1000:].mean() < 0.5 * fall[:1000].mean()


@pytest.mark.usefixtures("real_data")
@pytest.mark.filterwarnings("ignore:.*fewer than 3 cells", "ignore:.*conditions have a single cell")
def test_knock_outs_of_dream4_find_their_own_gene():
    """Profiles are single, so variation comes from the multifactorial ones, taken as controls."""
    adata = dream4(10, 1)
    adata = adata[adata.obs.experiment != "timeseries"].copy()
    is_own = adata.obs.experiment.isin(["knockdown", "knockout"])
    adata.obs["perturbation"] = np.where(is_own, adata.obs.perturbation.astype(str), "control")
    adata.obs["dose"] = np.where(is_own, adata.obs.dose, 0.0)
    model = _fit(adata, gene_likelihood="normal", setup={"dose_key": "dose"})
    targets = model.get_intervention_targets()
    rank = targets.groupby("perturbation").residual.rank()
    own = targets.node == targets.perturbation
    assert (1 / rank[own]).mean() > 0.8
