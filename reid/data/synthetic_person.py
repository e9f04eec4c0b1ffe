"""What a generated person looks like: body, clothes and what is carried."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Colour", "Person", "draw_person"]

Colour = tuple[int, int, int]
"""(red, green, blue), 0 to 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Everything that stays the same from camera to camera.

    Attributes:
        height: of the body relative to the tallest person, 0.86 to 1.
        build: breadth relative to the average, 0.85 to 1.2.
        skin: colour of face, hands and bare limbs.
        hair: colour of the hair, or of the cap.
        hair_style: "short", "long", "bald" or "cap".
        top: main colour of the upper clothes.
        accent: second colour of the upper clothes.
        pattern: "plain", "hoops", "stripes", "checks", "logo", "halves" or "jacket".
        long_sleeves: whether the sleeves reach the hands.
        coat: whether the upper clothes reach down to the thighs.
        lower_kind: "trousers", "shorts" or "skirt".
        lower: colour of the lower clothes.
        shoes: colour of the shoes.
        bag_kind: "none", "backpack" or "shoulder".
        bag: colour of the bag.
    """

    height: float
    build: float
    skin: Colour
    hair: Colour
    hair_style: str
    top: Colour
    accent: Colour
    pattern: str
    long_sleeves: bool
    coat: bool
    lower_kind: str
    lower: Colour
    shoes: Colour
    bag_kind: str
    bag: Colour


# Few colours for many people: clothes alone do not tell who it is, as in a real crowd.
_TOPS: tuple[Colour, ...] = (
    (38, 38, 42), (225, 225, 220), (140, 140, 145), (188, 42, 46), (42, 66, 150), (104, 160, 208),
    (52, 118, 66), (226, 186, 58), (216, 120, 48), (126, 70, 140), (222, 150, 168), (110, 78, 54),
)  # fmt: skip
_LOWERS: tuple[Colour, ...] = (
    (34, 34, 40), (52, 68, 110), (116, 134, 166), (120, 112, 92), (196, 184, 152), (90, 90, 94),
    (138, 52, 56),
)  # fmt: skip
_SKINS: tuple[Colour, ...] = ((240, 206, 180), (222, 178, 146), (188, 138, 102), (134, 92, 64), (92, 62, 46))
_HAIRS: tuple[Colour, ...] = ((28, 24, 22), (62, 42, 30), (112, 76, 46), (190, 156, 96), (150, 150, 152))
_SHOES: tuple[Colour, ...] = ((30, 30, 32), (216, 216, 212), (110, 74, 50), (170, 44, 50), (60, 80, 130))
_PATTERNS = ("plain", "hoops", "stripes", "checks", "logo", "halves", "jacket")
_PATTERN_ODDS = (0.34, 0.13, 0.08, 0.09, 0.13, 0.08, 0.15)


def draw_person(random: np.random.Generator) -> Person:
    """Draw a person; the same state of `random` gives the same one."""
    top, accent = random.choice(len(_TOPS), size=2, replace=False)
    cap = random.random() < 0.12
    return Person(
        height=random.uniform(0.86, 1.0),
        build=random.uniform(0.85, 1.2),
        skin=_shade(random, _SKINS),
        hair=_shade(random, _TOPS if cap else _HAIRS),
        hair_style="cap" if cap else _one_of(random, ("short", "long", "bald"), (0.52, 0.4, 0.08)),
        top=_vary(random, _TOPS[top]),
        accent=_vary(random, _TOPS[accent]),
        pattern=_one_of(random, _PATTERNS, _PATTERN_ODDS),
        long_sleeves=bool(random.random() < 0.45),
        coat=bool(random.random() < 0.15),
        lower_kind=_one_of(random, ("trousers", "shorts", "skirt"), (0.55, 0.27, 0.18)),
        lower=_shade(random, _LOWERS),
        shoes=_shade(random, _SHOES),
        bag_kind=_one_of(random, ("none", "backpack", "shoulder"), (0.45, 0.3, 0.25)),
        bag=_shade(random, _TOPS),
    )


def _one_of(random: np.random.Generator, names: tuple[str, ...], odds: tuple[float, ...]) -> str:
    return names[int(random.choice(len(names), p=odds))]


def _shade(random: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return _vary(random, colours[int(random.integers(len(colours)))])


def _vary(random: np.random.Generator, colour: Colour) -> Colour:
    red, green, blue = np.clip(np.array(colour) + random.integers(-12, 13, size=3), 0, 255)
    return int(red), int(green), int(blue)
