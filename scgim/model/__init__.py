"""The scvi-tools model: AnnData in, AnnData and tables out."""

from scgim.model._gim import GIM
from scgim.model._graph_search import GraphSearch
from scgim.model._pooled_shift import predict_pooled_shift

__all__ = ["GIM", "GraphSearch", "predict_pooled_shift"]
