"""A study's place in an object store: whole objects under one URI, each operation tried again before it fails.

Credentials come from the environment or the machine's role, as pyarrow finds them, never from the URI: a URI is
printed and kept in logs.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from pyarrow import ArrowException
from pyarrow import fs as arrow_fs

from reid.errors import ConfigError, ResourceError

__all__ = ["Remote", "is_remote", "open_remote"]

T = TypeVar("T")

_PAUSES_S = (0.2, 0.6, 1.8)
_SECRETS = ("access_key", "secret_key", "session_token", "password", "sas_token", "account_key")


class Remote:
    """The objects below one folder of a filesystem.

    Args:
        uri: names the place in errors.
        filesystem: any of pyarrow's.
        root: folder within it.
        pauses_s: seconds waited before each further try.
    """

    def __init__(
        self, uri: str, filesystem: arrow_fs.FileSystem, root: str, pauses_s: Sequence[float] = _PAUSES_S
    ) -> None:
        self.uri = uri
        self._filesystem, self._root, self._pauses_s = filesystem, root.rstrip("/"), tuple(pauses_s)

    def names(self, folder: str) -> dict[str, int]:
        """Name relative to the study -> bytes, of every object in or below `folder`."""
        selector = arrow_fs.FileSelector(self._path(folder), allow_not_found=True, recursive=True)
        infos = self._try(f"list {folder}", lambda: self._filesystem.get_file_info(selector))
        skip = len(self._root) + 1
        return {info.path[skip:]: info.size for info in infos if info.type == arrow_fs.FileType.File}

    def present(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that are there, asked one by one and so independent of listings that lag."""
        paths = [self._path(name) for name in names]
        infos = self._try("look", lambda: self._filesystem.get_file_info(paths)) if paths else []
        return [name for name, info in zip(names, infos, strict=True) if info.type == arrow_fs.FileType.File]

    def modified_s(self, name: str) -> float | None:
        """When an object was last written, by the store's own clock (seconds since 1970), or None."""
        (info,) = self._try(f"look at {name}", lambda: self._filesystem.get_file_info([self._path(name)]))
        return None if info.type != arrow_fs.FileType.File else info.mtime_ns / 1e9

    def read(self, name: str) -> bytes:
        """A whole object.

        Raises:
            FileNotFoundError: there is none of that name.
            ResourceError: the store does not answer, also when asked again.
        """

        def read() -> bytes:
            with self._filesystem.open_input_stream(self._path(name)) as stream:
                content: bytes = stream.read()
                return content

        return self._try(f"read {name}", read)

    def write(self, name: str, content: bytes) -> None:
        """Put a whole object, in place of what was there; until it is whole nobody sees it.

        Raises:
            ResourceError: the store does not take it, also when asked again.
        """

        def write() -> None:
            path = self._path(name)
            if isinstance(self._filesystem, arrow_fs.LocalFileSystem):
                self._filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            with self._filesystem.open_output_stream(path) as stream:
                stream.write(content)

        self._try(f"write {name}", write)

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""

        def delete() -> None:
            try:
                self._filesystem.delete_file(self._path(name))
            except OSError:
                if self.present([name]):
                    raise

        self._try(f"delete {name}", delete)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _try(self, what: str, operation: Callable[[], T]) -> T:
        for pause_s in (*self._pauses_s, None):
            try:
                return operation()
            except FileNotFoundError:
                raise
            except (OSError, ArrowException) as error:
                if pause_s is None:
                    raise ResourceError(f"cannot {what} at {self.uri}: {error}") from error
                time.sleep(pause_s)
        raise AssertionError("unreachable: the last pause is None")


def is_remote(place: object) -> bool:
    """Whether a study's place is a URI and not a folder."""
    return isinstance(place, str) and "://" in place


def open_remote(uri: str) -> Remote:
    """The place that a URI names, e.g. s3://bucket/studies/first?region=eu-central-1.

    Raises:
        ConfigError: pyarrow does not know the scheme, the URI is malformed, or it carries a secret.
    """
    parts = urlsplit(uri)
    named = {key for key, _ in parse_qsl(parts.query)}
    if "@" in parts.netloc or named.intersection(_SECRETS):
        raise ConfigError(
            f"the URI of a study on {parts.scheme}:// must carry no credentials, because it is printed and logged; "
            "set them in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    try:
        filesystem, root = arrow_fs.FileSystem.from_uri(uri)
    except (OSError, ArrowException, ValueError) as error:
        raise ConfigError(f"cannot open {uri}: {error}") from error
    if not root.strip("/"):
        raise ConfigError(f"{uri} names no folder; add one, such as {parts.scheme}://bucket/studies/first")
    return Remote(uri, filesystem, root)
