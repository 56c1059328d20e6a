"""The files of a bundle: a folder, or the same files in one ``.zip``; whole or absent, every byte under a checksum."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "bundle.json"
SCHEMA = 1
"""Raise it when a reader of the former one would misread a bundle."""


class BundleError(ValueError):
    """A bundle is damaged, of another schema, or no bundle."""


class BundleFiles:
    """The files below ``path`` by their names with forward slashes.

    Args:
        path: a folder or a ``.zip``.

    Raises:
        BundleError: there is nothing at ``path``, or it is not a readable archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_file():
            try:
                self._zip = zipfile.ZipFile(path)
            except (zipfile.BadZipFile, OSError) as problem:
                raise BundleError(f"{path}: not a readable .zip ({problem}); copy or create the bundle again") from None
        elif not path.is_dir():
            raise BundleError(f"{path}: no such bundle; give the folder or .zip that `branchpoint bundle create` wrote")

    def names(self) -> list[str]:
        """All files, sorted."""
        if self._zip is not None:
            return sorted(name for name in self._zip.namelist() if not name.endswith("/"))
        return sorted(file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            BundleError: it is missing or damaged.
        """
        try:
            if self._zip is not None:
                return self._zip.read(name)
            return (self.path / name).read_bytes()
        except (KeyError, OSError, zipfile.BadZipFile, zipfile.zlib.error) as problem:  # type: ignore[attr-defined]
            raise BundleError(f"{self.path}: {name} is missing or damaged ({problem}); copy the bundle again") from None

    def read_json(self, name: str) -> Any:
        """A JSON file as plain values."""
        content = self.read(name)
        try:
            return json.loads(content)
        except ValueError as problem:
            raise BundleError(f"{self.path}: {name} is no JSON ({problem}); copy the bundle again") from None

    def check(self) -> dict[str, Any]:
        """The manifest, once its schema and the checksum of every file are right.

        Raises:
            BundleError: a file is missing, damaged, or not listed, or the schema is another one.
        """
        manifest = self.read_json(MANIFEST)
        schema = manifest.get("schema") if isinstance(manifest, dict) else None
        if schema != SCHEMA:
            raise BundleError(
                f"{self.path}: schema {schema!r}, this version of Branchpoint reads {SCHEMA}; create the bundle again"
            )
        listed: Mapping[str, str] = manifest["files"]
        found = {name for name in self.names() if name != MANIFEST}
        if extra := sorted(found - set(listed)):
            raise BundleError(f"{self.path}: {extra[0]} does not belong to the bundle; remove it")
        for name, digest in listed.items():
            if hashlib.sha256(self.read(name)).hexdigest() != digest:
                raise BundleError(f"{self.path}: {name} has been changed or damaged; copy the bundle again")
        return manifest

    def digest(self) -> str:
        """What names the bundle: SHA-256 of the manifest, which holds those of all other files."""
        return hashlib.sha256(self.read(MANIFEST)).hexdigest()


def write_bundle(path: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a bundle; it is at ``path`` whole or not at all.

    Args:
        path: a folder to be made, or a file whose name ends with ``.zip``.
        manifest: what ``bundle.json`` holds beside schema and checksums.
        files: name to content.

    Raises:
        BundleError: something is at ``path`` already.
    """
    if path.exists():
        raise BundleError(f"{path} exists; remove it or give another --out")
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    whole = {**files, MANIFEST: as_json({"schema": SCHEMA, **manifest, "files": sums})}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(beside, "w") as archive:
                for name in sorted(whole):
                    archive.writestr(zipfile.ZipInfo(name), whole[name])
        else:
            for name, content in whole.items():
                file = beside.joinpath(*PurePosixPath(name).parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        os.replace(beside, path)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        beside.unlink(missing_ok=True)


def as_json(value: Any) -> bytes:
    """UTF-8, keys in order, the same bytes for equal values."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
