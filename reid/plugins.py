"""Functions of the user's own, named by a dotted path."""

import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from reid.errors import ConfigError, ResourceError

__all__ = ["code_of", "is_dotted_path", "load_function", "may_pass"]

_CODES: dict[str, str] = {}
"""Hashes of files by module, as they were before the import."""


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
        ResourceError: disk or memory fail the import.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise ConfigError(f"a {kind} is named package.module:function, got {path!r}")
    code = _CODES.get(module_name) or _hash_of(module_name)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises
        absent = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}.")
        refusal = ResourceError if may_pass(error) else ConfigError
        raise refusal(
            f"{kind} {path}: module {module_name} cannot be imported ({type(error).__name__}: {error})"
            + ("; is its folder in PYTHONPATH?" if absent else "")
        ) from error
    if code is not None:
        _CODES[module_name] = code
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{kind} {path}: {module_name} has no function {name}")
    return function  # type: ignore[no-any-return]


def code_of(path: str, kind: str) -> str:
    """SHA-256 of the file of a function's module, and of the file that it was written in where that is another.

    As they were when this process first asked for them: who changes a file afterwards goes on with the old code.

    Args:
        path: "package.module:function".
        kind: as for `load_function`.

    Raises:
        ConfigError: as in `load_function`, or the module has no file.
        ResourceError: as in `load_function`.
    """
    function, module_name = load_function(path, kind), path.partition(":")[0]
    if module_name not in _CODES:
        raise ConfigError(
            f"{kind} {path}: {module_name} comes from no file, so its versions cannot be told apart"
        )
    while isinstance(function, partial):
        function = function.func
    written_in = getattr(inspect.unwrap(function), "__module__", None) or module_name
    if written_in != module_name and written_in not in _CODES and (code := _hash_of(written_in)):
        _CODES[written_in] = code
    codes = [_CODES[name] for name in dict.fromkeys((module_name, written_in)) if name in _CODES]
    return codes[0] if len(codes) == 1 else hashlib.sha256("".join(codes).encode()).hexdigest()


def may_pass(error: BaseException) -> bool:
    """Whether what a stranger's code raised comes of disk, network or memory, and may not be there the next time."""
    from reid.memory import lacks_memory  # here, as it needs torch, and a command line may not

    wrong = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
    return lacks_memory(error) or (isinstance(error, OSError) and not wrong)


def _hash_of(module_name: str) -> str | None:
    try:
        found = importlib.util.find_spec(module_name)
        return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest() if found and found.origin else None
    except (Exception, SystemExit):  # the import will say it
        return None
