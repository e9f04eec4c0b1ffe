"""Draws a walking person as flat shapes: limbs, torso with its pattern, head, hair and bag.

Lengths are fractions of the person's height, measured from the top of the head; x grows to the right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from reid.data.synthetic_person import Colour, Person

__all__ = ["Place", "Pose", "paint_figure"]

_Point = tuple[float, float]

_SHOULDER, _WAIST, _HIP, _COAT_HEM, _SKIRT_HEM = 0.175, 0.38, 0.51, 0.62, 0.70
_THIGH, _SHIN, _UPPER_ARM, _FOREARM = 0.23, 0.225, 0.16, 0.15
_FAR_LIMB = 0.78
"""Brightness of the limbs on the side turned away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How the person is caught in the step.

    Attributes:
        view: direction in radians: 0 faces the camera, pi/2 walks to the right, pi shows the back.
        phase: of the step, in radians.
        stride: largest angle of a thigh, in radians.
    """

    view: float
    phase: float
    stride: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the person stands on the canvas.

    Attributes:
        centre: x of the body's axis, in pixels.
        top: y of the top of the head, in pixels.
        height: from head to sole, in pixels.
        pitch: how far the camera looks down: 0 level, 0.3 from high above, which shortens the legs.
    """

    centre: float
    top: float
    height: float
    pitch: float


class _Pen:
    """Draws in fractions of the person's height."""

    def __init__(self, canvas: Image.Image, place: Place) -> None:
        self.canvas = canvas
        self.draw = ImageDraw.Draw(canvas)
        self._place = place

    def pixel(self, point: _Point) -> _Point:
        x, y = point
        lowered = y * (1 + self._place.pitch * (1 - y))
        return self._place.centre + x * self._place.height, self._place.top + lowered * self._place.height

    def area(self, points: Sequence[_Point], colour: Colour) -> None:
        self.draw.polygon([self.pixel(point) for point in points], fill=colour)

    def oval(self, centre: _Point, radii: _Point, colour: Colour) -> None:
        x, y = self.pixel(centre)
        across, down = radii[0] * self._place.height, radii[1] * self._place.height
        self.draw.ellipse((x - across, y - down, x + across, y + down), fill=colour)

    def limb(self, start: _Point, end: _Point, widths: _Point, colour: Colour) -> None:
        length = math.dist(start, end) or 1.0
        across, along = (end[1] - start[1]) / length, (end[0] - start[0]) / length
        corners = []
        for (x, y), half, side in (
            (start, widths[0], 1), (end, widths[1], 1), (end, widths[1], -1), (start, widths[0], -1)
        ):  # fmt: skip
            corners.append((x + side * half * across, y - side * half * along))
        self.area(corners, colour)
        self.oval(start, (widths[0], widths[0]), colour)
        self.oval(end, (widths[1], widths[1]), colour)


def paint_figure(canvas: Image.Image, person: Person, pose: Pose, place: Place) -> None:
    """Draw a person onto an RGB canvas, whatever of it lies inside.

    Args:
        canvas: changed in place.
        person: what they look like.
        pose: how they walk and where they face.
        place: where they stand.
    """
    pen = _Pen(canvas, place)
    side = math.sin(pose.view)
    # The limb on the left of the picture is the nearer one when the person walks to the left.
    far, near = (-1, 1) if side >= 0 else (1, -1)
    back = math.cos(pose.view) < 0
    if not back:
        _long_hair(pen, person, side)
        _backpack(pen, person, pose)
    _arm(pen, person, pose, far)
    _leg(pen, person, pose, far)
    _leg(pen, person, pose, near)
    _skirt(pen, person, pose)
    _torso(pen, person, pose)
    if back:
        _backpack(pen, person, pose)
    _shoulder_bag(pen, person, pose)
    _arm(pen, person, pose, near)
    _head(pen, person, pose)
    if back:
        _long_hair(pen, person, side)


def _half_width(person: Person, pose: Pose) -> float:
    return person.build * (0.078 + 0.05 * abs(math.cos(pose.view)))


def _lit(colour: Colour, brightness: float) -> Colour:
    return int(colour[0] * brightness), int(colour[1] * brightness), int(colour[2] * brightness)


