"""The scvi-tools model: AnnData in, AnnData and tables out."""
