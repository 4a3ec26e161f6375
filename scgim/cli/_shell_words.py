"""Advice that names arguments of Python, in the words of the shell."""

from __future__ import annotations

import re

# Each rule is a pattern of what scgim says to a user of Python, and what takes its place.
RULES = (
    (r"`(?:kind|split)='([a-z_]+)'`", r"`--split \1`"),
    (r"`keys\.dose`", "`--dose`"),
    (r"Pass `keys\.dose=\.\.\.`", "Pass `--dose COLUMN`"),
    (r"needs `(context|groups)`", r"needs `--\1`"),
    (r"Pass `context=\.\.\.`", "Pass `--context COLUMN`"),
    (r"Pass `groups=\.\.\.`", "Pass `--groups FILE`"),
    (r"`groups` has no entry for", "`--groups` has no row for"),
    (
        r"Pass a Series with one group per perturbation of the screen",
        "Pass a CSV file with one row per perturbation of the screen, its name and its group",
    ),
    (r"([Rr]aise|lower) `fraction`", r"\1 `--fraction`"),
    (
        r"as `features=`, a DataFrame with one row per perturbation",
        "by `--features`, a CSV file with one row per perturbation",
    ),
)


def in_shell_words(message: str) -> str:
    """Say what to do by options of the shell.

    Parameters
    ----------
    message
        Error or warning of scgim.

    Returns
    -------
    The same with options in place of arguments.
    """
    for pattern, replacement in RULES:
        message = re.sub(pattern, replacement, message)
    return message