def _brightness(pose: Pose, which: int) -> float:
    is_far = which * (1 if math.sin(pose.view) >= 0 else -1) < 0
    return 1 - (1 - _FAR_LIMB) * abs(math.sin(pose.view)) if is_far else 1.0


def _leg(pen: _Pen, person: Person, pose: Pose, which: int) -> None:
    """One leg; `which` is -1 or 1 and says on which side of the axis it hangs when seen from the front."""
    side = math.sin(pose.view)
    angle = pose.stride * math.sin(pose.phase) * which
    bend = max(0.0, -angle) * 1.1 + 0.05
    hip = (which * 0.05 * person.build * abs(math.cos(pose.view)), _HIP)
    knee = (hip[0] + _THIGH * math.sin(angle) * side, hip[1] + _THIGH * math.cos(angle))
    lifted = angle - bend
    ankle = (knee[0] + _SHIN * math.sin(lifted) * side, knee[1] + _SHIN * math.cos(lifted))
    light = _brightness(pose, which)
    cloth, skin = _lit(person.lower, light), _lit(person.skin, light)
    thigh, calf = 0.05 * person.build, 0.031 * person.build
    covered = person.lower_kind == "trousers"
    pen.limb(knee, ankle, (calf * 1.25, calf), cloth if covered else skin)
    pen.limb(hip, knee, (thigh * 1.1, thigh * 0.8), skin if person.lower_kind == "skirt" else cloth)
    toe = (ankle[0] + 0.045 * side, ankle[1] + 0.022)
    pen.limb((ankle[0] - 0.008 * side, ankle[1] + 0.016), toe, (0.02, 0.016), _lit(person.shoes, light))


def _arm(pen: _Pen, person: Person, pose: Pose, which: int) -> None:
    side, front = math.sin(pose.view), abs(math.cos(pose.view))
    angle = -pose.stride * 0.9 * math.sin(pose.phase) * which
    shoulder = (which * (_half_width(person, pose) - 0.012) * front, _SHOULDER + 0.02)
    spread = which * 0.022 * front
    elbow = (
        shoulder[0] + _UPPER_ARM * math.sin(angle) * side + spread,
        shoulder[1] + _UPPER_ARM * math.cos(angle),
    )
    bent = angle + 0.25
    hand = (elbow[0] + _FOREARM * math.sin(bent) * side, elbow[1] + _FOREARM * math.cos(bent))
    light = _brightness(pose, which) * 0.93
    cloth, skin = _lit(person.top, light), _lit(person.skin, light)
    width = 0.031 * person.build
    pen.limb(elbow, hand, (width * 0.85, width * 0.65), cloth if person.long_sleeves else skin)
    pen.oval(hand, (0.018, 0.02), skin)
    pen.limb(shoulder, elbow, (width * 1.15, width * 0.9), cloth)


def _skirt(pen: _Pen, person: Person, pose: Pose) -> None:
    if person.lower_kind != "skirt":
        return
    half = _half_width(person, pose)
    flare = half * 1.15 + 0.03 * abs(math.sin(pose.phase) * math.sin(pose.view))
    pen.area(
        [(-half * 0.8, 0.44), (half * 0.8, 0.44), (flare, _SKIRT_HEM), (-flare, _SKIRT_HEM)], person.lower
    )


def _torso(pen: _Pen, person: Person, pose: Pose) -> None:
    half = _half_width(person, pose)
    pen.limb((0, 0.12), (0, _SHOULDER), (0.028, 0.032), _lit(person.skin, 0.9))
    hem = _COAT_HEM if person.coat else _HIP + 0.02
    outline = [
        (-half * 0.45, 0.155), (half * 0.45, 0.155), (half, _SHOULDER + 0.02), (half * 0.86, _WAIST),
        (half * 0.92, hem), (-half * 0.92, hem), (-half * 0.86, _WAIST), (-half, _SHOULDER + 0.02),
    ]  # fmt: skip
    pixels = [pen.pixel(point) for point in outline]
    left, top = (int(min(value)) for value in zip(*pixels, strict=True))
    right, bottom = (int(max(value)) + 1 for value in zip(*pixels, strict=True))
    cloth = _cloth(person, pose, (max(1, right - left), max(1, bottom - top)))
    mask = Image.new("1", cloth.size)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in pixels], fill=1)
    pen.canvas.paste(cloth, (left, top), mask)


