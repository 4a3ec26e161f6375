"""Checks on data modules that stream the cells of a screen."""

from __future__ import annotations

from scgim._messages import quote_some

LABELS = "labels"
CONTINUOUS = "extra_continuous_covs"


def check_datamodule(datamodule: object, dose_key: str | None) -> None:
    """Raise unless a data module streams perturbations and doses.

    Parameters
    ----------
    datamodule
        What the user passed.
    dose_key
        Continuous covariate with doses, or ``None``.
    """
    missing = [
        name for name in ("registry", "inference_dataloader") if not hasattr(datamodule, name)
    ]
    if missing:
        message = (
            f"`datamodule` is a {type(datamodule).__name__} without {quote_some(missing)}, but "
            "cells are streamed by a data module of scvi-tools. Pass for example what "
            "`GIM.setup_annbatch` gives."
        )
        raise TypeError(message)
    fields = datamodule.registry["field_registries"]  # type: ignore[attr-defined]
    if fields[LABELS]["state_registry"].get("original_key") in (None, LABELS):
        message = (
            "The data module streams no labels, but the labels are the perturbations. Build it "
            "with `labels_key=` (or `label_key=`) naming the column with perturbations."
        )
        raise ValueError(message)
    columns = [str(name) for name in fields[CONTINUOUS]["state_registry"].get("columns", ())]
    if dose_key is not None and dose_key not in columns:
        message = (
            f"`dose_key={dose_key!r}` is not a continuous covariate of the data module, which has "
            f"{columns}. Build it with `continuous_covariate_keys=[{dose_key!r}]`."
        )
        raise ValueError(message)


def check_has_cells(datamodule: object | None) -> None:
    """Raise where a model was built from a registry and has seen no cells.

    Parameters
    ----------
    datamodule
        Data module of the last training, or ``None``.
    """
    if datamodule is None:
        message = (
            "The model has no cells: it was built from a registry, or loaded without cells. Pass "
            "`datamodule=` to `GIM.train`, or load it with `adata=`."
        )
        raise RuntimeError(message)
