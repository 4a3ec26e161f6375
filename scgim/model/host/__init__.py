"""Doors of scvi-tools: files, queries, minified cells, MuData, data modules, the hub."""
