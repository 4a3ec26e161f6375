"""Turn the JSON files that `scgim benchmark` wrote into tables of the benchmarks page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

SPLITS = {
    "interior_dose": "interior dose",
    "top_dose": "top dose",
    "unseen_drug": "unseen drug",
    "unseen_sum": "sum of two classes",
}


def render_results(folder: Path) -> str:
    """Render every result file of a folder as Markdown, in the order of their names."""
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not documents:
        return "No results are stored with this version.\n"
    return "\n\n".join(render_result(document) for document in documents) + "\n"


def render_result(document: dict) -> str:
    """Render one result: figures with their bars, every predictor, settings and versions."""
    variant = document.get("scenario") or document.get("screen")
    title = document["benchmark"] + (f", {variant}" if variant else "")
    parts = [f"## {title}"]
    scores = pd.DataFrame(document.get("scores", []))
    if "seed" in scores:
        parts.append(f"`{_command(document, scores['seed'])}`")
    if document.get("figures"):
        parts.append(to_markdown(pd.DataFrame(document["figures"])))
    if {"predictor", "split", "metric", "value"} <= set(scores):
        parts += [render_metric(name, rows) for name, rows in scores.groupby("metric", sort=False)]
    for name, rows in document.get("tables", {}).items():
        parts.append(f"### {name}\n\n" + to_markdown(pd.DataFrame(rows)))
    for name in ("settings", "versions"):
        if document.get(name):
            entries = ", ".join(f"{key} {value}" for key, value in document[name].items())
            parts.append(f"{name.capitalize()}: {entries}.")
    return "\n\n".join(parts)


def _command(document: dict, seed: pd.Series) -> str:
    """Write the command that gives these results."""
    words = ["scgim benchmark", document["benchmark"]]
    words += [document["screen"]] if "screen" in document else []
    words += ["--scenario", document["scenario"]] if document.get("scenario") else []
    return " ".join([*words, "--seeds", *map(str, sorted(seed.unique()))])


def render_metric(metric: str, rows: pd.DataFrame) -> str:
    """Render predictors x splits, mean ± sd over seeds; nothing where there is one predictor."""
    if set(rows["split"]) == {""}:
        values = rows.groupby("predictor", sort=False)["value"].agg(_mean_and_sd)
        return f"### {metric}\n\n" + to_markdown(values.reset_index())
    rows = rows[rows["split"].isin(SPLITS) & rows["value"].notna()]
    if rows["predictor"].nunique() < 2:
        return ""
    splits = [split for split in SPLITS if split in set(rows["split"])]
    table = rows.pivot_table(
        index="predictor", columns="split", values="value", aggfunc=_mean_and_sd, sort=False
    )[splits]
    return f"### {metric}\n\n" + to_markdown(table.rename(columns=SPLITS).reset_index())


def to_markdown(table: pd.DataFrame) -> str:
    """Write a Markdown table; numbers get three significant digits, missing values a dash."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * table.shape[1]]
    rows = table.itertuples(index=False)
    return "\n".join(lines + ["| " + " | ".join(map(_format, row)) + " |" for row in rows])


def _mean_and_sd(values: pd.Series) -> str:
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def _format(value: object) -> str:
    if pd.isna(value):
        return "-"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.3g}"
    return str(int(value)) if isinstance(value, float) else str(value)
