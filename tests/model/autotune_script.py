"""Searches over settings of a small screen with Ray, and saves what a test compares."""

import importlib.util
import json
import sys
from pathlib import Path

import ray
from ray import tune
from scvi.autotune import run_autotune

from scgim.model import GIM

SCORE = "shift_r2_validation"

folder, ray_folder = Path(sys.argv[1]), sys.argv[2]
spec = importlib.util.spec_from_file_location(
    "fixtures", Path(__file__).parents[1] / "fixtures/models.py"
)
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)

adata = fixtures.make_screen(0)
GIM.setup_anndata(adata, **fixtures.SETUP)
# one worker and a small store: the test is to run wherever the other ones do
ray.init(
    num_cpus=1,
    include_dashboard=False,
    object_store_memory=80 * 2**20,
    _temp_dir=ray_folder,
)
experiment = run_autotune(
    GIM,
    adata,
    metrics=[SCORE],
    mode="max",
    search_space={
        "model_params": {"n_hidden": 16, "n_layers": 1, "n_nodes": tune.grid_search([1, 2, 3])},
        "train_params": {"max_epochs": 40, "batch_size": 64, "accelerator": "cpu"},
    },
    num_samples=1,
    scheduler="fifo",
    searcher="random",
    seed=1,
    resources={"cpu": 1},
    logging_dir=str(folder / "logs"),
    ignore_reinit_error=True,
)
trials = experiment.result_grid
report = {
    "errors": [str(error) for error in trials.errors],
    "scores": {
        trial.config["model_params"]["n_nodes"]: trial.metrics_dataframe[SCORE].tolist()
        for trial in trials
        if not trial.error
    },
    "best": trials.get_best_result(SCORE, "max").config["model_params"]["n_nodes"],
}
(folder / "report.json").write_text(json.dumps(report))
