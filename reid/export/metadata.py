"""The facts about an artifact that travel inside the ONNX file itself."""

import json
from collections.abc import Mapping
from importlib.metadata import version

import onnx

from reid.errors import ConfigError, UnverifiedError
from reid.export.spec import InputSpec

__all__ = ["read_metadata", "write_metadata"]

_SPEC, _SCHEME, _VERSION = "reid_pareto.input_spec", "reid_pareto.scheme", "reid_pareto.version"


def write_metadata(model: onnx.ModelProto, spec: InputSpec, scheme: str) -> None:
    """Put the input specification, the scheme and our version into `model`, replacing all other metadata."""
    del model.metadata_props[:]
    values = {
        _SPEC: json.dumps(spec.to_dict(), sort_keys=True),
        _SCHEME: scheme,
        _VERSION: version("reid-pareto"),
    }
    for key, value in values.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name = "reid-pareto"
    model.producer_version = values[_VERSION]


def read_metadata(values: Mapping[str, str], name: str) -> tuple[InputSpec, str]:
    """Input specification and scheme out of a file's metadata.

    Args:
        values: the metadata of the file.
        name: of the file, for the message.

    Raises:
        UnverifiedError: one of them is missing or malformed.
    """
    if _SPEC not in values or _SCHEME not in values:
        raise UnverifiedError(f"{name} holds no input specification; export it with reid-pareto")
    try:
        return InputSpec.from_dict(json.loads(values[_SPEC])), values[_SCHEME]
    except (ConfigError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnverifiedError(f"{name} holds a malformed input specification: {error}") from error
