"""The generative model of a cell: tensors in, loss out."""

from scgim.module._causal_module import CausalModule, CausalSpace
from scgim.module._change_basis import change_basis, linear_loadings, loading_sd
from scgim.module._expected_expression import ExpectedExpression
from scgim.module._gim_module import GIMModule
from scgim.module._likelihood import (
    CountLikelihood,
    Expression,
    ExpressionLikelihood,
    GeneLikelihood,
    Likelihood,
    ProteinLikelihood,
    get_likelihood,
)
from scgim.module._named_node_module import NamedNodeModule, log_rate
from scgim.module._observation import GeneProgramDecoder, NeuralDecoder, NodeEncoder
from scgim.module._online_update import grow_state, learn_only_new
from scgim.module._protein_decoder import ProteinDecoder

__all__ = [
    "CausalModule",
    "CausalSpace",
    "CountLikelihood",
    "ExpectedExpression",
    "Expression",
    "ExpressionLikelihood",
    "GIMModule",
    "GeneLikelihood",
    "GeneProgramDecoder",
    "Likelihood",
    "NamedNodeModule",
    "NeuralDecoder",
    "NodeEncoder",
    "ProteinDecoder",
    "ProteinLikelihood",
    "change_basis",
    "get_likelihood",
    "grow_state",
    "learn_only_new",
    "linear_loadings",
    "loading_sd",
    "log_rate",
]
