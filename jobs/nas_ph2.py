"""Search a multi-task network for PH2: outline, diagnosis, asymmetry and five dermoscopic criteria.

There is no phantom: give --data-root. ``--demo`` is the scale of docs/evidence/results.md.
"""

from __future__ import annotations

from branchpoint.commands.search import Job, main, small_picture_scales
from search_spaces import ph2

JOB = Job(
    dataset="ph2",
    release="",
    space=ph2,
    default="paper",
    dimensions=2,
    scales=small_picture_scales(paper=192, demo=64),
)

if __name__ == "__main__":
    main(JOB)
