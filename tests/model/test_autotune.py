"""The search over settings of scvi-tools, by a script of its own: Ray does not start below pytest."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("autotune_script.py")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    pytest.importorskip("ray", reason="scvi.autotune needs Ray: pip install 'scgim[tune]'")
    folder = tmp_path_factory.mktemp("autotune")
    # the paths of Ray's sockets may have 107 bytes, and folders of pytest are long
    with tempfile.TemporaryDirectory(prefix="ray") as ray_folder:
        run = subprocess.run(
            [sys.executable, str(SCRIPT), str(folder), ray_folder],
            env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_DISABLE_MEMORY_MONITOR": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return json.loads((folder / "report.json").read_text())


def test_every_epoch_of_a_trial_scores_held_out_conditions(report):
    for scores in report["scores"].values():
        assert 10 < len(scores) <= 40  # early stopping may end it
        assert np.isfinite(scores).all()
        assert max(scores) > scores[0]


def test_the_best_trial_is_the_one_with_the_best_held_out_score(report):
    last = {int(n_nodes): scores[-1] for n_nodes, scores in report["scores"].items()}
    assert set(last) == {2, 3}
    assert report["best"] == max(last, key=last.get)


def test_a_trial_with_impossible_settings_fails_in_our_words_and_alone(report):
    (error,) = report["errors"]
    assert "`n_nodes=1`, but a causal graph has at least 2 nodes. Raise it." in error
