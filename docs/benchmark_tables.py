"""Turn the JSON files that `scgim benchmark` wrote into tables of the benchmarks page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

SPLITS = {
    "training": "training",
    "new_dose": "new dose",
    "interior_dose": "interior dose",
    "top_dose": "top dose",
    "unseen_drug": "unseen drug",
    "unseen_sum": "sum of two classes",
    "unseen_class": "unseen class",
}

REAL_METRICS = (
    "weighted R² from control",
    "weighted MSE",
    "energy distance",
    "r2",
    "r2_from_control",
    "pearson",
)
WORLD_OPTIONS = {
    "graph": "graph",
    "mechanism": "mechanism",
    "features": "features",
    "sign": "sign",
    "intervention": "intervention",
    "nodes": "n_nodes",
    "drugs": "n_drugs",
    "cells": "n_cells",
    "control-cells": "n_control",
}
DEFAULT_WORLD = {
    "graph": "er2",
    "mechanism": "linear",
    "features": "linear",
    "sign": "node",
    "intervention": "shift",
    "nodes": "20",
    "drugs": "40",
    "cells": "50",
    "control-cells": "800",
}


def render_results(folder: Path) -> str:
    """Render every result file of a folder as Markdown, in the order of their names."""
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not documents:
        return "No results are stored with this version.\n"
    return "\n\n".join(render_result(document) for document in documents) + "\n"


def render_result(document: dict) -> str:
    """Render one result: figures with their bars, every predictor, settings and versions."""
    if document["benchmark"] in RENDERERS:
        return RENDERERS[document["benchmark"]](document)
    variant = document.get("scenario") or document.get("screen")
    split = document.get("split", "conditions")
    title = document["benchmark"] + (f", {variant}" if variant else "")
    title += "" if split == "conditions" else f", {split} split"
    parts = [f"## {title}", *document.get("claims", [])]
    scores = pd.DataFrame(document.get("scores", []))
    if "seed" in scores:
        parts.append(f"`{_command(document, scores['seed'])}`")
    if document.get("figures"):
        parts.append(to_markdown(pd.DataFrame(document["figures"])))
    if {"predictor", "split", "metric", "value"} <= set(scores):
        is_compared = scores.groupby("metric")["predictor"].transform("nunique") > 1
        shown = scores[is_compared] if document.get("figures") else scores
        parts += [render_metric(name, rows) for name, rows in shown.groupby("metric", sort=False)]
    parts += render_audits(document)
    tables = {name: rows for name, rows in document.get("tables", {}).items() if len(rows) <= 30}
    parts += [f"### {name}\n\n" + to_markdown(pd.DataFrame(rows)) for name, rows in tables.items()]
    for name in ("settings", "versions"):
        if document.get(name):
            entries = ", ".join(f"{key} {value}" for key, value in document[name].items())
            parts.append(f"{name.capitalize()}: {entries}.")
    return "\n\n".join(part for part in parts if part)


def render_all_screens(document: dict) -> str:
    """Render all real screens: the verdict, and predictors x metrics for each run."""
    scores = pd.DataFrame(document["scores"])
    parts = ["## real", "`scgim benchmark real`", document["verdict"]]
    for run, rows in scores.groupby("split", sort=False):
        shown = rows[rows["metric"].isin(REAL_METRICS)]
        table = shown.pivot_table(
            index="predictor", columns="metric", values="value", aggfunc=_mean_and_sd, sort=False
        )
        table = table[[name for name in REAL_METRICS if name in table]]
        seeds = ", ".join(map(str, sorted(rows["seed"].unique())))
        parts.append(f"### {run}, seeds {seeds}\n\n" + to_markdown(table.reset_index()))
    entries = ", ".join(f"{key} {value}" for key, value in document["versions"].items())
    parts.append(f"Versions: {entries}.")
    return "\n\n".join(parts)


def render_genes(document: dict) -> str:
    """Render one variant of World G."""
    options = name_variant(document)
    scores = pd.DataFrame(document["scores"])
    seeds = " ".join(map(str, sorted(scores["seed"].unique())))
    chosen = "".join(f" --{name} {value}" for name, value in options.items())
    parts = [
        "## " + ", ".join(["genes", *(f"{name} {value}" for name, value in options.items())]),
        f"`scgim benchmark genes{chosen} --seeds {seeds}`",
        to_markdown(pd.DataFrame(document["figures"])),
    ]
    with_split = scores[scores["split"] != ""]
    parts += [render_metric(name, rows) for name, rows in with_split.groupby("metric", sort=False)]
    parts.append(render_graph(scores))
    if document["reliability"]:
        parts += ["### Reliability", to_markdown(pd.DataFrame(document["reliability"]))]
    for name in ("settings", "versions"):
        entries = ", ".join(f"{key} {value}" for key, value in flatten(document[name]).items())
        parts.append(f"{name.capitalize()}: {entries}.")
    return "\n\n".join(part for part in parts if part)


def render_graph(scores: pd.DataFrame) -> str:
    """Render what has no split, the graph above all: metrics x predictors with a graph."""
    rows = scores[(scores["split"] == "") & scores["value"].notna()]
    table = rows.pivot_table(
        index="metric", columns="predictor", values="value", aggfunc=_mean_and_sd, sort=False
    )
    table = table.loc[:, table.notna().sum() > 1]
    return "### Graph and time\n\n" + to_markdown(table.reset_index())


def name_variant(document: dict) -> dict[str, str]:
    """Options of the command that made a result, where they differ from the default."""
    world = document["settings"]["world"]
    options = {name: str(world[key]) for name, key in WORLD_OPTIONS.items()}
    options = {name: value for name, value in options.items() if value != DEFAULT_WORLD[name]}
    if "gradient" in document["settings"]["structures"]:
        options["structure"] = "gradient"
    return options


def flatten(settings: dict, prefix: str = "") -> dict[str, object]:
    """Name nested settings by their path; settings that were not made go."""
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        elif value is not None:
            text = " ".join(map(str, value)) if isinstance(value, list) else value
            flat[f"{prefix}{key}"] = text
    return flat


def render_targets(document: dict) -> str:
    """Render rankings of targets on a real screen, edges where a graph is known, and effects."""
    parts = [f"## targets, {document['screen']}", f"`scgim benchmark targets {document['screen']}`"]
    rankings = pd.DataFrame(document["rankings"])
    for panel, rows in rankings.groupby("panel", sort=False):
        share = document["explained"].get(panel)
        title = f"### Targets, {panel}"
        if share is not None:
            title += f" (share of the other genes' shift explained: {share:.2f})"
        ordered = rows.sort_values("average_precision", ascending=False)
        parts += [title, to_markdown(ordered.drop(columns=["panel", "n_genes"]))]
    if document["edges"]:
        parts += ["### Edges", to_markdown(pd.DataFrame(document["edges"]))]
    if document["left_out_effects"]:
        effects = pd.DataFrame(document["left_out_effects"]).sort_values("r2", ascending=False)
        parts += ["### Shift of the other genes of a left-out perturbation", to_markdown(effects)]
    return "\n\n".join(parts)


def render_chemistry(document: dict) -> str:
    """Render one split of World C: claims, figures, every predictor by features, and the audits."""
    scores = pd.DataFrame(document["scores"])
    seeds = " ".join(map(str, sorted(scores["seed"].unique())))
    kinds = " ".join(scores["features"].unique())
    split = document["scenario"]
    parts = [
        f"## chemistry, {split} split",
        f"`scgim benchmark chemistry --split {split} --features {kinds} --seeds {seeds}`",
        *document["claims"],
        to_markdown(pd.DataFrame(document["figures"]).drop(columns="moonshot")),
    ]
    compared = scores[scores["metric"].isin(["R2 of the mean shift", "normalised energy distance"])]
    for kind, rows in compared.groupby("features", sort=False):
        table = rows.pivot_table(
            index="predictor", columns="metric", values="value", aggfunc=_mean_and_sd, sort=False
        )
        parts += [f"### Every predictor, {kind}", to_markdown(table.reset_index())]
    parts += render_audits(document)
    for name in ("settings", "versions"):
        entries = ", ".join(f"{key} {value}" for key, value in document[name].items())
        parts.append(f"{name.capitalize()}: {entries}.")
    return "\n\n".join(parts)


RENDERERS = {
    "all real screens": render_all_screens,
    "chemistry": render_chemistry,
    "genes": render_genes,
    "targets": render_targets,
}


def render_audits(document: dict) -> list[str]:
    """Render the verdicts on the use of features, nothing where there are none."""
    audits = document.get("audits")
    if not audits:
        return []
    lines = [f"- Seed {row['seed']}{_of_features(row)}: {row['sentence']}" for row in audits]
    return ["### Feature use", "\n".join(lines)]


def _of_features(row: dict) -> str:
    return f", {row['features']}" if "features" in row else ""


def _command(document: dict, seed: pd.Series) -> str:
    """Write the command that gives these results."""
    words = ["scgim benchmark", document["benchmark"]]
    words += [document["screen"]] if "screen" in document else []
    words += ["--scenario", document["scenario"]] if document.get("scenario") else []
    words += ["--split", "class"] if document.get("split") == "class" else []
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
    return str(int(value)) if isinstance(value, float) else str(value).replace("|", "\\|")
