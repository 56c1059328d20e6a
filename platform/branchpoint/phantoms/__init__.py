"""Phantoms: synthetic cohorts in the official layouts of real datasets, with the truth beside them.

A phantom makes the whole path testable without patient data: its files are read by the same readers, checked by the
same rules, and learned by the same networks, and the figures that can be reached are known. To add one for another
dataset, write ``phantoms/<dataset>.py`` with a function of the form
``make_<dataset>_phantom(out, *, release, patients, seed, ...) -> Path`` and enter it in ``PHANTOMS``. Its promises:

- the release's exact folders, file names, columns, units, codes and literals of missing values;
- the same bytes for the same arguments, whatever the number of workers: random numbers come from
  ``numpy.random.default_rng((seed, index of the sample, stream))``, one stream for each purpose, and nothing carries
  the time; a sample's images do not depend on how many others there are;
- labels that follow from what can be seen, written beside the data in ``phantom_truth.csv`` as the last file, so that
  its presence means that the phantom is complete; no column of it may look like one of the release's own tables;
- confounders as in the real data (here: tonsils and brain take up as much tracer as tumours);
- speed: a small cohort in seconds.

``grid``, ``shapes`` and ``canvas`` draw in three dimensions, ``survival`` makes outcomes with a known attainable
C-index, ``writing`` writes files; none of them knows HECKTOR. ``drawing`` draws pictures, and ``completion`` tells when
a phantom is whole.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from branchpoint.phantoms.cadis import make_cadis_phantom
from branchpoint.phantoms.endovis2017 import make_endovis2017_phantom
from branchpoint.phantoms.hecktor import attainable_c_index, make_hecktor_phantom, read_truth
from branchpoint.phantoms.isic2017 import make_isic2017_phantom
from branchpoint.phantoms.patients import PhantomPatient, sample_patients
from branchpoint.phantoms.relations import make_relations_phantom
from branchpoint.phantoms.retouch import make_retouch_phantom

__all__ = [
    "PHANTOMS",
    "PhantomPatient",
    "attainable_c_index",
    "make_cadis_phantom",
    "make_endovis2017_phantom",
    "make_hecktor_phantom",
    "make_isic2017_phantom",
    "make_phantom",
    "make_relations_phantom",
    "make_retouch_phantom",
    "read_truth",
    "sample_patients",
]


PHANTOMS: dict[str, Callable[..., Path]] = {
    "hecktor": make_hecktor_phantom,
    "isic2017": make_isic2017_phantom,
    "retouch": make_retouch_phantom,
    "cadis": make_cadis_phantom,
    "endovis2017": make_endovis2017_phantom,
    "relations": make_relations_phantom,  # no dataset's: read by "folder"
}
"""Dataset name to the function that writes its phantom into a folder."""


def make_phantom(dataset: str, out: Path, **settings: Any) -> Path:
    """Write the phantom of ``dataset`` into ``out``; ``settings`` are those of its function in ``PHANTOMS``.

    Raises:
        ValueError: there is no such phantom or setting, or a setting is out of range.
    """
    if dataset not in PHANTOMS:
        raise ValueError(f"{dataset!r} has no phantom; there are {', '.join(PHANTOMS)}")
    known = [name for name in inspect.signature(PHANTOMS[dataset]).parameters if name != "out"]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ValueError(f"the phantom of {dataset} has no setting {unknown[0]!r}; it has {', '.join(known)}")
    return PHANTOMS[dataset](out, **settings)
