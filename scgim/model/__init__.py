"""The scvi-tools model: AnnData in, AnnData and tables out."""

from scgim.model._gim import GIM
from scgim.model._graph_search import GraphSearch

__all__ = ["GIM", "GraphSearch"]
