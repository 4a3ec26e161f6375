import anndata as ad
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from scgim.cli._demo import N_PREDICTED_CELLS, SPLITS, DemoSettings, run_demo

# anndata sets this pandas option when it copies a part of the cells.
pytestmark = pytest.mark.filterwarnings("ignore:The 'mode.chained_assignment' option is deprecated")

SMALL = DemoSettings(
    n_nodes=4, n_genes=60, n_control=120, n_cells=8, n_classes=4, n_drugs=12, max_epochs=15
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder that a tiny demonstration wrote, and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "scgim-demo"
    console = Console(width=120, record=True, quiet=True)
    console.quiet = False
    with console.capture() as capture:
        run_demo(out, SMALL, console)
    return out, capture.get()


def test_every_baseline_and_the_ceiling_stand_beside_scgim(demo):
    _, printed = demo
    for name in (
        "scgim",
        "control mean",
        "same-dose mean",
        "ridge",
        "nearest drug",
        "replicate ceiling",
    ):
        assert name in printed


def test_every_split_and_both_scores_are_in_the_table(demo):
    _, printed = demo
    for split in SPLITS.values():
        assert split in printed.replace("\n", " ")
    assert "R²" in printed
    assert "E " in printed


def test_mechanism_stands_beside_chance(demo):
    _, printed = demo
    for text in ("chance", "targets of training drugs", "edges of the causal graph", "EC50"):
        assert text in printed


def test_annotated_cells_hold_latent_values_and_targets(demo):
    out, _ = demo
    annotated = ad.read_h5ad(out / "annotated.h5ad")
    assert annotated.obsm["X_gim"].shape == (annotated.n_obs, SMALL.n_nodes)
    assert "gim" in annotated.uns


def test_predicted_cells_are_those_of_the_held_out_conditions(demo):
    out, _ = demo
    predicted = ad.read_h5ad(out / "predictions.h5ad")
    conditions = pd.read_csv(out / "conditions.csv")
    sizes = predicted.obs.groupby(["drug", "dose"], observed=True).size()
    assert len(sizes) == len(conditions)
    assert set(sizes) == {N_PREDICTED_CELLS}
    assert predicted.uns["scgim"]["space"] == "counts"
    assert np.asarray(predicted.X.sum(axis=1)).min() > 0


def test_all_figures_are_written_and_in_the_report(demo):
    out, _ = demo
    names = {path.stem for path in (out / "figures").iterdir()}
    assert names >= {"training", "targets", "predicted_vs_observed", "dose_response"}
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(names)


def test_report_says_what_was_run(demo):
    out, _ = demo
    page = (out / "report.html").read_text()
    for text in ("scvi-tools", "n drugs", "<dd>12</dd>", "simulated"):
        assert text in page


def test_saved_model_predicts_again(demo):
    from scgim.cli._predict import run_predict  # noqa: PLC0415 - only this test needs it

    out, _ = demo
    run_predict(
        out / "model",
        out / "conditions.csv",
        features=None,
        n_cells=3,
        seed=0,
        out=out / "again.h5ad",
        console=Console(quiet=True),
    )
    assert ad.read_h5ad(out / "again.h5ad").n_obs == 3 * len(pd.read_csv(out / "conditions.csv"))
