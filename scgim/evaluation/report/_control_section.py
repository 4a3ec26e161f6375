"""What the report of an evaluation says about the control cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scgim.evaluation.report._report import ReportTable, ReportText

if TYPE_CHECKING:
    from scgim.evaluation._sanity_checks import ControlAudit
    from scgim.evaluation.report._artifacts import OutputFolder

TITLE = "Are the control cells what they say?"
ALL_WELL = "Nothing speaks against it."
GROUPS = (
    "Control cells of each group against all other control cells, in principal components; chance explains "
    "distances up to the band, at 95 % over all groups."
)
NOT_TESTED = (
    "Not tested: a shift that all perturbations share at their lowest dose takes five perturbations with "
    "two doses or more."
)
NO_GROUPS = (
    "Name the column of plates or wells (plate, in the shell --plate) to have their control cells compared "
    "with each other."
)


def describe_control(audit: ControlAudit) -> str:
    """Say in words what an audit of the control cells found.

    Parameters
    ----------
    audit
        What :func:`scgim.evaluation.audit_control` found.

    Returns
    -------
    The problems, or that there is none.
    """
    parts = audit.problems or [ALL_WELL]
    if np.isfinite(audit.common_share):
        parts = [
            *parts,
            (
                "The shift that all perturbations share at their lowest dose is "
                f"{audit.common_share:.2g} of what their highest dose adds "
                f"(p = {audit.common_p_value:.2g})."
            ),
        ]
    return " ".join(parts)


def add_control(folder: OutputFolder, audit: ControlAudit, plate: str | None) -> None:
    """Add what was found, with a table where control cells were compared by group.

    Parameters
    ----------
    folder
        Where to add it.
    audit
        What :func:`scgim.evaluation.audit_control` found.
    plate
        Column by which control cells were compared, if any.
    """
    words = describe_control(audit)
    if plate is None and not np.isfinite(audit.common_share):
        words = NOT_TESTED
    if plate is None:
        folder.items.append(ReportText(TITLE, f"{words} {NO_GROUPS}"))
        return
    table = audit.vehicles.set_index("group").rename_axis(None)
    shown = table.assign(
        n_cells=table["n_cells"].astype(str),
        is_outside=np.where(table["is_outside"], "yes", "no"),
    ).rename(columns={"n_cells": "cells", "is_outside": "outside"})
    folder.add_table(ReportTable(TITLE, shown, note=f"{words} {GROUPS}", digits=3))
