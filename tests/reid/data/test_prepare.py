import hashlib
import json
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from reid.data import load_dataset
from reid.data.inspect import inspect
from reid.data.prepare import Prepared, prepare, prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.data.tree import TreeOptions
from reid.errors import ConfigError, DataError, ResourceError


@pytest.fixture
def release(small_root: Path, tmp_path: Path) -> Path:
    """A folder as the authors distribute it: one top folder, Windows' thumbnails, a readme."""
    top = tmp_path / "release" / "Market-1501-v15.09.15"
    shutil.copytree(small_root, top, ignore=shutil.ignore_patterns("dataset.json", ".decoded"))
    (top / "query" / "Thumbs.db").write_bytes(b"thumbs")
    (top / "readme.txt").write_text("read me")
    return top.parent


def images(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.suffix == ".jpg"}


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "folder", "inner folder"])
def test_every_source_gives_the_official_layout(
    release: Path, small_root: Path, tmp_path: Path, kind: str
) -> None:
    source = {"folder": release, "inner folder": release / "Market-1501-v15.09.15"}.get(kind)
    if source is None:
        source = Path(shutil.make_archive(str(tmp_path / "download"), kind, release))
    told: set[str] = set()
    prepared = prepare(
        "market1501", source, tmp_path / "out", progress=lambda what, done, total: told.add(what)
    )
    assert images(tmp_path / "out") == images(small_root)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bounding_box_test", "bounding_box_train", "dataset.json", "query",
    ]  # fmt: skip
    assert prepared.images == {"train": 24, "query": 6, "gallery": 9}
    assert (prepared.skipped, prepared.official, prepared.already) == ((), False, False)
    assert told == ({"copy", "check"} if "folder" in kind else {"unpack", "copy", "check"})
    assert len(load_dataset("market1501", tmp_path / "out").gallery) == 9
    assert images(release / "Market-1501-v15.09.15") == images(small_root)


def test_the_same_source_again_does_nothing(release: Path, tmp_path: Path) -> None:
    first = prepare("market1501", release, tmp_path / "out")
    stamp = (tmp_path / "out" / "dataset.json").stat().st_mtime_ns
    second = prepare("market1501", release, tmp_path / "out")
    assert (first.already, second.already) == (False, True)
    assert second.images == first.images
    assert (tmp_path / "out" / "dataset.json").stat().st_mtime_ns == stamp


def test_another_source_is_refused(release: Path, tmp_path: Path) -> None:
    prepare("market1501", release, tmp_path / "out")
    next((release / "Market-1501-v15.09.15" / "query").glob("*.jpg")).unlink()
    with pytest.raises(ConfigError, match="already prepared, from another source"):
        prepare("market1501", release, tmp_path / "out")


def test_a_prepared_folder_that_lost_images_is_not_taken_as_the_same(release: Path, tmp_path: Path) -> None:
    prepare("market1501", release, tmp_path / "out")
    next((tmp_path / "out" / "query").glob("*.jpg")).unlink()
    with pytest.raises(DataError, match="lost or gained images"):
        prepare("market1501", release, tmp_path / "out")


