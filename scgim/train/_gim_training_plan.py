from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from scvi.module._constants import MODULE_KEYS as SCVI_MODULE_KEYS
from scvi.train import TrainingPlan
from torch import Tensor

from scgim._constants import REGISTRY_KEYS
from scgim.train._held_out_shift import HeldOutShift

if TYPE_CHECKING:
    from scvi.module.base import LossOutput

    from scgim.module import GIMModule

N_WARMUP_STEPS = 50
SCORE = "shift_r2_validation"


class GIMTrainingPlan(TrainingPlan):
    """Optimise the evidence lower bound and watch the shift of held-out conditions.

    Differs from :class:`scvi.train.TrainingPlan` in four things: no warm-up of the
    Kullback-Leibler term; a larger step for the intervention table, whose rows are seen by few
    cells; a cosine end of the learning rate; and ``shift_r2_validation``, the share of the
    expression shift of held-out conditions that the model predicts.

    Parameters
    ----------
    module
        The generative model.
    lr
        Learning rate.
    table_lr_factor
        Learning rate of the intervention table over ``lr``.
    n_total_steps
        Length of the learning-rate schedule, in minibatches; ``None`` asks the trainer.
    **kwargs
        Passed on to :class:`scvi.train.TrainingPlan`.
    """

    module: GIMModule

    def __init__(
        self,
        module: GIMModule,
        *,
        lr: float = 6e-3,
        table_lr_factor: float = 5.0,
        n_total_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("n_epochs_kl_warmup", None)
        super().__init__(module, lr=lr, **kwargs)
        self.table_lr_factor = table_lr_factor
        self.n_total_steps = n_total_steps
        self.held_out_shift = HeldOutShift(module)
        self._sums: Tensor | None = None
        self._first_broken: Tensor | None = None

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with two step sizes and a cosine end."""
        table = list(self.module.interventions.parameters())
        table_ids = {id(parameter) for parameter in table}
        rest = [p for p in self.module.parameters() if id(p) not in table_ids and p.requires_grad]
        groups = [
            {"params": rest},
            {"params": [p for p in table if p.requires_grad], "lr": self.lr * self.table_lr_factor},
        ]
        optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=self.lr,
            weight_decay=0.0,
            fused=all(p.device.type in ("cpu", "cuda") for p in rest) or None,
        )
        n_steps = self.n_total_steps or int(self.trainer.estimated_stepping_batches)
        # No local function: scvi-tools keeps the plan, and a model can be pickled.
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, partial(learning_rate_factor, n_steps=n_steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """One step; nothing here makes the host wait for the device."""
        _, _, losses = self.forward(batch, loss_kwargs=self.loss_kwargs)
        self._accumulate(losses)
        self._watch_finite(batch, losses)
        return losses.loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's evidence lower bound, or stop when it is not finite."""
        self._raise_if_broken()
        self._log_sums("train")

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Collect the loss and the observed expression of held-out conditions."""
        inference, _, losses = self.forward(batch, loss_kwargs=self.loss_kwargs)
        self._accumulate(losses)
        self.held_out_shift.update(
            batch,
            inference[SCVI_MODULE_KEYS.LIBRARY_KEY],
            inference[SCVI_MODULE_KEYS.QZ_KEY].loc,
        )

    def on_validation_epoch_start(self) -> None:
        """Forget the training sums of an unfinished epoch and start anew."""
        self._train_sums, self._sums = self._sums, None
        self.held_out_shift.reset()

    def on_validation_epoch_end(self) -> None:
        """Log validation loss and the score on held-out conditions."""
        self._log_sums("validation")
        score = self.held_out_shift.compute()
        if score is not None:
            self.log(SCORE, score, prog_bar=True, sync_dist=self.use_sync_dist)
        self._sums = self._train_sums

    def _accumulate(self, losses: LossOutput) -> None:
        sums = torch.stack(
            [
                losses.reconstruction_loss_sum.detach(),
                losses.kl_local_sum.detach(),
                losses.kl_global_sum.detach() * losses.n_obs_minibatch,
                torch.full_like(losses.kl_global_sum.detach(), losses.n_obs_minibatch),
            ]
        )
        self._sums = sums if self._sums is None else self._sums + sums

    def _log_sums(self, stage: str) -> None:
        if self._sums is None:
            return
        reconstruction, kl_local, kl_global = self._sums[:3] / self._sums[3]
        elbo = reconstruction + kl_local + kl_global / self.module.n_obs
        values = {
            f"elbo_{stage}": elbo,
            f"reconstruction_loss_{stage}": reconstruction,
            f"kl_local_{stage}": kl_local,
            f"kl_global_{stage}": kl_global,
        }
        self.log_dict(values, sync_dist=self.use_sync_dist)
        if stage == "train":
            self.log("train_loss", elbo, prog_bar=True, sync_dist=self.use_sync_dist)
        self._sums = None

    def _watch_finite(self, batch: dict[str, Tensor], losses: LossOutput) -> None:
        """Remember the perturbation code of the first cell whose loss is not finite."""
        per_cell = sum(losses.reconstruction_loss.values()) + sum(losses.kl_local.values())
        labels = batch[REGISTRY_KEYS.PERTURBATION].squeeze(-1)
        broken = torch.where(per_cell.detach().isfinite(), -1.0, labels.to(per_cell.dtype)).max()
        previous = broken if self._first_broken is None else self._first_broken
        self._first_broken = torch.where(previous >= 0, previous, broken)

    def _raise_if_broken(self) -> None:
        if self._first_broken is None:
            return
        if is_distributed():  # all processes stop, or none
            torch.distributed.all_reduce(self._first_broken, torch.distributed.ReduceOp.MAX)
        code = int(self._first_broken)
        self._first_broken = None
        if code >= 0:
            raise NonFiniteLossError(epoch=self.current_epoch, perturbation_code=code)


def is_distributed() -> bool:
    """Whether several processes train together."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class NonFiniteLossError(RuntimeError):
    """Training met a loss that is not finite.

    Parameters
    ----------
    epoch
        Epoch in which it happened, from 0.
    perturbation_code
        Code of the perturbation of the first such cell.
    """

    def __init__(self, epoch: int, perturbation_code: int) -> None:
        super().__init__(f"non-finite loss in epoch {epoch} at perturbation {perturbation_code}")
        self.epoch = epoch
        self.perturbation_code = perturbation_code


def learning_rate_factor(step: int, n_steps: int) -> float:
    """Ramp up over 50 steps, hold until 60 % of the training, then fall along a cosine.

    Parameters
    ----------
    step
        Minibatches done.
    n_steps
        Minibatches in total.

    Returns
    -------
    Factor on the learning rate, between 0 and 1.
    """
    warmup = min(1.0, (step + 1) / N_WARMUP_STEPS)
    progress = step / max(1, n_steps)
    if progress < 0.6:
        return warmup
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - 0.6) / 0.4)))
    return warmup * min(1.0, cosine + 0.01)
