"""What a teacher expects of an image: an input specification that may also ask for blue first."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml
from numpy.typing import NDArray

from reid.config import reject_unknown
from reid.data.normalize import MEAN, STD
from reid.errors import ConfigError
from reid.export.spec import InputSpec

__all__ = ["SPEC_SUFFIX", "TEACHER_SPECS", "TeacherSpec", "find_spec", "own_spec"]

SPEC_SUFFIX = ".input_spec.json"
"""Takes the place of a model file's suffix in the name of the specification beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSpec:
    """How images become a teacher's input.

    Our own artifacts are RGB and have one output; a network of others need not.

    Attributes:
        images: size, mean, std, mirror image and embedding width; mean and std in the order RGB.
        channel_order: order in which the network reads the channels, "RGB" or "BGR".
        output: name of the output that is the embedding, or None for the only one.
    """

    images: InputSpec
    channel_order: str = "RGB"
    output: str | None = None

    def __post_init__(self) -> None:
        if self.channel_order not in ("RGB", "BGR"):
            raise ConfigError(
                f"channel_order of the input specification must be RGB or BGR, got {self.channel_order!r}"
            )
        if self.output is not None and not isinstance(self.output, str):
            raise ConfigError(f"output of the input specification must be a name, got {self.output!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the keys of `input_spec.json`; mean and std stand in the order of `channel_order`.

        Args:
            values: the keys of `InputSpec`, where `channel_order` may be BGR, and optionally `output`.

        Raises:
            ConfigError: as in `InputSpec.from_dict`.
        """
        plain = {"schema": 1, "resize": "bilinear", "flip": False, "channel_order": "RGB"} | dict(values)
        output: Any = plain.pop("output", None)
        order = plain["channel_order"]
        if order == "BGR":
            plain |= {name: _reversed(plain[name]) for name in ("mean", "std") if name in plain}
            plain["channel_order"] = "RGB"
        return cls(images=InputSpec.from_dict(plain), channel_order=str(order), output=output)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same specification back."""
        values = self.images.to_dict() | {"channel_order": self.channel_order}
        if self.channel_order == "BGR":
            values |= {name: _reversed(values[name]) for name in ("mean", "std")}
        return values if self.output is None else values | {"output": self.output}

    def normalise(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn decoded images into the teacher's input.

        Args:
            images: (N, height, width, 3) uint8, RGB.

        Returns:
            (N, 3, height, width) float32, channels in `channel_order`, contiguous.

        Raises:
            ConfigError: as in `InputSpec.check`.
        """
        self.images.check(images)
        planes = self.images.normalise(images)
        return np.ascontiguousarray(planes[:, ::-1]) if self.channel_order == "BGR" else planes


def own_spec(height: int, width: int, embedding_dim: int) -> TeacherSpec:
    """The specification of a network that was trained by this project: RGB, ImageNet's mean and std."""
    images = InputSpec(height=height, width=width, mean=MEAN, std=STD, embedding_dim=embedding_dim)
    return TeacherSpec(images=images)


TEACHER_SPECS: dict[str, TeacherSpec] = {
    # Model pages of Open Model Zoo 2024: 1x3x256x128 "BGR", 256 numbers; the IR itself subtracts mean and std.
    "omz": TeacherSpec(
        images=InputSpec(
            height=256,
            width=128,
            mean=(0.0, 0.0, 0.0),
            std=(1 / 255, 1 / 255, 1 / 255),
            embedding_dim=256,
        ),
        channel_order="BGR",
    ),
}
"""Specifications by the name that `teacher_spec` uses; omz: person-reidentification-retail-0277, 0286, 0287, 0288."""


def find_spec(model: Path, given: str | None) -> TeacherSpec | None:
    """The specification that is named, else `MODEL.input_spec.json` or `input_spec.json` beside it, else None.

    Args:
        model: file of the teacher.
        given: key of `TEACHER_SPECS`, or path of a .json, .yaml or .yml file.

    Raises:
        ConfigError: an unknown name (lists the known), or a file that is absent, damaged or wrong.
    """
    if given is None:
        # A checkpoint's own suffix may number it: model.pth.tar-60.
        stem, _, _ = model.name.partition(".pth.tar")
        named = model.with_name(stem + SPEC_SUFFIX) if stem != model.name else model.with_suffix(SPEC_SUFFIX)
        beside = (named, model.with_name(SPEC_SUFFIX.lstrip(".")))
        return next((_read(path) for path in beside if path.is_file()), None)
    if Path(given).suffix in (".json", ".yaml", ".yml"):
        return _read(Path(given))
    reject_unknown([given], [*TEACHER_SPECS, "FILE.json", "FILE.yaml"], "teacher_spec")
    return TEACHER_SPECS[given]


def _read(path: Path) -> TeacherSpec:
    try:
        text = path.read_text()
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ConfigError(f"teacher_spec {path} cannot be read: {reason}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"teacher_spec {path} must hold keys such as height, width, mean and std")
    try:
        return TeacherSpec.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"teacher_spec {path}: {error}") from error


def _reversed(values: Any) -> Any:
    return values[::-1] if isinstance(values, list | tuple) else values
