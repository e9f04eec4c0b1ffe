"""Mean and deviation that every network of this project is fed with."""

__all__ = ["MEAN", "STD"]

MEAN: tuple[float, float, float] = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pixels as (red, green, blue), fractions of full scale."""

STD: tuple[float, float, float] = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's pixels as (red, green, blue), fractions of full scale."""
