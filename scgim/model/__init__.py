"""The scvi-tools model: AnnData in, AnnData and tables out."""

from scgim.model._gim import GIM

__all__ = ["GIM"]
