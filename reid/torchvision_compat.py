"""torchvision, importable beside a CPU-only torch too.

torchvision from PyPI is linked against CUDA torch. Beside a CPU-only torch its compiled operators do not
load, and its import then fails because it attaches shape functions to two operators that nobody declared.
Declaring their schemas cures the import; networks and transforms call neither operator.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

__all__ = ["torchvision"]

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _operators_load(folder: Path) -> bool:
    libraries = [*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]
    try:
        for library in libraries:
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return bool(libraries)


def _import_torchvision() -> ModuleType:
    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec else None
    if "torchvision" not in sys.modules and folders and not _operators_load(Path(folders[0])):
        declare = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            declare.define(schema)  # type: ignore[no-untyped-call]
        # The schemas vanish with the object that declared them.
        globals()["_declared"] = declare
    return importlib.import_module("torchvision")


torchvision: ModuleType = _import_torchvision()
