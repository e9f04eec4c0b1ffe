"""Which quantization scheme is offered on which target, and why not on the others.

The figures behind the table are in docs/decisions/0010-schemes-and-runtimes.md.
"""

from reid.config import Target, reject_unknown
from reid.errors import ConfigError

__all__ = ["OFFERED", "demand_offered", "offered"]

_TORCH = frozenset({("torchscript", "cpu"), ("torchscript-qnnpack", "cpu")})
_INTEGER = frozenset({("onnxruntime", "cpu"), ("openvino", "cpu")}) | _TORCH

OFFERED: dict[str, frozenset[tuple[str, str]]] = {
    "fp32": _INTEGER | {("executorch", "cpu"), ("onnxruntime", "cuda"), ("torch-cuda", "cuda")},
    "fp16": frozenset({("onnxruntime", "cuda"), ("torch-cuda", "cuda")}),
    "bf16": frozenset({("openvino", "cpu"), ("torch-cuda", "cuda")}),
    "int8-dynamic": frozenset({("onnxruntime", "cpu")}),
    "int8-static": _INTEGER,
    "int8-qat": _INTEGER,
    "int8-mixed": _INTEGER,
}
"""Scheme -> (runtime, kind of device) where it can gain; a runtime that is not installed here may be named."""

_REASONS: dict[tuple[str, str, str], str] = {
    (
        "fp16",
        "onnxruntime",
        "cpu",
    ): "its CPU kernels have no fp16, so each layer would be cast to fp32 and back",
    ("fp16", "openvino", "cpu"): "it computes fp16 on a few server CPUs only; bf16 is for those too",
    ("bf16", "onnxruntime", "cpu"): "it has no bf16 convolution on CPUs",
    ("int8-dynamic", "openvino", "cpu"): "it has no integer convolution with ranges found at run time",
    **{
        (
            scheme,
            "executorch",
            "cpu",
        ): "XNNPACK's partitioner cannot cut our quantized graphs (docs/targets.md)"
        for scheme in ("int8-static", "int8-qat", "int8-mixed")
    },
    **{
        (scheme, *place): reason
        for place in _TORCH
        for scheme, reason in (
            ("fp16", "its CPU kernels for fp16 are slower than those for fp32"),
            ("bf16", "its files are opened in fp32 or int8"),
            ("int8-dynamic", "it has no integer convolution with ranges found at run time"),
        )
    },
}


def offered(runtime: str, device: str) -> tuple[str, ...]:
    """Schemes offered on a runtime and device ("cpu" or "cuda:N"), in the order of the table."""
    place = (runtime, device.partition(":")[0])
    return tuple(scheme for scheme, places in OFFERED.items() if place in places)


def demand_offered(scheme: str, target: Target) -> None:
    """Refuse a scheme that gains nothing on the target or does not run there, before any work begins.

    Raises:
        ConfigError: names the reason, and what is offered instead.
    """
    reject_unknown([scheme], OFFERED, "quantization")
    kind = target.device.partition(":")[0]
    if (target.runtime, kind) in OFFERED[scheme]:
        return
    reason = _REASONS.get((scheme, target.runtime, kind), "that combination is not supported")
    here = ", ".join(offered(target.runtime, target.device)) or "none"
    there = ", ".join(f"{runtime} on {device}" for runtime, device in sorted(OFFERED[scheme]))
    raise ConfigError(
        f"quantization {scheme} is not offered with target.runtime {target.runtime} on {target.device}: {reason}; "
        f"offered there: {here}; {scheme} is offered by {there}"
    )
