"""A user's own data: images, masks and one table, described by ``dataset.toml``; see ``docs/how-to/own-data.md``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from branchpoint.config import DatasetConfig
from branchpoint.datasets.cohort import Cohort, Label, Part, Patient, TargetKind
from branchpoint.datasets.files import describe_folder, list_files, listed
from branchpoint.datasets.preparation.image_files import is_volume
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.readers.folder_covariates import read_covariates
from branchpoint.datasets.readers.folder_declaration import (
    Declaration,
    SegmentationDeclaration,
    TableDeclaration,
    Target,
    read_declaration,
)
from branchpoint.datasets.readers.folder_files import depth_of, match_files
from branchpoint.datasets.readers.folder_gaps import Gaps
from branchpoint.datasets.readers.folder_labels import (
    class_names,
    columns_of,
    kind_of,
    mask_of,
    parse_cells,
    target_columns,
    text_of,
)
from branchpoint.datasets.readers.folder_parts import read_parts
from branchpoint.datasets.readers.tables import Row, Table, column_key, normalized, read_table, spelled

DECLARATION = "dataset.toml"


def declaration_file(dataset: DatasetConfig) -> Path:
    """``dataset.toml`` in the dataset's folder, or the file that its release names."""
    return Path(dataset.root) / (dataset.release if dataset.release.endswith(".toml") else DECLARATION)


def read(dataset: DatasetConfig) -> Cohort:
    """The samples that the declaration under ``dataset.root`` describes; what is wrong with it is a row.

    ``dataset.release`` may name another declaration (``moles.toml``) in the same folder.
    """
    root, path = Path(dataset.root), declaration_file(dataset)
    try:
        declaration = read_declaration(path)
    except ValueError as failure:
        expected = f"{path.name} in the root, as docs/how-to/own-data.md describes it"
        row = problem("bad-declaration", "", "", f"{failure} ({root}: {describe_folder(root)})", expected=expected)
        return Cohort(name="folder", release="", root=root, modalities=(), targets={}, patients=(), problems=(row,))
    return _Reading(root, declaration).cohort()


