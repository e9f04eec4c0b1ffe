"""Functions of the user's own, named by a dotted path."""

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid.errors import ConfigError

__all__ = ["code_of", "is_dotted_path", "load_function"]

_CODES: dict[str, str] = {}
"""By module."""


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
    module_name, name = _parts(path, kind)
    _code(module_name)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a stranger's module raises
        absent = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}.")
        raise ConfigError(
            f"{kind} {path}: module {module_name} cannot be imported ({type(error).__name__}: {error})"
            + ("; is its folder in PYTHONPATH?" if absent else "")
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{kind} {path}: {module_name} has no function {name}")
    return function  # type: ignore[no-any-return]


def code_of(path: str, kind: str) -> str:
    """SHA-256 of the file of a function's module, as it was when this process first asked for the module.

    Args:
        path: "package.module:function".
        kind: as for `load_function`.

    Raises:
        ConfigError: as in `load_function`, or the module has no file.
    """
    load_function(path, kind)
    module_name, _ = _parts(path, kind)
    code = _code(module_name)
    if code is None:
        raise ConfigError(
            f"{kind} {path}: {module_name} comes from no file, so its versions cannot be told apart"
        )
    return code


def _parts(path: str, kind: str) -> tuple[str, str]:
    module_name, colon, name = path.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise ConfigError(f"a {kind} is named package.module:function, got {path!r}")
    return module_name, name


def _code(module_name: str) -> str | None:
    """Before it is imported: who changes the file afterwards goes on with the old code under the old hash."""
    if module_name not in _CODES:
        try:
            found = importlib.util.find_spec(module_name)
        except Exception:  # the import will say it
            return None
        if found is None or found.origin is None or not Path(found.origin).is_file():
            return None
        _CODES[module_name] = hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()
    return _CODES[module_name]
