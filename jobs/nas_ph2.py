"""Search a multi-task network for PH2: outline, diagnosis, asymmetry and five dermoscopic criteria.

There is no phantom: give --data-root. ``--demo`` is the scale of docs/evidence/results.md.
"""

from branchpoint.commands.job import Job, small_picture_scales
from branchpoint.commands.search import main
from search_spaces import ph2

JOB = Job(
    dataset="ph2",
    space=ph2,
    default="paper",
    dimensions=2,
    scales=small_picture_scales(paper=192, demo=64),
)

if __name__ == "__main__":
    main(JOB, __doc__)
