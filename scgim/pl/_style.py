"""One look for all figures, set artist by artist so that no global setting is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.textpath import TextPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MM_PER_INCH = 25.4
POINTS_PER_INCH = 72.0

SINGLE_COLUMN = 85.0
"""Width of one journal column in mm."""
DOUBLE_COLUMN = 180.0
"""Width of a journal page in mm."""
MAX_HEIGHT = 230.0
"""Largest height in mm that still leaves room for a caption on the page."""

FONT_SIZE = 7.0
SMALL_FONT_SIZE = 6.0
MIN_FONT_SIZE = 4.5
"""Below this size, in points, a label is left out rather than printed illegibly."""

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
"""Okabe and Ito's colours, told apart with every common form of colour blindness."""
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
POSITIVE, NEGATIVE = PALETTE[0], PALETTE[1]
DIVERGING = "RdBu_r"


def new_axes(width: float, height: float) -> Axes:
    """Open a figure of the given size in mm and return its only axes."""
    size = (width / MM_PER_INCH, min(height, MAX_HEIGHT) / MM_PER_INCH)
    _, ax = plt.subplots(figsize=size, dpi=200, layout="constrained")
    return ax


def axes_size(ax: Axes) -> tuple[float, float]:
    """Return width and height of the axes in points, as they are before the layout engine runs."""
    figure = ax.get_figure(root=True)
    if figure is None:
        return 0.0, 0.0
    width, height = ax.get_window_extent().size
    scale = POINTS_PER_INCH / figure.dpi
    return float(width) * scale, float(height) * scale


def style_axes(ax: Axes, *, xlabel: str | None = None, ylabel: str | None = None) -> None:
    """Set small fonts and thin lines, and remove the frame's top and right side."""
    ax.tick_params(labelsize=SMALL_FONT_SIZE, width=0.5, length=2.5, pad=2)
    for side, spine in ax.spines.items():
        spine.set_linewidth(0.5)
        spine.set_visible(side in {"left", "bottom"})
    if xlabel is not None:
        ax.set_xlabel(xlabel, fontsize=FONT_SIZE)
    if ylabel is not None:
        ax.set_ylabel(ylabel, fontsize=FONT_SIZE)


def fitting_font_size(room: float, largest: float = SMALL_FONT_SIZE) -> float | None:
    """Return the font size for labels with ``room`` points each, or None if none is legible."""
    size = min(largest, 0.85 * room)
    return size if size >= MIN_FONT_SIZE else None


def text_width(text: str, size: float) -> float:
    """Return the width of a text in points at a font size in points.

    Measured on outlines at 100 points, because hinting distorts small letters.
    """
    return (
        float(TextPath((0, 0), text.replace("$", r"\$"), size=100).get_extents().width) * size / 100
    )


def text_colour(rgba: np.ndarray) -> np.ndarray:
    """Choose black or white, whichever contrasts more with a background, ``(..., 4)`` to ``(...)``.

    Contrast is that of the Web Content Accessibility Guidelines, of which the better choice has at
    least 4.5, what they ask of small text.
    """
    srgb = np.asarray(rgba)[..., :3]
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where((luminance + 0.05) ** 2 > 1.05 * 0.05, "black", "white")