def test_a_folder_with_other_things_is_left_alone(release: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(ConfigError, match="is not empty"):
        prepare("market1501", release, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "kept"


def cut(release: Path, number: int) -> list[str]:
    top = release / "Market-1501-v15.09.15"
    paths = sorted((top / "bounding_box_train").glob("*.jpg"))[:number]
    for path in paths:
        path.write_bytes(path.read_bytes()[:400])
    return [path.relative_to(top).as_posix() for path in paths]


def test_truncated_images_stop_it_and_leave_nothing(release: Path, tmp_path: Path) -> None:
    bad = cut(release, 2)
    with pytest.raises(DataError, match=rf"2 bad images: {bad[0]} \(Trunc.*{bad[1]}.*--skip-bad"):
        prepare("market1501", release, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release"]


def test_truncated_images_are_left_out_and_counted_if_asked(release: Path, tmp_path: Path) -> None:
    bad = cut(release, 2)
    prepared = prepare("market1501", release, tmp_path / "out", skip_bad=True)
    assert prepared.skipped == tuple(bad)
    assert prepared.images["train"] == 22
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["skipped"] == bad
    assert inspect(tmp_path / "out").bad == ()
    assert prepare("market1501", release, tmp_path / "out").skipped == tuple(bad)


def test_a_split_of_bad_images_only_is_an_error(release: Path, tmp_path: Path) -> None:
    cut(release, 24)
    with pytest.raises(DataError, match="bounding_box_train holds no image"):
        prepare("market1501", release, tmp_path / "out", skip_bad=True)
    assert not (tmp_path / "out").exists()


def test_missing_folders_are_named(release: Path, tmp_path: Path) -> None:
    shutil.rmtree(release / "Market-1501-v15.09.15" / "query")
    with pytest.raises(DataError, match="has bounding_box_train but not query"):
        prepare("market1501", release, tmp_path / "out")


def test_a_layout_too_deep_or_absent_is_an_error(release: Path, tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.parent.mkdir(parents=True)
    release.rename(deep)
    prepare("market1501", tmp_path / "a" / "b" / "c", tmp_path / "near")
    with pytest.raises(DataError, match="no bounding_box_train within 3 levels"):
        prepare("market1501", tmp_path / "a", tmp_path / "out")


def test_two_layouts_are_ambiguous(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release / "Market-1501-v15.09.15", release / "copy")
    with pytest.raises(DataError, match="in 2 places"):
        prepare("market1501", release, tmp_path / "out")


def test_a_malicious_archive_leaves_nothing(release: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(release, "release")
        archive.addfile(tarfile.TarInfo("../escaped"))
    with pytest.raises(DataError, match="outside"):
        prepare("market1501", tmp_path / "x.tar", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release", "x.tar"]


def test_an_archive_with_another_checksum_is_refused_before_it_is_unpacked(
    release: Path, tmp_path: Path
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "download"), "zip", release))
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    told: list[str] = []
    with pytest.raises(DataError, match=f"has the SHA-256 {right}, not {'0' * 64}; download it again"):
        prepare(
            "market1501",
            archive,
            tmp_path / "out",
            sha256="0" * 64,
            progress=lambda what, *_: told.append(what),
        )
    assert (told, (tmp_path / "out").exists()) == ([], False)
    assert not prepare("market1501", archive, tmp_path / "out", sha256=right.upper()).already


def test_a_checksum_that_cannot_be_one_is_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--sha256 must be 64 hexadecimal digits, got 'abc'"):
        prepare("market1501", release, tmp_path / "out", sha256="abc")
    with pytest.raises(ConfigError, match="--sha256 goes with an archive"):
        prepare("market1501", release, tmp_path / "out", sha256="0" * 64)


@pytest.mark.parametrize(
    ("name", "source", "error", "match"),
    [
        ("synthetic", ".", ConfigError, "leave --from out"),
        ("market", ".", ConfigError, "did you mean market1501"),
        ("market1501", "absent.zip", DataError, "absent.zip does not exist"),
        ("merged", ".", ConfigError, "call prepare_merged"),
        ("folder", ".", ConfigError, "folder needs --pattern"),
    ],
)
def test_wrong_requests(tmp_path: Path, name: str, source: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        prepare(name, tmp_path / source, tmp_path / "out")


def test_options_of_another_dataset_are_refused(tmp_path: Path) -> None:
    tree = TreeOptions(pattern="(?P<person>1)(?P<camera>2)")
    with pytest.raises(ConfigError, match="--boxes goes with cuhk03 only"):
        prepare("folder", tmp_path, tmp_path / "out", boxes="detected", tree=tree)
    with pytest.raises(ConfigError, match="--pattern goes with folder only"):
        prepare("msmt17", tmp_path, tmp_path / "out", tree=tree)


def test_a_place_that_cannot_be_written_is_a_resource_error() -> None:
    with pytest.raises(ResourceError, match="cannot write /proc"):
        prepare_synthetic(SyntheticOptions(), Path("/proc/reid-pareto/data"))


def test_synthetic_again_with_the_same_options_does_nothing(tmp_path: Path) -> None:
    options = SyntheticOptions(identities=4, test_identities=2, images_per_camera=2, cameras=2)
    assert not prepare_synthetic(options, tmp_path / "out").already
    assert prepare_synthetic(options, tmp_path / "out").already
    with pytest.raises(ConfigError, match="with other options"):
        prepare_synthetic(SyntheticOptions(seed=1), tmp_path / "out")


def test_two_at_once_give_one_dataset(tmp_path: Path) -> None:
    """The second starts and ends while the first is at work; both return the same."""
    options = SyntheticOptions(identities=4, test_identities=2, images_per_camera=2, cameras=2)
    inner: list[Prepared] = []

    def overtake(what: str, done: int, total: int) -> None:
        if not inner:
            inner.append(prepare_synthetic(options, tmp_path / "out"))

    outer = prepare_synthetic(options, tmp_path / "out", progress=overtake)
    assert (inner[0].already, outer.already) == (False, True)
    assert inner[0].images == outer.images
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.realdata
def test_the_real_archive_is_recognised_and_read_as_its_names_say(real_data: Path, tmp_path: Path) -> None:
    """Market-1501's own rule, by position instead of by expression: number first, camera after `_c`."""
    source = real_data / "Market-1501-v15.09.15.zip"
    assert prepare("market1501", source, tmp_path / "market").official
    expected: Counter[tuple[str, int, int]] = Counter()
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            if name.endswith(".jpg"):
                folder, file = name.split("/")[1:]
                expected[folder, int(file.split("_")[0]), int(file[file.index("_c") + 2])] += 1
    dataset = load_dataset("market1501", tmp_path / "market")
    samples = (*dataset.train, *dataset.query, *dataset.gallery)
    assert Counter((s.path.parent.name, s.person_id, s.camera_id) for s in samples) == expected

    found = inspect(tmp_path / "market")
    assert (found.train.images, found.train.identities, found.train.cameras) == (12_936, 751, 6)
    assert (found.query.images, found.query.identities, found.query.cameras) == (3_368, 750, 6)
    assert (found.gallery.images, found.gallery.identities, found.gallery.cameras) == (19_732, 750, 6)
    assert (found.gallery.junk, found.gallery.distractors) == (3_819, 2_798)
    assert (found.shared_identities, found.unmatched_queries, found.ignored, found.bad) == (0, 0, 0, ())


def test_a_source_is_only_read(release: Path) -> None:
    before = sorted(release.rglob("*"))
    for target in (release, release / "prepared", release / ".." / release.name / "prepared"):
        with pytest.raises(ConfigError, match="which is only read"):
            prepare("market1501", release, target)
    assert sorted(release.rglob("*")) == before
