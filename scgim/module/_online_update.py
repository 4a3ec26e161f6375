from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

# Buffers that say what the labels of a screen stand for; those of the new screen hold.
OF_SCREEN = ("components",)
# Rows of new perturbations start where training would start them; all else starts without effect.
KEEPS_START = "interventions."


def grow_state(known: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put learned weights in the place that a larger module has for them.

    New batches and perturbations have their weights behind the known ones, so what was learned
    is the leading block of each tensor.

    Parameters
    ----------
    known
        State of the trained module.
    start
        State of the new module, whose tensors may be larger.

    Returns
    -------
    State for the new module. A new batch or covariate has no effect yet.
    """
    state = {}
    for name, tensor in start.items():
        grown = tensor.detach().clone()
        if name not in OF_SCREEN:
            if grown.shape != known[name].shape and not name.startswith(KEEPS_START):
                grown.zero_()
            grown[_block(known[name])] = known[name].to(grown)
        state[name] = grown
    return state


def learn_only_new(module: nn.Module, known: Mapping[str, Tensor]) -> int:
    """Freeze what was learned; only weights of new batches and perturbations learn.

    Parameters
    ----------
    module
        Module with the state of :func:`grow_state`.
    known
        State of the trained module.

    Returns
    -------
    Number of weights that learn.
    """
    n_new = 0
    for name, parameter in module.named_parameters():
        is_new = torch.ones_like(parameter)
        is_new[_block(known[name])] = 0
        parameter.requires_grad = bool(is_new.any())
        if parameter.requires_grad:
            n_new += int(is_new.sum())
            parameter.register_hook(lambda gradient, is_new=is_new: gradient * is_new.to(gradient))
    return n_new


def _block(tensor: Tensor) -> tuple[slice, ...]:
    return tuple(slice(size) for size in tensor.shape)
