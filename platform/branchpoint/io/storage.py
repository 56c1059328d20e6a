"""Folders on a disk or in an object store, whose files are whole or absent, whatever dies when."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

PIECE_BYTES = 16 * 1024**2
_SINGLE_PUT = ("s3", "gcs")  # an object shows only once its upload is complete


def is_uri(where: str) -> bool:
    """Whether ``where`` is the URI of an object store and no path."""
    return "://" in where


def joined(uri: str, name: str) -> str:
    """URI of what lies below ``uri``; its options stay."""
    place, mark, options = uri.partition("?")
    return f"{place.rstrip('/')}/{name}{mark}{options}"


@dataclass(frozen=True)
class Disk:
    """What lies below the folder ``path``, hidden files aside; names are relative to it."""

    path: Path

    def __truediv__(self, name: str) -> Disk:
        return Disk(self.path / name)

    def __str__(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        """Files directly in it, sorted."""
        files = self.path.iterdir() if self.path.is_dir() else ()
        return sorted(path.name for path in files if path.is_file() and not path.name.startswith("."))

    def holds(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Replace a file by ``content``: it holds all of it, safe from a loss of power, or what it held before."""
        write_atomically(self.path / name, content)

    def remove(self, name: str) -> None:
        """Delete a file; one that is gone already does not matter."""
        (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Bucket:
    """What lies below ``uri``, such as ``s3://bucket/folder?region=eu-central-1``; names are relative to it."""

    uri: str

    def __truediv__(self, name: str) -> Bucket:
        return Bucket(joined(self.uri, name))

    def __reduce__(self) -> tuple[Any, ...]:
        return Bucket, (self.uri,)

    def __str__(self) -> str:
        return self.uri

    def names(self) -> list[str]:
        """Objects directly in it, sorted."""
        return sorted(self.sizes(recursive=False))

    def sizes(self, under: str = "", recursive: bool = True) -> dict[str, int]:
        """Bytes of every object, or of those below the folder ``under``."""
        from pyarrow import fs as pafs

        filesystem, root = self._opened
        selector = pafs.FileSelector(f"{root}/{under}".rstrip("/"), allow_not_found=True, recursive=recursive)
        infos = filesystem.get_file_info(selector)
        files = [info for info in infos if info.type == pafs.FileType.File and not info.base_name.startswith(".")]
        return {info.path[len(root) + 1 :]: info.size for info in files}

    def holds(self, name: str) -> bool:
        """Whether there is such an object."""
        from pyarrow import fs as pafs

        filesystem, root = self._opened
        return bool(filesystem.get_file_info(f"{root}/{name}").type == pafs.FileType.File)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Content of an object, in order."""
        filesystem, root = self._opened
        with filesystem.open_input_stream(f"{root}/{name}") as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece

    def done(self) -> None:
        """There is nothing to end."""

    def read(self, name: str) -> bytes:
        """Content of an object.

        Raises:
            FileNotFoundError: there is none.
        """
        return b"".join(self.pieces(name))

    def write(self, name: str, content: Any) -> None:
        """Replace an object by ``content`` (bytes, a memory view, a buffer): others see the old one or the new."""
        filesystem, root = self._opened
        folder, _, last = f"{root}/{name}".rpartition("/")
        put_object(filesystem, f"{folder}/{last}", content, hidden=f"{folder}/.{last}.{uuid.uuid4().hex}")

    def remove(self, name: str) -> None:
        """Delete an object; one that is gone already does not matter."""
        filesystem, root = self._opened
        try:
            filesystem.delete_file(f"{root}/{name}")
        except FileNotFoundError:
            return

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from pyarrow import fs as pafs

        try:
            filesystem, root = pafs.FileSystem.from_uri(self.uri)
        except ValueError as problem:
            raise ValueError(f"{self.uri} names no object store, as s3://bucket/folder does: {problem}") from None
        return filesystem, root.rstrip("/")


def put_object(filesystem: Any, path: str, content: Any, hidden: str) -> None:
    """Write an object so that others see all of ``content`` or none.

    Args:
        filesystem: a ``pyarrow.fs.FileSystem``.
        path: of the object, on that file system.
        content: bytes, a memory view or a buffer.
        hidden: where it is written first, if the file system shows objects before their upload is complete.
    """
    whole_at_once = filesystem.type_name in _SINGLE_PUT
    if not whole_at_once:
        filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    with filesystem.open_output_stream(path if whole_at_once else hidden) as stream:
        stream.write(content)
    if not whole_at_once:
        filesystem.move(hidden, path)


Place = Disk | Bucket


def place_of(where: Path | str | Place) -> Place:
    """The folder at a path or URI."""
    if isinstance(where, Disk | Bucket):
        return where
    return Bucket(where) if isinstance(where, str) and is_uri(where) else Disk(Path(where))


def write_atomically(
    path: Path, content: bytes | memoryview | str, *, partial: Path | None = None, sync_name: bool = True
) -> None:
    """Write ``path`` so that, whatever dies when, it holds either all of ``content`` or what it held before.

    The content is written and synced under another name in the same folder, and then renamed.

    Args:
        path: of the file; its folder is made where it is missing.
        content: bytes, or text that is written as UTF-8.
        partial: the other name, for those who look for what a killed writer left; by default a random hidden one.
        sync_name: also sync the folder, so that the new name outlasts a loss of power on every file system.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial or path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with partial.open("xb", buffering=0) as file:
            rest = memoryview(content.encode() if isinstance(content, str) else content).cast("B")
            while rest.nbytes:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    os.replace(partial, path)
    if sync_name:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
