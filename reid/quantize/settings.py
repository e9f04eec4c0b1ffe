"""How a file is quantized, apart from its scheme and its images."""

from dataclasses import dataclass

__all__ = ["PLAIN", "QuantizationSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationSettings:
    """What the integer schemes with fixed ranges take besides calibration images.

    Attributes:
        calibration: name in `reid.quantize.ranges.METHODS`.
        equalize: level the channels of successive convolutions before ranges are taken.
        float_layers: names of weighted layers, as in the torch network, that stay float.
        integer_norms: write batch normalisation before convolutions as a convolution (`reid.quantize.norms`); slower
            in torch's own integer kernels.
        weight_bits: 8, or 7 for processors whose products of 8 bits saturate (docs/decisions/0030-seven-bits.md).
    """

    calibration: str = "min-max"
    equalize: bool = False
    float_layers: tuple[str, ...] = ()
    integer_norms: bool = True
    weight_bits: int = 8


PLAIN = QuantizationSettings()
"""The defaults."""
