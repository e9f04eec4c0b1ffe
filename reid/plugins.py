"""Functions of the user's own, named by a dotted path."""

import importlib
from collections.abc import Callable
from typing import Any

from reid.errors import ConfigError

__all__ = ["is_dotted_path", "load_function"]


def is_dotted_path(name: str) -> bool:
    """Whether a name is of the form "package.module:function", which no name of ours has."""
    return ":" in name


def load_function(path: str, kind: str) -> Callable[..., Any]:
    """Import a function; its module's code runs.

    Args:
        path: "package.module:function".
        kind: what the function is for, as messages name it.

    Raises:
        ConfigError: the path has another form, or module or function are not there or fail to import.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise ConfigError(f"a {kind} is named package.module:function, got {path!r}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a stranger's module raises
        raise ConfigError(
            f"{kind} {path}: module {module_name} cannot be imported ({type(error).__name__}: {error}); "
            "is its folder in PYTHONPATH?"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{kind} {path}: {module_name} has no function {name}")
    return function  # type: ignore[no-any-return]
