"""Rows for what a user's folder lacks: files without rows, rows without files, and files that cannot be read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from branchpoint.datasets.checks.identifiers import loose_key
from branchpoint.datasets.files import listed
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.folder_declaration import Declaration
from branchpoint.datasets.readers.folder_files import FolderFiles
from branchpoint.datasets.readers.tables import Table

_CONVERT = {
    ".dcm": "convert the series to NIfTI, as dcm2niix does; `branchpoint predict` reads DICOM itself",
    ".npy": "save the array as NIfTI with its spacing, or as PNG",
    ".img": "convert the pair of .hdr and .img to one NIfTI file",
    ".hdr": "convert the pair of .hdr and .img to one NIfTI file",
}
"""Ending to the advice for it."""


def hint_key(text: str) -> str:
    """What two spellings of one identifier share in all likelihood: ``M-3`` and ``m03.png``. For advice alone."""
    plain = loose_key(re.sub(r"(\.[A-Za-z]\w{1,4}){1,2}$", "", text.strip()))
    return re.sub(r"0+(?=\d)", "", re.sub(r"[\W_]", " ", plain)).replace(" ", "")


class Gaps:
    """What one reading of a folder lacks."""

    def __init__(self, declaration: Declaration, files: FolderFiles, table: Table | None) -> None:
        self.images = {name: image.files for name, image in declaration.images.items()}
        self.files, self.table = files, table
        self.named = {row.patient for row in table.problems} if table else set()
        """Samples whose row is wrong, which is said already."""
        with_images = {sample for name in self.images for sample in files.found[name]}
        self.with_images = with_images
        self.rows_alike = _alike(table.rows if table else ())
        self.files_alike = _alike(with_images)

    def doubled(self) -> list[Problem]:
        """Rows of samples that have several files of one modality."""
        return [
            problem("duplicate-patient", sample, name, f"{path}, beside {paths[0]}")
            for name in self.images
            for sample, paths in self.files.found[name].items()
            for path in paths[1:]
        ]

    def unread(self, samples: Sequence[str]) -> list[Problem]:
        """Rows of files that stand where a pattern says, but whose format is not read."""
        known = set(samples)
        return [
            _unread(sample, name, paths)
            for name, by_sample in self.files.unread.items()
            for sample, paths in by_sample.items()
            if (sample in known or not known) and not self.files.found[name].get(sample)
        ]

    def of(self, sample: str) -> list[Problem]:
        """Rows of what a sample has no file or no row for."""
        absent = [name for name in self.images if not self.files.found[name].get(sample)]
        silent = [name for name in absent if not self.files.unread[name].get(sample)]
        if absent and sample not in self.with_images:
            if len(silent) < len(absent):
                return []
            where = self.images[silent[0]].replace("{id}", sample)
            found = f"a table row, but no image{_hint(self.files_alike, sample, 'there are images of')}"
            return [problem("row-without-images", sample, "", found, expected=where)]
        rows = [
            problem("missing-file", sample, name, "no such file", expected=self.images[name].replace("{id}", sample))
            for name in silent
        ]
        has_row = self.table is None or sample in self.table.rows or sample in self.named or not self.table.rows
        if self.table and not has_row:
            hint = _hint(self.rows_alike, sample, "it has")
            rows.append(problem("images-without-row", sample, "", f"no row in {self.table.path.name}{hint}"))
        return rows

    def masks_alone(self, samples: Iterable[str]) -> list[Problem]:
        """Rows of masks without image or row."""
        first = next(iter(self.images))
        rows = []
        for sample in samples:
            masks = [path.name for name in self.files.found for path in self.files.found[name].get(sample, ())]
            found = f"only {listed(masks)}{_hint(self.files_alike, sample, 'there are images of')}"
            rows.append(
                problem("missing-file", sample, first, found, expected=self.images[first].replace("{id}", sample))
            )
        return rows


def _alike(samples: Iterable[str]) -> dict[str, list[str]]:
    """Hint to the identifiers that share it: made once, for a cohort may have many thousand."""
    found: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        found[hint_key(sample)].append(sample)
    return found


def _hint(alike: dict[str, list[str]], sample: str, words: str) -> str:
    near = [other for other in alike.get(hint_key(sample), ()) if other != sample]
    return f"; {words} {near[0]!r}" if near else ""


def _unread(sample: str, name: str, paths: Sequence[Path]) -> Problem:
    endings = sorted({path.suffix.lower() for path in paths})
    found = f"{listed(path.name for path in paths)}: files of this format ({', '.join(endings)}) are not read"
    return problem("unread-format", sample, name, found, fix=_CONVERT.get(endings[0]))
