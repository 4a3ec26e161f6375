"""Distances between distributions, and recovery of graphs and targets: arrays in, numbers out."""
