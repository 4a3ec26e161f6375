"""Checks on user input: the only home of their wording."""
