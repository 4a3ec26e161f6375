"""Figures from tables and AnnData."""
