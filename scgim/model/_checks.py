"""Checks on what a user asks a trained model for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd

from scgim._messages import check_choice, closest, quote_some, warn
from scgim.data._doses import read_doses
from scgim.model._condition_gate import check_columns, context_columns
from scgim.module import GeneLikelihood

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from scgim.data import Screen


FAR_OUTSIDE = 10.0
OPTION_DEFAULTS: dict[str, object] = {
    "mechanism": "linear",
    "intervention": "shift",
    "structure": "search",
    "dose_response": "hill",
    "covariates_shift_nodes": False,
    "n_hidden": 128,
    "n_layers": 2,
    "dropout_rate": 0.0,
    "protein_likelihood": "nb",
}


def check_is_trained(model: object, method: str) -> None:
    """Raise unless the model has been trained."""
    if not getattr(model, "is_trained_", False) or getattr(model, "fitted_", None) is None:
        message = (
            f"`GIM.{method}` needs a trained model, and this one is not. Call `GIM.train` first."
        )
        raise RuntimeError(message)


def check_conditions(
    conditions: pd.DataFrame | Iterable[object],
    screen: Screen,
    known: list[str],
    require_generator: Callable[[], object],
    ignore: Sequence[str] | str = (),
) -> pd.DataFrame:
    """Bring conditions to a table and raise where one of them cannot be predicted.

    Parameters
    ----------
    conditions
        What the user passed.
    screen
        Keys and vocabulary of the screen.
    known
        Perturbations that were seen or have features.
    require_generator
        Raises where the model cannot predict unseen perturbations at all.
    ignore
        Columns that the model does not use and that the user accepts.

    Returns
    -------
    One row per condition, with the columns named at set-up.
    """
    table = check_columns(_to_table(conditions, screen), screen, ignore)
    if table.empty:
        message = "`conditions` is empty. Pass at least one condition to predict."
        raise ValueError(message)
    _check_known(table[screen.perturbation_key], screen, known, require_generator)
    if screen.dose_key is not None:
        table[screen.dose_key] = _check_condition_doses(table, screen)
    categories = dict(screen.categorical_covariates)
    if screen.batch_key is not None:
        categories[screen.batch_key] = screen.batches
    for key, values in categories.items():
        if key in table:
            _check_categories(table[key], key, values)
    return table


def _to_table(conditions: pd.DataFrame | Iterable[object], screen: Screen) -> pd.DataFrame:
    needed = [screen.perturbation_key] + ([screen.dose_key] if screen.dose_key else [])
    if isinstance(conditions, pd.DataFrame):
        missing = [key for key in needed if key not in conditions]
        if missing:
            message = (
                f"`conditions` has no column {missing[0]!r}; its columns are "
                f"{[str(c) for c in conditions.columns]}. It needs {needed}, as named in "
                "`GIM.setup_anndata`."
            )
            raise ValueError(message)
        table = conditions.reset_index(drop=True).copy()
    else:
        if not isinstance(conditions, Iterable) or isinstance(conditions, bytes):
            message = (
                f"`conditions` is a {type(conditions).__name__}, but it is a DataFrame with one row per "
                f"condition, or a list with {needed} of each."
            )
            raise TypeError(message)
        entries = [conditions] if isinstance(conditions, str) else conditions
        rows = [_as_list(row) for row in entries]
        if any(len(row) != len(needed) for row in rows):
            wrong = next(row for row in rows if len(row) != len(needed))
            message = (
                f"`conditions` has entries such as {wrong!r}, but each needs {needed}. Pass a "
                f"list of {'(perturbation, dose)' if screen.dose_key else 'perturbations'}, or a "
                "DataFrame."
            )
            raise ValueError(message)
        table = pd.DataFrame(rows, columns=needed)
    return table.assign(**{screen.perturbation_key: table[screen.perturbation_key].astype(str)})


def _plain(value: object) -> object:
    """Show a number as the user typed it, not as numpy does."""
    return value.item() if isinstance(value, np.generic) else value


def _as_list(row: object) -> list[object]:
    is_sequence = isinstance(row, Iterable) and not isinstance(row, str)
    return list(row) if is_sequence else [row]  # type: ignore[call-overload]


def _check_known(
    labels: pd.Series,
    screen: Screen,
    known: list[str],
    require_generator: Callable[[], object],
) -> None:
    vocabulary = set(known)
    for label in labels.unique():
        if label in vocabulary:
            continue
        unknown = [part for part in screen.table.parts_of(label, known) if part not in vocabulary]
        if unknown:
            require_generator()
            names = [*known, screen.table.control]
            message = (
                f"Perturbation {unknown[0]!r} was not in training and has no features. The known "
                f"perturbations closest to it are {closest(unknown[0], names)}. Correct the name, "
                "or pass its features as `features=`, a DataFrame with one row per perturbation."
            )
            raise ValueError(message)


def _read_condition_doses(column: pd.Series) -> pd.Series:
    """Doses as numbers, those that cannot be read as NaN."""
    numbers = column if pd.api.types.is_float_dtype(column) else column.map(_as_number)
    return pd.Series(read_doses(numbers), index=column.index)


def _as_number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return np.nan


def _check_condition_doses(table: pd.DataFrame, screen: Screen) -> pd.Series:
    key = screen.dose_key
    doses = _read_condition_doses(table[key])
    is_bad = ~np.isfinite(doses) | (doses < 0)
    if is_bad.any():
        message = (
            f"`conditions[{key!r}]` has {_plain(table[key][is_bad].iloc[0])!r} for perturbation "
            f"{table[screen.perturbation_key][is_bad].iloc[0]!r}, but a dose is a number, zero or "
            "positive, in the unit of training."
        )
        raise ValueError(message)
    low, high = screen.treated_doses.min(), screen.treated_doses.max()
    is_far = (doses > FAR_OUTSIDE * high) | ((doses > 0) & (doses < low / FAR_OUTSIDE))
    if is_far.any():
        warn(
            f"{int(is_far.sum())} conditions have a dose more than {FAR_OUTSIDE:g} times outside "
            f"the trained range {low:g} to {high:g}, for example {doses[is_far].iloc[0]:g}. Is it "
            "in the unit of training? They are predicted on the fitted dose response and marked "
            "in the column `is_dose_extrapolated`."
        )
    return doses


def _check_categories(values: pd.Series, key: str, categories: tuple[object, ...]) -> None:
    names = [str(category) for category in categories]
    for value in values.dropna().unique():
        if str(value) not in names:
            message = (
                f"`conditions[{key!r}]` has {str(value)!r}, which was not in training. The values "
                f"closest to it are {closest(value, names)}. Pass one of them, or leave the column "
                "out to average over the control cells."
            )
            raise ValueError(message)


def check_do(
    interventions: Mapping[str, object], node_names: list[str], gene_names: Collection[str] = ()
) -> None:
    """Raise where an intervention is on no node or gene, or neither a number nor an intervention.

    Parameters
    ----------
    interventions
        What the user passed to ``GIM.do``.
    node_names
        Names of the nodes.
    gene_names
        Genes that can be hit beside the nodes; none where the nodes are genes.
    """
    if not interventions:
        message = "`GIM.do` got no intervention. Pass at least one, for example `{name: -2.0}`."
        raise ValueError(message)
    for name, value in interventions.items():
        if name not in node_names and name not in gene_names:
            genes = " or a measured gene" if gene_names else ""
            message = (
                f"{name!r} is not a node of the causal graph{genes}. The nodes closest to it are "
                f"{closest(name, node_names)}{_closest_genes(name, gene_names)}. Intervene on these."
            )
            raise ValueError(message)
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
            if not np.isfinite(value):
                message = (
                    f"The intervention on {name!r} is {value!r}, but it must be a finite number."
                )
                raise ValueError(message)
            continue
        shape = getattr(getattr(value, "shift", None), "shape", None)
        if shape is None:
            message = (
                f"The intervention on {name!r} is a {type(value).__name__}, but it must be a number "
                "or an intervention on one node. Make it with `scgim.scm.shift_node`, `set_node` or "
                "`scale_node`."
            )
            raise TypeError(message)
        if len(shape):
            message = (
                f"The intervention on {name!r} has tensors of shape {tuple(shape)}, but one on a "
                "single node holds single numbers. Make it with `scgim.scm.shift_node`, `set_node` "
                "or `scale_node`."
            )
            raise ValueError(message)


def check_were_run(names: Iterable[str], perturbations: Sequence[str]) -> None:
    """Raise for perturbations that were not in training.

    Parameters
    ----------
    names
        What the user asks for.
    perturbations
        Perturbations of training.
    """
    unseen = [name for name in names if name not in perturbations]
    if unseen:
        message = (
            f"{quote_some(unseen)} {'was' if len(unseen) == 1 else 'were'} not in training, and direct "
            "effects on genes are measured. The perturbations closest to "
            f"{unseen[0]!r} are {closest(unseen[0], list(perturbations))}. For an unseen perturbation "
            "ask for `level='nodes'`."
        )
        raise ValueError(message)


def _closest_genes(name: str, gene_names: Collection[str]) -> str:
    return f", the genes {closest(name, list(gene_names))}" if gene_names else ""


def check_do_genes(genes: Mapping[str, object], kind: str) -> None:
    """Raise unless what is done to genes is a shift of their log-rates.

    Parameters
    ----------
    genes
        What is done to each gene that is not a node.
    kind
        What the user passed to ``GIM.do``.
    """
    for name, value in genes.items():
        is_number = isinstance(value, (int, float, np.number))
        if is_number and kind == "shift":
            continue
        found = f"`kind={kind!r}`" if is_number else "an intervention on a node"
        message = (
            f"{name!r} is a gene, a leaf of the causal graph, but got {found}. What can be done to a "
            "gene is a shift of its log-rate: pass a number, with `kind='shift'`, for example "
            f"`{{{name!r}: -1.0}}`."
        )
        raise ValueError(message)


def check_do_context(
    context: Mapping[str, object] | None, screen: Screen, *, has_cells: bool
) -> dict[str, list[str]]:
    """Raise where cells are to be drawn from a context that the model does not know.

    Parameters
    ----------
    context
        What the user passed to ``GIM.do``.
    screen
        The training screen.
    has_cells
        Whether the user also passed cells.

    Returns
    -------
    Columns of one condition.
    """
    if context and has_cells:
        message = (
            "`context` says which control cells to draw, but `adata` already brings cells, with "
            "covariates of their own. Pass one of the two."
        )
        raise ValueError(message)
    known = context_columns(screen)
    for key, value in (context or {}).items():
        if key not in known:
            message = (
                f"`context` has {key!r}, which is no batch or categorical covariate of the model; "
                f"those are {list(known)}. Pass one of them, or name {key!r} in "
                "`GIM.setup_anndata` and train."
            )
            raise ValueError(message)
        names = [str(category) for category in known[key]]
        if str(value) not in names:
            message = (
                f"`context[{key!r}]` is {str(value)!r}, which was not in training. The values "
                f"closest to it are {closest(value, names)}. Pass one of them."
            )
            raise ValueError(message)
    return {key: [str(value)] for key, value in (context or {}).items()}


def check_do_kind(kind: str, factors: Iterable[float]) -> None:
    """Raise unless the kind of an intervention by hand is known and fits its numbers.

    Parameters
    ----------
    kind
        What the user passed.
    factors
        The plain numbers.
    """
    check_choice("kind", kind, ("shift", "set", "scale"))
    negative = [factor for factor in factors if factor < 0]
    if kind == "scale" and negative:
        message = (
            f"`kind='scale'` multiplies the noise of a node, but got {negative[0]:g}. Pass factors "
            "from 0 up."
        )
        raise ValueError(message)


def check_genes(found: pd.Index, expected: pd.Index) -> None:
    """Raise unless an AnnData has the genes of training in their order.

    Parameters
    ----------
    found
        ``var_names`` of the AnnData.
    expected
        ``var_names`` of training.
    """
    if list(found) == list(expected):
        return
    missing = [name for name in expected if name not in set(found)]
    if missing:
        message = (
            f"`adata` lacks {len(missing)} of the {len(expected)} genes of training: "
            f"{quote_some(missing)}. Pass cells with the genes of training."
        )
    else:
        message = (
            f"`adata` has {len(found)} genes that differ in order or number from the "
            f"{len(expected)} of training. Select them with `adata[:, model.get_var_names()]`."
        )
    raise ValueError(message)


def check_something_is_left(reasons: list[str]) -> None:
    """Raise if a model abstains from all conditions.

    Parameters
    ----------
    reasons
        Why it abstains from each condition, empty where it does not.
    """
    if all(reasons):
        message = (
            f"With `abstain=True` nothing is left to predict: of {len(reasons)} conditions, the first "
            f"is left out because of: {reasons[0]}. Ask for conditions that training covers, or pass "
            "`abstain=False` and read the columns of `obs` that say how far each one is."
        )
        raise ValueError(message)


def check_context_has_cells(context: dict[str, str], n_cells: int) -> None:
    """Raise if no control cell of training has the context that a condition asks for.

    Parameters
    ----------
    context
        Column of ``obs`` and value, for batch and covariates.
    n_cells
        Control cells of training with all of these.
    """
    if n_cells == 0:
        asked = " and ".join(f"{key}={value!r}" for key, value in context.items())
        message = (
            f"No control cell of training has {asked}, so there is nothing to start a prediction from. "
            "Pass control cells of this context as `adata`, or leave the condition out with "
            "`abstain=True`."
        )
        raise ValueError(message)


def check_model_options(
    *, causal_space: str, n_nodes: int | None, gene_likelihood: str, dose_response: str
) -> None:
    """Raise where an option of the model is not one of its choices."""
    check_choice("causal_space", causal_space, ("genes", "programs", "latent"))
    check_choice("gene_likelihood", gene_likelihood, get_args(GeneLikelihood))
    check_choice("dose_response", dose_response, ("hill", "free"))
    if n_nodes is not None and (int(n_nodes) != n_nodes or n_nodes < 2):
        message = f"`n_nodes={n_nodes!r}`, but a causal graph has at least 2 nodes. Raise it."
        raise ValueError(message)


def check_space_options(
    causal_space: str, *, genes: Mapping[str, object], others: Mapping[str, object]
) -> None:
    """Raise where an option is set that the chosen causal space does not have.

    Parameters
    ----------
    causal_space
        The chosen causal space.
    genes
        Options of named genes as the user set them.
    others
        Options of programs and latent factors as the user set them.
    """
    check_choice("intervention", genes["intervention"], ("shift", "hard", "auto"))
    check_choice("structure", genes["structure"], ("search", "gradient", "given"))
    is_genes = causal_space == "genes"
    for name, value in (others if is_genes else genes).items():
        if name == "mechanism" and ":" in str(value):
            continue  # from outside the package: the space asks whether it can have it
        if value != OPTION_DEFAULTS[name]:
            spaces = "'programs' and 'latent'" if is_genes else "'genes'"
            msg = (
                f"`{name}={value!r}` is an option of the causal spaces {spaces} only, but "
                f"`causal_space={causal_space!r}`. Leave it out, or choose another causal space."
            )
            raise ValueError(msg)


def check_no_proteins(causal_space: str) -> None:
    """Raise where proteins beside RNA are to be read by named genes.

    Parameters
    ----------
    causal_space
        The chosen causal space.
    """
    if causal_space == "genes":
        message = (
            "`causal_space='genes'` has no second observation model for proteins. Pass one "
            "AnnData with the genes, or the proteins, that are the nodes, or choose "
            "`causal_space='programs'`."
        )
        raise ValueError(message)
