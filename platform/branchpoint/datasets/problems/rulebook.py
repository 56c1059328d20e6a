"""Every rule a cohort is checked by: how severe a breach is, what should be there, and what the user can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from branchpoint.datasets.clinical_texts import UNDERSTOOD
from branchpoint.datasets.files import printable
from branchpoint.datasets.problems.problem import Problem


@dataclass(frozen=True)
class Rule:
    """The texts that rows of one rule share. An empty ``expected`` is given with each row."""

    severity: Literal["error", "warning"]
    expected: str
    fix: str


def _error(expected: str, fix: str) -> Rule:
    return Rule("error", expected, fix)


def _warning(expected: str, fix: str) -> Rule:
    return Rule("warning", expected, fix)


_RESTORE = "copy or download the file again, or leave the patient out with --skip-faulty"
_CORRECT = "correct the table; an empty cell means unknown"
_EXPORT = "export the volume again from the original series, or leave the patient out with --skip-faulty"
_CONTOUR = "check the contour and export the mask again, or leave the patient out with --skip-faulty"

RULES: dict[str, Rule] = {
    # Folders and tables
    "no-patients": _error("", "point --root to the folder that holds them"),
    "unreadable-table": _error("a table in CSV format", "save the table as CSV (UTF-8) again"),
    "ragged-row": _error(
        "one cell for each column in each row",
        "quote cells that hold the separator (a decimal comma, a remark), and write tables without names of rows",
    ),
    "doubled-column": _error(
        "one column for each name", "rename or delete one of the two, or write its name exactly as the header does"
    ),
    "missing-table": _warning("", "put the release's CSV file beside the images' folder"),
    "missing-column": _warning("", "restore the header line of the published table"),
    "row-without-id": _warning("an identifier in each row", "fill in the identifier or delete the row"),
    "duplicate-row": _error("one row for each patient", "delete the wrong row; until then the first one counts"),
    "conflicting-tables": _warning("the same value in every table", "correct the wrong table; the first value counts"),
    "duplicate-patient": _error(
        "one file for each patient and modality", "remove the wrong copy, or point --root to one copy of the release"
    ),
    "row-without-images": _error("", "restore the files, or leave the patient out with --skip-faulty"),
    "images-without-row": _warning(
        "a row for each patient with images", "add the row or check the identifier; until then its values are missing"
    ),
    "missing-file": _error("", _RESTORE),
    "unusual-file": _warning(
        "regular files whose names are UTF-8", "replace or rename it if it belongs to the release: it is left out"
    ),
    # Outcomes and clinical values
    "bad-event": _error("", _CORRECT),
    "bad-time": _error("days, at most 36525 (100 years)", _CORRECT),
    "negative-time": _error("days since the start of follow-up, at least 0", _CORRECT),
    "zero-time": _warning("more than 0 days", "check the dates: this patient was never under observation"),
    "missing-time": _error("days to event or last follow-up", "fill in the time, or clear the event"),
    "missing-event": _error("whether the event happened", "fill in the event, or clear the time"),
    "missing-label": _warning(
        "an outcome for each training patient", "fill it in; until then this patient trains the other tasks only"
    ),
    "bad-class": _error("", _CORRECT),
    "bad-value": _warning("", "correct the table; until then the value counts as missing"),
    "bad-covariate": _error(
        UNDERSTOOD, "write numbers (classes as columns of 0 and 1, ages or days for dates), or drop the covariate"
    ),
    "bad-box": _error("x1 < x2, y1 < y2, z1 < z2 in millimetres", "correct the bounding box"),
    "too-few-events": _error("at least one event in each fold", "use fewer folds, more patients, or drop this task"),
    "few-events": _warning(
        "at least two events in each fold", "read figures of single folds with care, or use fewer folds"
    ),
    "few-cases": _warning(
        "each class in each fold", "use fewer folds, merge classes, or read the figures of this task with care"
    ),
    "time-unit": _warning("times in days", "if they are months or years, multiply by 30.44 or 365.25"),
    # Files
    "truncated-file": _error("a complete file", _RESTORE),
    "unreadable-file": _error("a volume that SimpleITK can read", _RESTORE),
    "reader-crashed": _error("a file that can be read", _RESTORE),
    "wrong-dimensions": _error("one volume of three dimensions with one value in each voxel", _EXPORT),
    "bad-spacing": _error("spacing from 0.02 to 100 mm along each axis", _EXPORT),
    "unusual-spacing": _warning(
        "spacing from 0.1 to 15 mm along each axis", "check the unit; thick slices and microscopy can be right"
    ),
    "default-geometry": _warning(
        "the spacing and place that the scanner wrote",
        "check how the file was saved: numpy.eye(4) or a bare array loses the geometry; synthetic volumes can be right",
    ),
    "unnamed-ct": _warning(
        "a modality whose name says CT", "call it CT in the declaration, so that it is checked and normalised as such"
    ),
    "bad-scaling": _error("a finite, positive slope and a finite intercept in the header", _EXPORT),
    "bad-units": _error("lengths in millimetres", "convert the header's lengths to millimetres"),
    "too-large": _error("", "check the header's sizes; crop or resample a volume that is truly so large"),
    "header-conflict": _warning("one geometry in the whole header", _EXPORT),
    "oblique-direction": _warning(
        "axes along those of the scanner", "nothing: the volume is resampled to straight axes; look at one prediction"
    ),
    "non-finite-voxels": _error("finite values only", _EXPORT),
    "ct-not-hu": _error(
        "Hounsfield units: air near -1000, water 0", "apply RescaleSlope and RescaleIntercept, unclipped"
    ),
    "ct-no-air": _warning(
        "air near -1000 HU in the field of view", "check the units; a crop deep inside the body can be right"
    ),
    "pet-not-suv": _error(
        "standardised uptake values (SUV): from 0, with a maximum from 1 to 1000",
        "convert to SUV by body weight, without normalising: activity x weight / injected dose, decay-corrected",
    ),
    "pet-units": _warning(
        "SUV: about 0.4 to 1 in most of the body",
        "check the units: kBq/ml looks like SUV, but several times too large; convert by weight and injected dose",
    ),
    "pet-high": _warning("a maximum SUV below 200", "check units, dose and weight; a full bladder can be right"),
    "unknown-label": _error("", "map or remove the other values, or read the release that the masks belong to"),
    "empty-mask": _error("at least one labelled voxel", _CONTOUR),
    "mask-covers-image": _warning("a mask of less than half of the volume", "check that 0 is background"),
    # A patient's files together
    "grid-mismatch": _error("", "resample the mask (nearest neighbour) or export it again from the same series"),
    "images-apart": _error("CT and PET of the same place", "check that both belong to one study; align the origins"),
    "mask-outside-image": _error("the contour inside every image", "check that mask and image belong together"),
    "mask-cut-by-image": _warning("the contour inside every image", "check that the image covers the whole tumour"),
    "masks-apart": _error("contours of one tumour", "check that both masks belong to this patient"),
    "box-outside-image": _error("a box inside every image", "check the box: millimetres in physical space, not voxels"),
    "box-beyond-image": _warning("a box inside every image", "nothing: what lies beyond is filled with background"),
    "box-misses-mask": _error("a box around the contour", "check the box: millimetres in physical space, not voxels"),
    "box-cuts-mask": _warning("a box around the contour", "check the box: contour outside it is lost to training"),
    "duplicate-images": _error(
        "another scan for each patient", "keep one of them: copies leak from training into test"
    ),
}
"""Rule name to rule; the names are stable, so that scripts can rely on them."""

PICTURE_RULES: dict[str, Rule] = {
    "pixel-type": _error(
        "pixels of 8 or 16 bits without sign", "export the picture again with 8 bits for each channel"
    ),
    "constant-image": _warning("a picture of more than one grey level", "look at it: it tells a network nothing"),
    "image-is-mask": _warning(
        "a picture of many grey levels",
        "look at it: image and mask may have changed places; pictures of few levels can be right",
    ),
    "transparent-image": _warning(
        "a picture without transparency", "look at it: its colours are read, its alpha channel is not"
    ),
    "narrow-range": _warning(
        "values that use most of what 16 bits can hold",
        'rescale the pictures to the full range, or set dataset.intensities to "image": black is 0, white is 65535',
    ),
    "turned-image": _error(
        "image and mask with the same EXIF orientation",
        "save both upright, without EXIF orientation: nobody can tell on which of the two the mask was drawn",
    ),
    "not-a-mask": _error(
        "one value for each pixel, from a short list",
        "put the mask here, as 8-bit grey PNG: image and mask may have changed places",
    ),
    "size-mismatch": _error(
        "", "export the mask again at the image's size, or leave the sample out with --skip-faulty"
    ),
    "unexpected-lesion": _error("an empty mask, for the label says that there is nothing", "correct label or mask"),
    "inverted-mask": _warning(
        "a mask of less than half of the picture, or unlabelled corners", "check that 0 is background"
    ),
    "no-images": _warning("images beside the masks", "get the images too: nothing can be trained on masks alone"),
    "wrong-folder": _error("", "move the file, or correct its name"),
    "duplicate-masks": _warning(
        "another mask for each image", "check whose mask it is: the other image may have been overwritten by a copy"
    ),
    "ratio-mismatch": _error("the cup-to-disc ratio of the mask", "check that mask and row belong to this image"),
    "bad-declaration": _error("", "correct the declaration"),
    "unread-format": _error(
        "PNG, JPEG, BMP or TIFF; NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd) or NRRD",
        "convert the file to one of these",
    ),
    "no-labels": _error("a label of some samples", "correct files, pattern or column, or drop the target"),
    "constant-target": _warning(
        "labels that differ", "check the column; nothing can be learned from a label that is the same for all"
    ),
    "missing-part": _warning("a part for each sample", "fill in the column; until then the sample is in no part"),
    "similar-centers": _warning(
        "centres that differ in more than case, Unicode form, spaces or zeros",
        "write each centre in one way: splits by centre take them for two",
    ),
    "bad-part": _error("train, validation or test", _CORRECT),
    "similar-ids": _error(
        "identifiers that differ in more than case, Unicode form, spaces, invisible characters or zeros",
        "write each patient's identifier in one way, in tables and names of files",
    ),
    "similar-groups": _error(
        "groups that differ in more than case, Unicode form, spaces, invisible characters or zeros",
        "write each group in one way: copies of one patient leak into the test",
    ),
    "missing-group": _error(
        "a group for each sample", "fill in the column, with an identifier of its own for a sample that stands alone"
    ),
    "no-comparable-pair": _error(
        "an event before the follow-up of another patient ends", "correct times and events, or drop the task"
    ),
    "few-pairs": _warning(
        "in each fold an event before the follow-up of another patient ends",
        "use fewer folds: the others have no C-index of their own",
    ),
    "one-event-time": _warning(
        "events at more than one time", "check the times: a survival curve with one step says little"
    ),
    "parted-group": _error("each group in one part", "correct the table: copies of one patient leak into the test"),
    "too-few-groups": _error("", "use fewer folds, or more groups"),
}
"""The rules that pictures and slices have beside those of volumes."""


def problem(
    rule: str, patient: str, task: str, found: str, *, expected: str | None = None, fix: str | None = None
) -> Problem:
    """The row of a breach of ``rule``; ``expected`` and ``fix`` replace the rule's own text where more is known."""
    book = RULES[rule] if rule in RULES else PICTURE_RULES[rule]
    return Problem(
        severity=book.severity,
        patient=printable(patient),
        task=task,
        rule=rule,
        found=printable(found),
        expected=expected or book.expected,
        fix=fix or book.fix,
    )
