"""The shell: ``scgim demo | fit | evaluate | predict | benchmark``."""

from scgim.cli._app import app, main

__all__ = ["app", "main"]
