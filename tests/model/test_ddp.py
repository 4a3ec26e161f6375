"""Training in two processes, by a script of its own: the processes start it again themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scgim.model import GIM

SCRIPT = Path(__file__).with_name("ddp_script.py")
N_EPOCHS = 20


def train(folder, n_processes):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(folder), str(n_processes)]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return [json.loads(path.read_text()) for path in sorted(folder.glob("rank_*.json"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ddp")


@pytest.fixture(scope="module")
def ranks(folder):
    return train(folder, 2)


pytestmark = pytest.mark.slow


def test_each_process_has_its_own_cells_and_together_they_have_all(ranks):
    held_out = set(ranks[0]["held_out"])
    assert ranks[1]["held_out"] == ranks[0]["held_out"]
    per_epoch = len(ranks[0]["cells"]) // N_EPOCHS
    for epoch in range(N_EPOCHS):
        batches = slice(epoch * per_epoch, (epoch + 1) * per_epoch)
        first, second = (
            {cell for batch in rank["cells"][batches] for cell in batch} for rank in ranks
        )
        assert len(first & second) <= 1  # one cell may fill up the smaller half
        assert not held_out & (first | second)
        assert len(first | second) + len(held_out) == 296


def test_processes_end_with_the_same_model(ranks):
    assert ranks[0]["elbo"] == ranks[1]["elbo"]
    np.testing.assert_array_equal(ranks[0]["shift"], ranks[1]["shift"])


def test_the_model_is_saved_once_and_is_the_trained_one(ranks, folder):
    assert {path.name for path in folder.iterdir()} == {"model", "rank_0.json", "rank_1.json"}
    model = GIM.load(folder / "model", adata=False, safe=True)
    np.testing.assert_allclose(
        model.predict_shift([("drug_a", 10.0)]).X, ranks[0]["shift"], rtol=1e-4, atol=1e-5
    )


def test_the_loss_is_that_of_one_process_within_noise(ranks, tmp_path):
    (alone,) = train(tmp_path, 1)
    assert abs(ranks[0]["elbo"] - alone["elbo"]) < 1.0
    assert abs(ranks[0]["history"]["elbo_train"] - alone["history"]["elbo_train"]) < 2.0
    difference = np.abs(np.subtract(ranks[0]["shift"], alone["shift"])).mean()
    assert difference < 0.25 * np.abs(alone["shift"]).mean()
