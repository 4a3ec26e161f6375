"""Causal spaces: what the nodes are, how they are fitted, and what the fit says."""
