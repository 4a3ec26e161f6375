"""Mechanisms by name, built in or from outside the package."""

from __future__ import annotations

import sys

from scgim.scm import LinearMechanism, Mechanism, MLPMechanism

BUILT_IN: dict[str, type[Mechanism]] = {"linear": LinearMechanism, "mlp": MLPMechanism}


def name_mechanism(mechanism: str | type) -> str:
    """Name a mechanism by what is saved with a model.

    Parameters
    ----------
    mechanism
        Name of a built-in mechanism, a subclass of :class:`~scgim.scm.Mechanism`, or the name that
        this function gave to it.

    Returns
    -------
    ``"linear"``, ``"mlp"`` or ``"module:qualified_name"``, which :func:`find_mechanism` reads.

    Raises
    ------
    TypeError
        When it is neither a name nor a mechanism.
    ValueError
        When there is no such mechanism, or a saved model could not find it again.
    """
    if isinstance(mechanism, str):
        find_mechanism(mechanism)
        return mechanism
    _check_is_mechanism(mechanism)
    names = [name for name, built_in in BUILT_IN.items() if built_in is mechanism]
    if names:
        return names[0]
    name = f"{mechanism.__module__}:{mechanism.__qualname__}"
    if _look_up(name) is None:
        message = (
            f"`mechanism={mechanism.__name__}` is called {name!r}, but no such name can be looked up, "
            "so a saved model could not find it again. Define the class at the top level of a module, "
            "a script or a notebook, and not inside a function."
        )
        raise ValueError(message)
    return name


def find_mechanism(name: str) -> type[Mechanism]:
    """Look up a mechanism among those built in and in the modules that are imported already.

    Nothing is imported: a model file may name a module, and importing it would run its code.

    Parameters
    ----------
    name
        What :func:`name_mechanism` gave.

    Returns
    -------
    The class.

    Raises
    ------
    TypeError
        When the name is not that of a mechanism.
    ValueError
        When there is no such mechanism.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if ":" not in name:
        message = (
            f"`mechanism={name!r}` is not a choice. Choose one of {list(BUILT_IN)}, or pass a subclass "
            "of `scgim.scm.Mechanism`."
        )
        raise ValueError(message)
    module, _, qualname = name.partition(":")
    if module not in sys.modules:
        message = (
            f"`mechanism={name!r}`: this model has the mechanism `{qualname}` of the module "
            f"`{module}`, which is not imported, and scgim imports nothing that a file names. Run "
            f"`import {module}` first if you trust it, then load the model again."
        )
        raise ValueError(message)
    found = _look_up(name)
    if found is None:
        message = (
            f"`mechanism={name!r}`: the module `{module}` is imported but has no `{qualname}`. Define "
            "the class there, under this name, as it was when the model was made; then try again."
        )
        raise ValueError(message)
    _check_is_mechanism(found)
    return found


def _look_up(name: str) -> type[Mechanism] | None:
    module, _, qualname = name.partition(":")
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        # Not `getattr`: modules may import others when an attribute is asked for.
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found  # type: ignore[return-value]


def _check_is_mechanism(found: object) -> None:
    if not isinstance(found, type) or not issubclass(found, Mechanism):
        what = f"the class `{found.__name__}`" if isinstance(found, type) else f"{found!r}"
        message = (
            f"`mechanism` is {what}, which is not a mechanism. Pass one of {sorted(BUILT_IN)}, or a "
            "subclass of `scgim.scm.Mechanism` (the class, not an instance)."
        )
        raise TypeError(message)
    missing = sorted(found.__abstractmethods__)
    if missing:
        message = (
            f"`mechanism={found.__name__}` lacks {missing}, which a mechanism must define. Add "
            f"{'it' if len(missing) == 1 else 'them'} to the class."
        )
        raise TypeError(message)
