"""The generative model of a cell: tensors in, loss out."""

from scgim.module._gim_module import CausalSpace, GIMModule
from scgim.module._likelihood import Expression, GeneLikelihood
from scgim.module._observation import GeneProgramDecoder, NeuralDecoder, NodeEncoder

__all__ = [
    "CausalSpace",
    "Expression",
    "GIMModule",
    "GeneLikelihood",
    "GeneProgramDecoder",
    "NeuralDecoder",
    "NodeEncoder",
]