def _cloth(person: Person, pose: Pose, size: tuple[int, int]) -> Image.Image:
    """The upper clothes as a rectangle that the torso is cut from."""
    width, height = size
    cloth = Image.new("RGB", size, person.top)
    draw = ImageDraw.Draw(cloth)
    step = max(4, height // 8)
    if person.pattern in ("hoops", "checks"):
        for y in range(0, height, 2 * step):
            draw.rectangle((0, y, width, y + step - 1), fill=person.accent)
    if person.pattern in ("stripes", "checks"):
        blend = person.accent if person.pattern == "stripes" else _mean(person.top, person.accent)
        for x in range(step // 2, width, 2 * step):
            draw.rectangle((x, 0, x + step // 2, height), fill=blend)
    if person.pattern == "halves":
        draw.rectangle((0, height // 2, width, height), fill=person.accent)
    facing = math.cos(pose.view)
    middle = width * (0.5 + 0.4 * math.sin(pose.view))
    if person.pattern == "logo" and facing > -0.2:
        draw.ellipse(
            (middle - width * 0.2, height * 0.22, middle + width * 0.2, height * 0.48), fill=person.accent
        )
    if person.pattern == "jacket" and facing > -0.2:
        draw.rectangle((middle - width * 0.17, 0, middle + width * 0.17, height), fill=person.accent)
    return cloth


def _mean(one: Colour, other: Colour) -> Colour:
    return (one[0] + other[0]) // 2, (one[1] + other[1]) // 2, (one[2] + other[2]) // 2


def _backpack(pen: _Pen, person: Person, pose: Pose) -> None:
    if person.bag_kind != "backpack":
        return
    side, front = math.sin(pose.view), math.cos(pose.view)
    half = 0.045 + 0.045 * abs(front)
    x = -side * (_half_width(person, pose) + 0.02)
    pen.limb((x, 0.24), (x, 0.39), (half * 0.9, half), person.bag)
    if front < 0:
        pen.area(
            [(x - half * 0.6, 0.32), (x + half * 0.6, 0.32), (x + half * 0.6, 0.4), (x - half * 0.6, 0.4)],
            _lit(person.bag, 0.75),
        )


def _shoulder_bag(pen: _Pen, person: Person, pose: Pose) -> None:
    half = _half_width(person, pose)
    if person.bag_kind == "backpack" and math.cos(pose.view) > 0.3:
        for which in (-1, 1):
            pen.limb(
                (which * half * 0.6, 0.17), (which * half * 0.66, 0.34), (0.01, 0.01), _lit(person.bag, 0.9)
            )
    if person.bag_kind != "shoulder":
        return
    hangs = 1 if math.cos(pose.view) >= 0 else -1
    pen.limb((-hangs * half * 0.6, 0.165), (hangs * half * 0.9, 0.46), (0.008, 0.008), _lit(person.bag, 0.8))
    x = hangs * half * 0.95
    pen.area([(x - 0.055, 0.44), (x + 0.055, 0.44), (x + 0.06, 0.56), (x - 0.06, 0.56)], person.bag)


def _head(pen: _Pen, person: Person, pose: Pose) -> None:
    side, front = math.sin(pose.view), math.cos(pose.view)
    ahead = 0.012 * side
    pen.oval((ahead, 0.075), (0.05, 0.07), person.skin)
    covered = person.hair_style != "bald"
    if covered and front < -0.2:
        pen.oval((ahead, 0.068), (0.054, 0.068), person.hair)
    elif covered:
        pen.oval((ahead - 0.02 * side, 0.052), (0.053, 0.052), person.hair)
        pen.oval((ahead + 0.018 * side, 0.092), (0.04, 0.048), person.skin)
    if person.hair_style == "cap" and front > -0.2:
        brim = ahead + 0.045 * side
        pen.area(
            [(brim - 0.05, 0.055), (brim + 0.05, 0.055), (brim + 0.05, 0.07), (brim - 0.05, 0.07)],
            person.hair,
        )


def _long_hair(pen: _Pen, person: Person, side: float) -> None:
    if person.hair_style == "long":
        x = -0.014 * side
        pen.limb((x, 0.08), (x - 0.012 * side, 0.19), (0.054, 0.058), person.hair)
