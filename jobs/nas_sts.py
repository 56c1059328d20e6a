"""Search a multi-task network for soft-tissue sarcoma: outline, time to recurrence, lung metastasis, from PET/CT.

The cohort (32 patients) is small enough for a laptop at coarse spacing.
"""

from branchpoint.commands.job import Job, Scale
from branchpoint.commands.search import main
from search_spaces import sts

JOB = Job(
    dataset="sts",
    space=sts,
    default="paper",
    scales={
        "paper": Scale(spacing_mm=5.0, size=48, trials=24, epochs=30, final_epochs=40, batch_size=8),
        "demo": Scale(spacing_mm=8.0, size=32, folds=3, trials=12, epochs=12, final_epochs=20, top=2, batch_size=8),
        "smoke": Scale(spacing_mm=12.0, size=16, folds=2, trials=4, epochs=2, final_epochs=2, top=1, width=4),
    },
)

if __name__ == "__main__":
    main(JOB, __doc__)
