"""Choosing the basis of latent nodes."""

from scgim.scm.gauge._gauge import Gauge, GaugeProblem, find_gauges, find_tied_orders, match_nodes

__all__ = [
    "Gauge",
    "GaugeProblem",
    "find_gauges",
    "find_tied_orders",
    "match_nodes",
]
