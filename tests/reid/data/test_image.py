import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from reid.data.image import BadImage, decode, describe_bad, find_bad


def picture(height: int = 40, width: int = 20) -> Image.Image:
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return Image.fromarray(ramp.astype(np.uint8))


def test_a_lossless_image_comes_back_exactly(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), np.asarray(picture()))


def test_resizing_is_pillows_antialiased_bilinear(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    expected = picture().resize((8, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(tmp_path / "a.png", (16, 8)), np.asarray(expected))


def test_shrinking_averages_and_does_not_skip(tmp_path: Path) -> None:
    stripes = np.zeros((64, 32, 3), np.uint8)
    stripes[::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    small = decode(tmp_path / "a.png", (16, 8))
    assert isinstance(small, np.ndarray)
    assert abs(small.astype(float)[2:-2] - 127.5).max() < 25


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode in ("L", "CMYK") else "png"
    Image.new("RGB", (20, 40), (204, 204, 204)).convert(mode).save(tmp_path / f"a.{suffix}")
    pixels = decode(tmp_path / f"a.{suffix}")
    assert isinstance(pixels, np.ndarray)
    assert pixels.shape == (40, 20, 3)
    assert abs(pixels.astype(int) - 204).max() <= 3


def test_deep_grey_images_are_refused_where_they_would_become_white(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 800).reshape(40, 20).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "thermal.png")
    found = decode(tmp_path / "thermal.png")
    assert isinstance(found, BadImage)
    assert found.reason == "more than 8 bits a channel; convert it to 8"


def test_exif_rotation_is_undone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the stored rows are the columns of the scene
    lying = picture().rotate(90, expand=True)
    lying.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), np.asarray(picture()))


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(turn: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    picture().save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), expected)


@pytest.mark.parametrize(
    "tags", [b"Exif\0\0II*", b"Exif\0\0II+\0\x08\0\0\0\0\0\0\0", b"Exif\0\0nonsense", b"Exif\0\0"]
)
def test_a_damaged_exif_costs_no_image(tags: bytes, tmp_path: Path) -> None:
    picture().save(tmp_path / "plain.jpg", dpi=(72, 72))
    picture().save(tmp_path / "a.jpg", dpi=(72, 72), exif=tags)
    np.testing.assert_array_equal(decode(tmp_path / "a.jpg"), decode(tmp_path / "plain.jpg"))


def test_a_png_with_a_damaged_byte_is_refused(tmp_path: Path) -> None:
    """Whatever Pillow refuses when it is asked for the pixels alone, wherever the damage lies."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    start, damaged = whole.index(b"IDAT") + 6, tmp_path / "damaged.png"
    refused = 0
    for place in range(start, len(whole) - 20, 97):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            with Image.open(damaged) as image:
                image.convert("RGB")
        except (OSError, SyntaxError):
            refused += 1
            assert isinstance(decode(damaged), BadImage), place
    assert refused > 20
    assert find_bad([damaged, tmp_path / "whole.png"])[0].path == damaged


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(decode(tmp_path / "a.jpg"), np.asarray(picture()))


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 8) + b"IDAT" + b"\0" * 12


def bad_files(folder: Path) -> dict[str, Path]:
    picture(128, 64).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    contents = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"this is no image",
        "bomb": png_header(50_000, 50_000),
        "large": png_header(10_000, 9_500),
        "wide": png_header(4_000, 2_001),
        "gif": b"GIF89a" + b"\0" * 40,
    }
    for name, content in contents.items():
        (folder / f"{name}.jpg").write_bytes(content)
    return {name: folder / f"{name}.jpg" for name in contents} | {"absent": folder / "absent.jpg"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated", "truncated"),
        ("empty", "no jpeg or png"),
        ("text", "no jpeg or png"),
        ("gif", "no jpeg or png"),
        ("bomb", "too many"),
        ("large", "too many"),
        ("wide", "4000x2001 pixels are too many"),
        ("absent", "no such file"),
    ],
)
def test_bad_images_are_reported_not_raised(tmp_path: Path, name: str, reason: str) -> None:
    bad = decode(bad_files(tmp_path)[name], (64, 32))
    assert isinstance(bad, BadImage)
    assert reason in bad.reason.lower()


def test_find_bad_keeps_order_and_good_images_out(tmp_path: Path) -> None:
    files = bad_files(tmp_path)
    paths = [files["text"], tmp_path / "whole.jpg", files["truncated"]]
    assert [bad.path for bad in find_bad(paths, workers=2)] == [files["text"], files["truncated"]]


def test_ten_bad_images_are_listed_and_all_counted(tmp_path: Path) -> None:
    bad = [BadImage(path=tmp_path / f"{number}.jpg", reason="torn") for number in range(12)]
    text = describe_bad(bad, tmp_path)
    assert text.startswith("12 bad images: 0.jpg (torn), 1.jpg (torn)")
    assert text.endswith("9.jpg (torn) and 2 more")


def test_bad_images_of_a_dataset_take_little_memory(tmp_path: Path) -> None:
    """Peak resident memory of a fresh process that checks every kind of bad file; the bomb alone claims 7.5 GB."""
    bad_files(tmp_path)
    # VmHWM, because getrusage's maximum counts the memory of the process that this one was forked from.
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from reid.data.image import find_bad\n"
        "bad = find_bad(sorted(Path(sys.argv[1]).iterdir()), workers=2)\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(len(bad), status.split('VmHWM:')[1].split()[0])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    bad, resident_kib = map(int, done.stdout.split())
    assert bad == 7
    assert resident_kib < 1 << 20
