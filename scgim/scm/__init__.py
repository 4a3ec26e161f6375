"""The causal model: plain PyTorch that knows neither AnnData nor scvi."""
