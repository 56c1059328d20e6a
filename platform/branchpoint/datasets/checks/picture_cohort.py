"""The check of a cohort of pictures: every file is read once, then judged with the others of its sample."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from branchpoint.datasets.checks.duplicates import duplicates
from branchpoint.datasets.checks.files import inspect_files
from branchpoint.datasets.checks.picture_files import inspect_picture
from branchpoint.datasets.cohort import IGNORED, Cohort, MaskLabel, MaskLayer, Patient
from branchpoint.datasets.file_report import FileJob, FileReport, PictureReport
from branchpoint.datasets.problems.problem import Problem
from branchpoint.datasets.problems.rulebook import problem
from branchpoint.datasets.reader import Reader

MOST_COVERED = 0.5
"""A mask that covers more, and the corners too, has object and background exchanged."""

Reports = Mapping[Path, FileReport]


def check_pictures(cohort: Cohort, reader: Reader, *, workers: int = 0, progress: bool = False) -> list[Problem]:
    """Rows of all files, alone and together."""
    jobs = _jobs(cohort)
    read = inspect_files(list(jobs.values()), inspect_picture, workers=workers, progress=progress)
    reports = dict(zip(jobs, read, strict=True))
    rows = [row for report in reports.values() for row in report.problems]
    judged: set[tuple[Path, ...]] = set()
    for patient in cohort.patients:
        rows += _image_sizes(patient, reports)
        for name, label in patient.labels.items():
            files = tuple(layer.path for layer in label.files) if isinstance(label, MaskLabel) else ()
            if isinstance(label, MaskLabel) and files not in judged:
                rows += _mask_rows(patient, name, label, reports)
                judged.add(files)
        rows += reader.consistency(patient, {path: reports[path] for path in _files(patient)})
    return rows + _duplicate_masks(cohort, reports) + duplicates(_distinct_by_group(cohort, reports))


def _distinct_by_group(cohort: Cohort, reports: Reports) -> list[FileReport]:
    """Reports of images, one for each content and group: like frames of one video are no fault."""
    seen: set[tuple[str | None, str]] = set()
    chosen = []
    for patient in cohort.patients:
        for path in patient.images.values():
            report = reports[path]
            key = (report.digest, patient.group or patient.id)
            if key not in seen:
                seen.add(key)
                chosen.append(report)
    return chosen


def _files(patient: Patient) -> list[Path]:
    masks = [layer.path for label in patient.labels.values() if isinstance(label, MaskLabel) for layer in label.files]
    return [*patient.images.values(), *masks]


def _jobs(cohort: Cohort) -> dict[Path, FileJob]:
    """One job for each file, whatever the number of slices and targets that use it."""
    jobs: dict[Path, FileJob] = {}
    values: dict[Path, set[int]] = defaultdict(set)
    for patient in cohort.patients:
        for modality, path in patient.images.items():
            jobs.setdefault(path, FileJob(patient.subject, modality, path, "picture"))
        for name, label in patient.labels.items():
            for layer in label.files if isinstance(label, MaskLabel) else ():
                values[layer.path] |= {*layer.through, *(value for value, _ in layer.codes)}
                known = tuple(sorted(values[layer.path]))
                task = jobs[layer.path].task if layer.path in jobs else name
                jobs[layer.path] = FileJob(patient.subject, task, layer.path, "mask", known)
    return jobs


def _sound(path: Path, reports: Reports) -> PictureReport | None:
    """The report of a file that could be read."""
    report = reports[path]
    return report if isinstance(report, PictureReport) and report.size is not None else None


def _text(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size)) + " pixels"


def _image_sizes(patient: Patient, reports: Reports) -> list[Problem]:
    found = [(name, report) for name, path in patient.images.items() if (report := _sound(path, reports))]
    return [
        problem(
            "size-mismatch",
            patient.subject,
            name,
            f"{report.job.path.name}: {_text(report.size or ())}",
            expected=f"the size of {found[0][0]}, {_text(found[0][1].size or ())}",
        )
        for name, report in found[1:]
        if report.size != found[0][1].size
    ]


def _mask_rows(patient: Patient, name: str, label: MaskLabel, reports: Reports) -> list[Problem]:
    layers = [(layer, report) for layer in label.files if (report := _sound(layer.path, reports))]
    image = next((report for path in patient.images.values() if (report := _sound(path, reports))), None)
    for _, report in layers:
        if image is not None and report.orientation != image.orientation and not _drawn_upright(report, image):
            found = (
                f"{image.job.path.name}: orientation {image.orientation}, {report.job.path.name}: {report.orientation}"
            )
            return [problem("turned-image", patient.subject, name, found)]
        if image is not None and report.size != image.size:
            found = f"{report.job.path.name}: {_text(report.size or ())}"
            return [
                problem(
                    "size-mismatch",
                    patient.subject,
                    name,
                    found,
                    expected=f"the image's size, {_text(image.size or ())}",
                )
            ]
    whole = len(layers) == len(label.files) and not any(report.problems for _, report in layers)
    return _content_rows(patient, name, label, layers) if whole and patient.slice is None else []


def _drawn_upright(mask: PictureReport, image: PictureReport) -> bool:
    """Whether a mask without orientation can only have been drawn on the turned picture as a viewer shows it.

    Its sides are those of the upright picture, and not those of the stored one.
    """
    quarter_turn = image.orientation >= 5 and image.size is not None and image.size != image.size[::-1]
    return mask.orientation == 1 and quarter_turn and mask.size == image.size


def _content_rows(
    patient: Patient, name: str, label: MaskLabel, layers: Iterable[tuple[MaskLayer, PictureReport]]
) -> list[Problem]:
    pixels: Counter[int] = Counter()
    corners = covered = total = 0
    for layer, report in layers:
        classes = dict(layer.codes)
        total = sum(report.counts.values())
        for value, count in report.counts.items():
            pixels[classes.get(value, 0)] += count
        corners += sum(classes.get(value, 0) not in (0, IGNORED) for value in report.corners)
    covered = sum(count for number, count in pixels.items() if number not in (0, IGNORED))
    if label.content == "required" and not covered:
        return [problem("empty-mask", patient.subject, name, "no labelled pixel")]
    if label.content == "absent" and covered:
        return [problem("unexpected-lesion", patient.subject, name, f"{covered} labelled pixels")]
    if not label.outside and corners >= 4 and covered > MOST_COVERED * total:
        found = f"{covered / total:.0%} of the picture is labelled, with its corners"
        return [problem("inverted-mask", patient.subject, name, found)]
    return []


def _duplicate_masks(cohort: Cohort, reports: Reports) -> list[Problem]:
    """Rows of samples whose mask, not an empty one, is another sample's too."""
    owners: dict[str, dict[str, str]] = defaultdict(dict)
    for patient in cohort.patients:
        for name, label in patient.labels.items():
            if not isinstance(label, MaskLabel) or label.content != "required" or patient.slice is not None:
                continue
            report = _sound(label.path, reports)
            if report and report.digest and len(report.counts) > 1:
                group = patient.group or patient.id
                owners[report.digest].setdefault(group, f"{patient.id}\n{name}")
    rows = []
    for names in owners.values():
        for owner in list(names.values())[1:]:
            patient_id, name = owner.split("\n")
            first = next(iter(names.values())).split("\n")[0]
            rows.append(problem("duplicate-masks", patient_id, name, f"the same pixels as the mask of {first}"))
    return rows
