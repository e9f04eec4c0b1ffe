import multiprocessing
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.data import Sample, decode_images, load_dataset
from reid.data.image import decode
from reid.errors import ConfigError, DataError, ResourceError

SIZE = (32, 16)


@pytest.fixture
def root(small_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_root, tmp_path / "data"))


def samples_of(root: Path) -> tuple[Sample, ...]:
    return load_dataset("synthetic", root).train


def test_row_i_is_sample_i_as_pillow_decodes_it(root: Path) -> None:
    samples = samples_of(root)
    decoded = decode_images(samples, SIZE, root)
    assert isinstance(decoded.array, np.memmap)
    assert decoded.array.shape == (len(decoded), *SIZE, 3) == (24, 32, 16, 3)
    assert decoded.array.dtype == np.uint8
    assert decoded.path.parent == root / ".decoded"
    for row, sample in zip(decoded.array, samples, strict=True):
        with Image.open(sample.path) as image:
            expected = image.convert("RGB").resize((16, 32), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(row, np.asarray(expected))


def test_the_array_cannot_be_written(root: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        decode_images(samples_of(root), SIZE, root).array[0] = 0


def test_a_second_call_decodes_nothing(root: Path) -> None:
    samples, told = samples_of(root), []
    first = decode_images(samples, SIZE, root, progress=lambda *say: told.append(say))
    second = decode_images(samples, SIZE, root, progress=lambda *say: told.append(say))
    assert told == [("decode", 24, 24)]
    assert first.path == second.path


def test_size_selection_order_and_content_have_files_of_their_own(root: Path) -> None:
    samples = samples_of(root)
    paths = {decode_images(samples, SIZE, root).path, decode_images(samples, (32, 17), root).path}
    paths |= {decode_images(samples[1:], SIZE, root).path, decode_images(samples[::-1], SIZE, root).path}
    os.utime(samples[0].path, ns=(0, 0))
    paths.add(decode_images(samples, SIZE, root).path)
    assert len(paths) == 5


def test_a_replaced_image_is_decoded_again(root: Path) -> None:
    samples = samples_of(root)
    decode_images(samples, SIZE, root)
    Image.new("RGB", (64, 128), (250, 0, 0)).save(samples[5].path)
    assert decode_images(samples, SIZE, root).array[5].mean(axis=(0, 1))[0] > 240


def test_another_selection_decodes_only_what_no_other_file_holds(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another seed draws other validation identities from the same images."""
    samples, opened = samples_of(root), []

    def counting(path: Path, input_size: tuple[int, int]) -> object:
        opened.append(path)
        return decode(path, input_size)

    monkeypatch.setattr("reid.data.store.decode", counting)
    first = decode_images(samples[:10], SIZE, root)
    decode_images(samples[8:14], SIZE, root)
    assert opened == [sample.path for sample in samples[:14]]
    Image.new("RGB", (64, 128), (250, 0, 0)).save(samples[3].path)
    first.path.with_suffix(".rows").with_name("0.rows").write_bytes(b"torn")
    opened.clear()
    whole = decode_images(samples[::-1], SIZE, root, workers=1)
    assert opened == [*(sample.path for sample in samples[:13:-1]), samples[3].path]
    for row, sample in zip(whole.array, samples[::-1], strict=True):
        np.testing.assert_array_equal(row, decode(sample.path, SIZE))
    decode_images(samples[:10], (32, 17), root)
    assert len(opened) == 10 + 1 + 10, "rows of another input size are of no use"


def test_a_file_without_its_pixels_gives_no_rows(root: Path) -> None:
    samples = samples_of(root)
    path = decode_images(samples[:10], SIZE, root).path
    expected = np.array(decode_images(samples[:10], SIZE, root).array)
    for damage in (b"", path.read_bytes()[:-1]):
        path.write_bytes(damage)
        rows = decode_images(samples[:12], SIZE, root)
        np.testing.assert_array_equal(rows.array[:10], expected)
        rows.path.unlink()


def test_a_damaged_store_is_built_again(root: Path) -> None:
    samples = samples_of(root)
    before = decode_images(samples, SIZE, root)
    expected = np.array(before.array)
    for damage in (before.path.read_bytes()[:-1], b"", b"\x93NUMPY nonsense"):
        before.path.write_bytes(damage)
        np.testing.assert_array_equal(decode_images(samples, SIZE, root).array, expected)


def test_bad_images_are_listed_and_nothing_is_kept(root: Path) -> None:
    samples = samples_of(root)
    for sample in samples[:12]:
        sample.path.write_bytes(sample.path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"^12 bad images: bounding_box_train/.* and 2 more; .*--skip-bad"):
        decode_images(samples, SIZE, root)
    assert not list((root / ".decoded").glob("*.npy"))


def test_lost_images_are_listed(root: Path) -> None:
    samples = samples_of(root)
    samples[2].path.unlink()
    with pytest.raises(DataError, match=f"1 bad image: bounding_box_train/{samples[2].path.name}"):
        decode_images(samples, SIZE, root)


def test_no_samples_is_an_error(root: Path) -> None:
    with pytest.raises(ConfigError, match="at least one sample"):
        decode_images((), SIZE, root)


def test_a_root_that_cannot_be_written_uses_the_users_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told: list[object] = []
    for _ in range(2):
        decoded = decode_images(samples_of(root), SIZE, Path("/proc"), progress=lambda *say: told.append(say))
    assert decoded.path.parent.parent == tmp_path / "cache" / "reid-pareto" / "decoded"
    assert len(told) == 1
    other = decode_images(samples_of(root), SIZE, Path("/proc/self"))
    assert other.path.parent != decoded.path.parent


def test_nowhere_to_write_is_a_resource_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    with pytest.raises(ResourceError, match="set XDG_CACHE_HOME"):
        decode_images(samples_of(root), SIZE, Path("/proc"))


def test_what_a_killed_builder_left_is_removed(root: Path) -> None:
    samples = samples_of(root)
    path = decode_images(samples, SIZE, root).path
    path.unlink()
    leftover = path.with_name(f".{path.stem}.0123abcd.tmp.npy")
    leftover.write_bytes(b"half")
    decode_images(samples, SIZE, root)
    assert not leftover.exists()


def _build(
    root: Path, start: "multiprocessing.synchronize.Barrier", built: "multiprocessing.Queue[int]"
) -> None:
    calls: list[object] = []
    samples = samples_of(root)
    start.wait()
    decode_images(samples, (256, 128), root, progress=lambda *say: calls.append(say))
    built.put(len(calls))


def test_processes_that_need_the_same_file_build_it_once(root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, built = context.Barrier(3), context.Queue()
    builders = [context.Process(target=_build, args=(root, start, built)) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert sorted(built.get() for _ in builders) == [0, 0, 1]


def _stall(root: Path, half_way: "multiprocessing.synchronize.Event") -> None:
    """Build the store, and stop after the first of its chunks for ever."""

    def stop(what: str, done: int, total: int) -> None:
        assert done < total
        half_way.set()
        time.sleep(600)

    decode_images(samples_of(root) * 8, SIZE, root, progress=stop)


@pytest.mark.fault
def test_a_builder_killed_half_way_leaves_no_file_and_no_lock(root: Path) -> None:
    """One that waits for the same file goes on at once, and builds all of it."""
    context = multiprocessing.get_context("spawn")
    half_way = context.Event()
    builder = context.Process(target=_stall, args=(root, half_way))
    builder.start()
    try:
        assert half_way.wait(60)
        samples = samples_of(root) * 8
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(decode_images, samples, SIZE, root)
            time.sleep(0.3)
            assert not waiting.done()
            (torn,) = (root / ".decoded").glob(".*.tmp.npy")
            assert 0 < torn.stat().st_size < len(samples) * 32 * 16 * 3
            assert not list((root / ".decoded").glob("[!.]*.npy"))
            assert builder.pid is not None
            os.kill(builder.pid, signal.SIGKILL)
            built = waiting.result(timeout=60)
    finally:
        builder.kill()
        builder.join()
    assert sorted(path.name for path in (root / ".decoded").iterdir()) == [
        built.path.with_suffix(".lock").name, built.path.name, built.path.with_suffix(".rows").name,
    ]  # fmt: skip
    alone = decode_images(samples_of(root), SIZE, root).array
    np.testing.assert_array_equal(built.array, np.concatenate([alone] * 8))


def test_the_number_of_workers_changes_nothing_but_the_time(root: Path, tmp_path: Path) -> None:
    samples = samples_of(root) * 8
    built, told = [], []
    for workers in (1, 3):
        built.append(
            decode_images(
                samples,
                SIZE,
                root,
                workers=workers,
                progress=lambda what, done, total: told.append((done, total)),
            )
        )
        (root / ".decoded").rename(tmp_path / f"done{workers}")
    assert told == [(64, 192), (128, 192), (192, 192)] * 2
    np.testing.assert_array_equal(built[0].array, built[1].array)
