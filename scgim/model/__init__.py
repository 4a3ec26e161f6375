"""The scvi-tools model: AnnData in, AnnData and tables out."""

from scgim.model._gim import GIM
from scgim.model._pooled_shift import predict_pooled_shift
from scgim.spaces._graph_search import GraphSearch

__all__ = ["GIM", "GraphSearch", "predict_pooled_shift"]
