"""Search a multi-task network for BUSI: outline and diagnosis of breast lesions from ultrasound.

There is no phantom: give --data-root, and --skip-faulty, as the release has a faulty mask.
"""

from branchpoint.commands.job import Job, small_picture_scales
from branchpoint.commands.search import main
from search_spaces import busi

JOB = Job(
    dataset="busi",
    space=busi,
    default="paper",
    dimensions=2,
    scales=small_picture_scales(paper=256, demo=96),
)

if __name__ == "__main__":
    main(JOB, __doc__)
