import errno
import json
from pathlib import Path
from typing import Any

import pytest

from reid.errors import ResourceError, StudyDamaged
from results.sealed import read_sealed, seal, write_once, write_sealed

BODY = {"b": [1, 2.5, None], "a": "é\n", "nested": {"z": True, "y": "<"}}


def test_what_was_written_is_read_back_in_its_order(tmp_path: Path) -> None:
    path = write_sealed(tmp_path / "x.json", BODY)
    assert read_sealed(path) == BODY
    assert list(read_sealed(path)) == ["b", "a", "nested"]


def test_the_seal_does_not_depend_on_order_or_layout(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(dict(reversed(seal(BODY).items()))))
    assert read_sealed(path) == BODY


def test_a_body_cannot_bring_a_seal_of_its_own() -> None:
    with pytest.raises(ValueError, match="sha256"):
        seal({"sha256": "0"})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b"{}",
        b'{"sha256": 3}',
        b'{"a": 1, "sha256": "00"}',
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"a": Infinity, "sha256": "00"}',
    ],
)
def test_anything_else_is_damage_and_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(StudyDamaged, match=r"x\.json") as caught:
        read_sealed(path)
    assert caught.value.exit_code == 3


def test_a_folder_in_place_of_a_file_is_damage(tmp_path: Path) -> None:
    with pytest.raises(StudyDamaged, match="cannot be read"):
        read_sealed(tmp_path)


def test_a_file_of_somebody_else_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(
        ResourceError, match=r"cannot read .*x\.json: Permission denied; ask its owner"
    ) as caught:
        read_sealed(tmp_path / "x.json")
    assert caught.value.exit_code == 2


def test_once_means_once(tmp_path: Path) -> None:
    path = write_once(tmp_path / "x.json", BODY)
    with pytest.raises(FileExistsError):
        write_once(path, {"other": 1})
    assert read_sealed(path) == BODY
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("write", [write_once, write_sealed])
def test_a_place_that_cannot_be_written_is_named(write: Any) -> None:
    with pytest.raises(ResourceError, match="/proc/no-such-process/"):
        write(Path("/proc/no-such-process/x.json"), BODY)
