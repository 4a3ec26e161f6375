"""The generative model of a cell: tensors in, loss out."""
