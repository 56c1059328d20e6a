"""Search a multi-task network for ORIGA: optic disc and cup, glaucoma, and cup-to-disc ratio.

There is no phantom: give --data-root.
"""

from __future__ import annotations

from branchpoint.commands.search import Job, main, small_picture_scales
from search_spaces import origa

JOB = Job(
    dataset="origa",
    release="",
    space=origa,
    default="paper",
    dimensions=2,
    scales=small_picture_scales(paper=256, demo=96),
)

if __name__ == "__main__":
    main(JOB)
