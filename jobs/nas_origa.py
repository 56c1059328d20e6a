"""Search a multi-task network for ORIGA: optic disc and cup, glaucoma, and cup-to-disc ratio.

There is no phantom: give --data-root.
"""

from branchpoint.commands.job import Job, small_picture_scales
from branchpoint.commands.search import main
from search_spaces import origa

JOB = Job(
    dataset="origa",
    space=origa,
    default="paper",
    dimensions=2,
    scales=small_picture_scales(paper=256, demo=96),
)

if __name__ == "__main__":
    main(JOB, __doc__)