class _Reading:
    """One reading of a folder: rows are gathered as they are met."""

    def __init__(self, root: Path, declaration: Declaration) -> None:
        self.root, self.declaration = root, declaration
        self.problems: list[Problem] = []
        self.masks = {
            name: target for name, target in declaration.targets.items() if isinstance(target, SegmentationDeclaration)
        }
        self.patterns = {name: image.files for name, image in declaration.images.items()}
        self.patterns |= {name: mask.files for name, mask in self.masks.items()}
        self.columns: frozenset[str] = frozenset()
        self.table = self._read_table()
        self.rows: Mapping[str, Row] = self.table.rows if self.table else {}
        listing = list_files(root, depth_of(self.patterns.values()))
        self.files = match_files(root, self.patterns, listing, self.rows)
        self.found = self.files.found
        samples = {sample for name in declaration.images for sample in self.found[name]}
        self.samples = sorted(samples | set(self.rows))
        self.masked_only = sorted({sample for name in self.masks for sample in self.found[name]} - set(self.samples))
        self.volumes = any(
            is_volume(path) for name in declaration.images for files in self.found[name].values() for path in files
        )

    def cohort(self) -> Cohort:
        """Everything that was read."""
        if not self.samples:
            first = next(iter(self.patterns.values()))
            self.problems.append(
                problem(
                    "no-patients",
                    "",
                    "",
                    f"{self.root}: {describe_folder(self.root)}",
                    expected=f"files such as {first}",
                )
            )
        if self.volumes:
            self._refuse_picture_masks()
        declared = self.declaration.table.covariates if self.declaration.table else ()
        present = [name for name in declared if name in self.columns]
        self.covariates, rows = read_covariates(present, self.rows)
        self.problems += rows
        gaps = Gaps(self.declaration, self.files, self.table)
        self.problems += gaps.doubled() + gaps.unread(self.samples)
        for sample in self.samples:
            self.problems += gaps.of(sample)
        patients = tuple(map(self._patient, self.samples))
        self.problems += self._without_labels(patients)
        self.problems += gaps.masks_alone(self.masked_only)
        targets: dict[str, TargetKind] = {name: kind_of(target) for name, target in self.declaration.targets.items()}
        parts = self._parts_and_groups(patients)
        splits = {"official": parts} if parts else {}
        return Cohort(
            name=self.declaration.name,
            release="",
            root=self.root,
            modalities=tuple(self.declaration.images),
            targets=targets,
            patients=patients,
            problems=tuple(self.problems),
            dimensions=3 if self.volumes else 2,
            channels={} if self.volumes else {n: image.channels for n, image in self.declaration.images.items()},
            class_names={
                name: known for name, target in self.declaration.targets.items() if (known := class_names(target))
            },
            splits=splits,
            accepted=self.declaration.accepted,
        )

    def _read_table(self) -> Table | None:
        declared = self.declaration.table
        if declared is None:
            return None
        path = self.root / declared.file
        if not path.is_file():  # a named pipe would never end
            found = f"no file {declared.file}; the folder holds {describe_folder(self.root)}"
            self.problems.append(problem("bad-declaration", "", "", found, expected="table.file, from the root"))
            return None
        table = read_table(path, (declared.id,), spelled)
        self.problems += table.problems
        return self._by_declared_name(table, declared)

    def _by_declared_name(self, table: Table, declared: TableDeclaration) -> Table:
        """The table with rows by the columns' declared names; columns that are absent or may be two are rows."""
        keys: dict[str, str] = {}
        absent = []
        for name in dict.fromkeys([declared.id, *columns_of(declared, self.declaration.targets)]):
            try:
                key = column_key(table.headers, name, spelled)
            except ValueError as doubled:
                if name != declared.id:  # said with the table
                    self.problems.append(problem("doubled-column", "", "", f"{declared.file}: {doubled}"))
                continue
            if key is None:
                absent.append(name)
            else:
                keys[name] = key
        if absent and table.headers:
            found = f"{declared.file} has no column {listed(absent)}; it has {listed(table.headers, 12)}"
            found += _nearest(absent, table.headers)
            self.problems.append(problem("bad-declaration", "", "", found, expected="the columns that are declared"))
        self.columns = frozenset(keys)
        rows = {sample: {name: row[key] for name, key in keys.items()} for sample, row in table.rows.items()}
        return replace(table, rows=rows)

    def _refuse_picture_masks(self) -> None:
        """Volumes have one mask file with background: anything else is for pictures."""
        for name, mask in self.masks.items():
            several = [files for files in self.found[name].values() if len(files) > 1]
            if several or mask.ignored or not mask.background:
                found = f"targets.{name} has several files, ignored values, or no background"
                self.problems.append(
                    problem(
                        "bad-declaration", "", name, found, expected="one mask file with background for each volume"
                    )
                )

    def _patient(self, sample: str) -> Patient:
        row, declared = self.rows.get(sample), self.declaration.table
        images = {name: files[0] for name in self.declaration.images if (files := self.found[name].get(sample))}
        labels = {
            name: label
            for name, target in self.declaration.targets.items()
            if (label := self._label(sample, name, target, row)) is not None
        }
        return Patient(
            id=sample,
            images=images,
            labels=labels,
            covariates=self.covariates.get(sample, dict.fromkeys(declared.covariates if declared else ())),
            center=text_of(row, declared.center if declared else None),
            group=text_of(row, declared.group if declared else None),
        )

    def _without_labels(self, patients: Sequence[Patient]) -> list[Problem]:
        """Rows of the targets that nobody has a label of: nothing can learn them."""
        labelled = {name for patient in patients for name in patient.labels}
        return [
            problem("no-labels", "", name, f"none of {len(patients)} samples has a label")
            for name, target in self.declaration.targets.items()
            if patients and name not in labelled and self._can_be_read(target)
        ]

    def _can_be_read(self, target: Target) -> bool:
        """Whether the table has the target's columns; where it lacks them, that row says it."""
        return isinstance(target, SegmentationDeclaration) or self.columns.issuperset(target_columns(target))

    def _label(self, sample: str, name: str, target: Target, row: Row | None) -> Label | None:
        if isinstance(target, SegmentationDeclaration):
            files = self.found[name].get(sample, ())
            if not files and any(sample in self.found[modality] for modality in self.declaration.images):
                where = target.files.replace("{id}", sample)
                self.problems.append(problem("missing-label", sample, name, "no mask", expected=where))
            return mask_of(target, files, self.volumes) if files else None
        if row is None or not self._can_be_read(target):
            return None
        label, rows = parse_cells(sample, name, target, row)
        self.problems += rows
        return label

    def _parts_and_groups(self, patients: Sequence[Patient]) -> dict[str, Part]:
        """The part of each sample, where the table says it."""
        declared = self.declaration.table
        if declared is None:
            return {}
        if declared.group is not None and self.rows and not any(patient.group for patient in patients):
            found = f"column {declared.group!r} is empty for all samples"
            self.problems.append(problem("missing-group", "", "", found))
        if declared.part is None:
            return {}
        parts, rows = read_parts(declared.part, self.rows, patients)
        self.problems += rows
        return parts


def _nearest(absent: Sequence[str], headers: Sequence[str]) -> str:
    """For a message: the columns that those who are absent may mean."""
    alike: dict[str, str] = {}
    for name in absent:
        near = [header for header in headers if normalized(header) == normalized(name)]
        near = near or difflib.get_close_matches(name, headers, 1)
        alike |= {name: near[0]} if near else {}
    return "".join(f"; {name!r} may be its {near!r}, write it so" for name, near in alike.items())
