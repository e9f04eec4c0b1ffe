"""Six generated cameras: what stands behind the people, how they are seen, and what the lens does to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from reid.data.synthetic_person import Colour

__all__ = ["CAMERAS", "CROP_SIZE", "Camera", "background", "capture"]

CROP_SIZE = (128, 64)
"""(height, width) in pixels of every generated box, as in Market-1501."""

_SCENE_MARGIN = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """How one camera sees.

    Attributes:
        view: the direction in which most people walk, in radians; 0 towards the camera.
        view_spread: standard deviation of that direction, in radians.
        pitch: how far it looks down, 0 to 0.3.
        gains: factors on (red, green, blue): the colour cast.
        gamma: exponent on the brightness; above 1 is darker.
        saturation: 0 is grey, 1 unchanged.
        sharpness: resolution relative to the box, in (0, 1].
        noise: standard deviation as a fraction of full scale.
        wall: colour of what stands upright behind the people.
        ground: colour of what they walk on.
        horizon: where the ground begins, fraction of the box's height.
        scene: "building", "park" or "hall".
    """

    view: float
    view_spread: float
    pitch: float
    gains: tuple[float, float, float]
    gamma: float
    saturation: float
    sharpness: float
    noise: float
    wall: Colour
    ground: Colour
    horizon: float
    scene: str


CAMERAS: tuple[Camera, ...] = (
    Camera(
        view=0.2, view_spread=0.5, pitch=0.05, gains=(1.0, 1.0, 1.0), gamma=1.0, saturation=1.0,
        sharpness=1.0, noise=0.012, wall=(150, 140, 128), ground=(172, 168, 160), horizon=0.42,
        scene="building",
    ),
    Camera(
        view=3.0, view_spread=0.5, pitch=0.12, gains=(1.09, 1.0, 0.91), gamma=0.93, saturation=0.95,
        sharpness=0.75, noise=0.015, wall=(92, 122, 74), ground=(176, 150, 118), horizon=0.3, scene="park",
    ),
    Camera(
        view=1.5, view_spread=0.4, pitch=0.0, gains=(0.92, 0.99, 1.09), gamma=1.14, saturation=0.85,
        sharpness=0.85, noise=0.02, wall=(112, 118, 128), ground=(134, 136, 140), horizon=0.5,
        scene="building",
    ),
    Camera(
        view=-1.4, view_spread=0.6, pitch=0.2, gains=(0.97, 1.05, 0.95), gamma=1.03, saturation=0.8,
        sharpness=0.65, noise=0.022, wall=(196, 198, 188), ground=(140, 150, 142), horizon=0.22, scene="hall",
    ),
    Camera(
        view=0.6, view_spread=1.2, pitch=0.15, gains=(1.04, 0.97, 1.03), gamma=1.2, saturation=0.9,
        sharpness=0.9, noise=0.028, wall=(108, 98, 92), ground=(126, 122, 124), horizon=0.36,
        scene="building",
    ),
    Camera(
        view=2.4, view_spread=0.9, pitch=0.08, gains=(0.96, 1.0, 1.06), gamma=0.87, saturation=0.7,
        sharpness=0.5, noise=0.018, wall=(170, 180, 188), ground=(180, 180, 176), horizon=0.4, scene="park",
    ),
)  # fmt: skip
"""Cameras 1 to 6."""


def background(camera: Camera, random: np.random.Generator) -> Image.Image:
    """What stands behind a person in this camera, without the lens.

    The scene of a camera is always the same; every box shows another part of it.

    Returns:
        RGB image of `CROP_SIZE`.
    """
    height, width = CROP_SIZE
    scene = _scene(camera, random)
    left, top = (int(value) for value in random.integers(0, _SCENE_MARGIN, size=2))
    return scene.crop((left, top, left + width, top + height))


def capture(image: Image.Image, camera: Camera, random: np.random.Generator) -> Image.Image:
    """What the camera makes of an ideal picture: cast, exposure, blur and noise.

    Args:
        image: RGB of `CROP_SIZE`.
        camera: the lens.
        random: decides exposure, light and noise of this one picture.

    Returns:
        RGB image of the same size.
    """
    width, height = image.size
    sharpness = camera.sharpness * random.uniform(0.8, 1.0)
    small = (max(8, round(width * sharpness)), max(16, round(height * sharpness)))
    soft = image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)
    pixels: NDArray[np.float32] = np.asarray(soft, dtype=np.float32) / np.float32(255)
    seen = _tint(pixels * _light(random, height, width), camera, random)
    seen += random.normal(0, camera.noise, size=seen.shape).astype(np.float32)
    return Image.fromarray((np.clip(seen, 0, 1) * 255 + 0.5).astype(np.uint8))


def _tint(pixels: NDArray[np.float32], camera: Camera, random: np.random.Generator) -> NDArray[np.float32]:
    grey = pixels.mean(axis=2, keepdims=True)
    coloured = grey + (pixels - grey) * np.float32(camera.saturation)
    gains = np.array(camera.gains, dtype=np.float32) * np.float32(random.uniform(0.9, 1.1))
    cast: NDArray[np.float32] = np.clip(coloured * gains, 0, 1) ** np.float32(camera.gamma)
    return cast


def _light(random: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """(H, W, 1) brightness: a slope from one side to the other and soft spots such as folds and shade."""
    slope = random.uniform(-0.14, 0.14) * np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    spots = Image.fromarray(random.normal(1, 0.07, size=(12, 6)).astype(np.float32))
    smooth = np.asarray(spots.resize((width, height), Image.Resampling.BICUBIC))
    return (smooth + slope.astype(np.float32))[:, :, None]


def _scene(camera: Camera, random: np.random.Generator) -> Image.Image:
    height, width = (size + _SCENE_MARGIN for size in CROP_SIZE)
    scene = Image.new("RGB", (width, height), camera.wall)
    draw = ImageDraw.Draw(scene)
    horizon = int(height * camera.horizon)
    if camera.scene == "building":
        _windows(draw, camera, horizon, width)
    elif camera.scene == "park":
        _trees(draw, camera, horizon, width)
    else:
        _pillars(draw, camera, horizon, width)
    draw.rectangle((0, horizon, width, height), fill=camera.ground)
    for y in range(horizon, height, 14):
        draw.line((0, y, width, y + 4), fill=_shift(camera.ground, -12))
    if random.random() < 0.35:
        _passer_by(draw, random, width, height)
    return scene.filter(ImageFilter.GaussianBlur(1.2))


def _windows(draw: ImageDraw.ImageDraw, camera: Camera, horizon: int, width: int) -> None:
    for x in range(4, width, 30):
        for y in range(6, horizon - 10, 26):
            draw.rectangle((x, y, x + 16, y + 16), fill=_shift(camera.wall, -45))
    draw.rectangle((0, horizon - 6, width, horizon), fill=_shift(camera.wall, -25))


def _trees(draw: ImageDraw.ImageDraw, camera: Camera, horizon: int, width: int) -> None:
    for x in range(6, width, 26):
        draw.ellipse(
            (x - 18, horizon - 46 + x % 11, x + 18, horizon - 6), fill=_shift(camera.wall, -30 + x % 37)
        )
        draw.rectangle((x - 2, horizon - 14, x + 2, horizon), fill=(86, 66, 50))


def _pillars(draw: ImageDraw.ImageDraw, camera: Camera, horizon: int, width: int) -> None:
    for x in range(10, width, 36):
        draw.rectangle((x, 0, x + 8, horizon), fill=_shift(camera.wall, -35))
    draw.rectangle((0, 0, width, 8), fill=_shift(camera.wall, -60))


def _passer_by(draw: ImageDraw.ImageDraw, random: np.random.Generator, width: int, height: int) -> None:
    """Somebody far behind: a dark upright shape."""
    x, y = int(random.integers(0, width)), int(random.integers(height // 4, height // 2))
    red, green, blue = (int(value) for value in random.integers(30, 200, size=3))
    draw.ellipse((x - 3, y - 8, x + 3, y), fill=(200, 160, 130))
    draw.rectangle((x - 6, y, x + 6, y + 22), fill=(red, green, blue))
    draw.rectangle((x - 5, y + 22, x + 5, y + 46), fill=(blue // 2, green // 2, red // 2))


def _shift(colour: Colour, by: int) -> Colour:
    red, green, blue = (min(255, max(0, value + by)) for value in colour)
    return red, green, blue
