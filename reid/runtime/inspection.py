"""Looks into an ONNX file before a runtime opens it, so that a stranger's file runs no stranger's code."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # comes with onnx

from reid.errors import ArtifactError, UnverifiedError
from reid.export.metadata import read_metadata
from reid.export.pixels import PIXELS
from reid.export.spec import InputSpec

__all__ = ["Inspected", "inspect"]

_STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A file that passed.

    Attributes:
        content: the very bytes that were inspected; a runtime opens these, not the path again.
        spec: from the file's metadata; it agrees with the graph.
        scheme: from the file's metadata.
        pixels: the graph takes pixels and not normalised images (`reid.export.pixels`).
    """

    content: bytes
    spec: InputSpec
    scheme: str
    pixels: bool = False


def inspect(path: Path, *, pixels: bool = False) -> Inspected:
    """Read and check an exported file.

    Args:
        path: of the file.
        pixels: a graph that takes pixels is welcome too.

    Raises:
        ArtifactError: the file cannot be read, or takes pixels where those are not welcome.
        UnverifiedError: it is no ONNX file, is not self-contained (external data), uses custom operators or
            functions, lacks the input specification, or its graph contradicts it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    model = _parse(content, path)
    _refuse_foreign_parts(model, path)
    spec, scheme = read_metadata({p.key: p.value for p in model.metadata_props}, str(path))
    found = [_signature(value) for value in (*model.graph.input, *model.graph.output)]
    embedding = ("embedding", "float", [spec.embedding_dim])
    wanted = [("images", "float", [3, spec.height, spec.width]), embedding]
    with_pixels = [(PIXELS, "uint8", [spec.height, spec.width, 3]), embedding]
    if found not in (wanted, with_pixels):
        raise UnverifiedError(f"{path} has inputs and outputs {found}, its input specification says {wanted}")
    if found == with_pixels and not pixels:
        raise ArtifactError(
            f"{path} takes pixels, which onnxruntime alone opens; use the package that it was exported from"
        )
    return Inspected(content=content, spec=spec, scheme=scheme, pixels=found == with_pixels)


def _parse(content: bytes, path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise UnverifiedError(f"{path} is no ONNX file") from error
    if not model.ir_version or not model.graph.node:
        raise UnverifiedError(f"{path} is no ONNX file: it holds no graph")
    return model


def _refuse_foreign_parts(model: onnx.ModelProto, path: Path) -> None:
    if model.functions:
        raise UnverifiedError(f"{path} defines functions of its own ({model.functions[0].name})")
    for graph in _graphs(model.graph):
        for node in graph.node:
            if node.domain not in _STANDARD_DOMAINS:
                raise UnverifiedError(f"{path} uses the custom operator {node.domain}.{node.op_type}")
        for tensor in _tensors(graph):
            if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise UnverifiedError(f"{path} keeps tensor {tensor.name!r} in another file (external data)")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            sparse += [*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [])]
            sparse += attribute.sparse_tensors
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def _signature(value: onnx.ValueInfoProto) -> tuple[str, str, list[int]]:
    """Name, type and shape without the number of images; no shape if that is fixed."""
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    free = dims and not dims[0].HasField("dim_value")
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return value.name, kind, [dim.dim_value for dim in dims[1:]] if free else []
