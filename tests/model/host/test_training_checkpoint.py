import os
import signal
from functools import partial

import numpy as np
import pytest
import scvi
import torch
from fixtures.kills import killed_after
from fixtures.models import SETUP, make_screen
from fixtures.saved_files import seal
from lightning.pytorch import Callback

from scgim.model import GIM
from scgim.model.host._training_checkpoint import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
N_EPOCHS = 6
TRAIN = {"accelerator": "cpu", "batch_size": 64, "enable_progress_bar": False, "fix_gauge": False}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Trainings that are killed run on one thread, and those that they are compared with do too."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


class Kill(Callback):
    """Kills the process in the middle of an epoch."""

    def __init__(self, epoch):
        self._epoch = epoch

    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == self._epoch:
            os.kill(os.getpid(), signal.SIGKILL)


def new_model(adata=None, seed=0, **options):
    scvi.settings.seed = seed
    adata = make_screen() if adata is None else adata
    GIM.setup_anndata(adata, **SETUP)
    return GIM(
        adata, **{"n_nodes": 3, "n_hidden": 16, "n_layers": 1, "dropout_rate": 0.1} | options
    )


def train_until_killed(epoch, folder, **train):
    model = new_model()
    callbacks = [Kill(epoch)]
    assert killed_after(
        120, partial(model.train, N_EPOCHS, checkpoint=folder, callbacks=callbacks, **TRAIN | train)
    )


@pytest.fixture(scope="module")
def whole():
    model = new_model()
    model.train(N_EPOCHS, **TRAIN)
    return model


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Checkpoint of a training that was killed in its fourth epoch."""
    folder = tmp_path_factory.mktemp("stopped") / "checkpoint"
    train_until_killed(3, folder)
    return folder


def assert_same_weights(left, right):
    for name, tensor in left.module.state_dict().items():
        assert torch.equal(tensor, right.module.state_dict()[name]), name


@pytest.mark.parametrize("epoch", [1, 4, N_EPOCHS - 1])
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(whole, tmp_path, epoch):
    train_until_killed(epoch, tmp_path / "checkpoint")
    model = new_model()
    torch.manual_seed(17)  # what happened before does not matter
    seen = []

    class Record(Callback):
        def on_train_epoch_start(self, trainer, plan):
            seen.append(trainer.current_epoch)

    model.train(N_EPOCHS, resume=tmp_path / "checkpoint", callbacks=[Record()], **TRAIN)
    assert seen == list(range(epoch, N_EPOCHS))
    assert_same_weights(model, whole)
    for name, table in whole.history.items():
        np.testing.assert_array_equal(model.history[name].to_numpy(float), table.to_numpy(float))
        assert list(model.history[name].index) == list(table.index)
    np.testing.assert_array_equal(model.train_indices, whole.train_indices)


def test_a_training_that_is_killed_twice_goes_on_twice(whole, tmp_path):
    folder = tmp_path / "checkpoint"
    train_until_killed(2, folder)
    again = new_model()
    resume = partial(again.train, N_EPOCHS, resume=folder, callbacks=[Kill(4)], **TRAIN)
    assert killed_after(120, resume)
    model = new_model()
    model.train(N_EPOCHS, resume=folder, **TRAIN)
    assert_same_weights(model, whole)


def test_keeping_a_checkpoint_changes_nothing(whole, tmp_path):
    model = new_model()
    model.train(N_EPOCHS, checkpoint=tmp_path / "checkpoint", **TRAIN)
    assert_same_weights(model, whole)


def test_best_weights_of_before_the_stop_are_still_known(tmp_path):
    # a learning rate at which the score falls, so that the first epochs stay the best
    options = {"plan_kwargs": {"lr": 0.3}, "early_stopping": True, "check_val_every_n_epoch": 1}
    straight = new_model()
    straight.train(N_EPOCHS, **TRAIN | options)
    train_until_killed(4, tmp_path / "checkpoint", **options)
    model = new_model()
    model.train(N_EPOCHS, resume=tmp_path / "checkpoint", **TRAIN | options)
    assert_same_weights(model, straight)


def test_a_checkpoint_holds_no_pickle(stopped):
    assert {path.suffix for path in stopped.iterdir()} == {".json", ".safetensors"}


def test_no_checkpoint_is_told_in_words(tmp_path):
    with pytest.raises(ValueError, match=r"holds no checkpoint\. The first one is written when"):
        new_model().train(N_EPOCHS, resume=tmp_path, **TRAIN)


@pytest.mark.parametrize(
    ("train", "name"),
    [
        ({"batch_size": 32}, "batch_size"),
        ({"plan_kwargs": {"lr": 1e-3}}, "plan_kwargs"),
        ({"early_stopping": False}, "early_stopping"),
    ],
)
def test_another_training_is_refused(stopped, train, name):
    with pytest.raises(CheckpointError, match=f"is of a training with `{name}` "):
        new_model().train(N_EPOCHS, resume=stopped, **TRAIN | train)


def test_another_model_seed_and_length_are_refused(stopped):
    with pytest.raises(CheckpointError, match="`n_nodes` 3, and now it is 4"):
        new_model(n_nodes=4).train(N_EPOCHS, resume=stopped, **TRAIN)
    with pytest.raises(CheckpointError, match="`max_epochs` 6, and now it is 7"):
        new_model().train(7, resume=stopped, **TRAIN)
    with pytest.raises(CheckpointError, match=r"`scvi\.settings\.seed` 0, and now it is 1"):
        new_model(seed=1).train(N_EPOCHS, resume=stopped, **TRAIN)


def test_other_cells_are_refused(stopped):
    adata = make_screen()
    order = np.random.default_rng(0).permutation(adata.n_obs)
    with pytest.raises(CheckpointError, match="is of other cells"):
        new_model(adata[order].copy()).train(N_EPOCHS, resume=stopped, **TRAIN)


def test_a_damaged_checkpoint_and_a_model_are_refused(stopped, whole, tmp_path):
    whole.save(tmp_path / "gim")
    with pytest.raises(CheckpointError, match="it is not of a training, 'epoch' is missing"):
        new_model().train(N_EPOCHS, resume=tmp_path / "gim", **TRAIN)
    (tmp_path / "gim" / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors' is damaged"):
        new_model().train(N_EPOCHS, resume=tmp_path / "gim", **TRAIN)


def test_named_genes_have_no_epochs_to_keep(genes_model, tmp_path):
    with pytest.raises(ValueError, match="checkpoint"):
        genes_model.train(checkpoint=tmp_path / "checkpoint", enable_progress_bar=False)


def test_a_checkpoint_that_was_sealed_again_is_read(stopped, whole):
    seal(stopped)
    model = new_model()
    model.train(N_EPOCHS, resume=stopped, **TRAIN)
    assert_same_weights(model, whole)
