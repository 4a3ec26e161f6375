"""Checks on user input: the only home of their wording."""

from scgim._validation._messages import closest, quote_some, warn

__all__ = ["closest", "quote_some", "warn"]
