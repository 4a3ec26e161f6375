"""Networks without causal meaning."""
