"""Search a multi-task network for ORIGA: optic disc and cup, glaucoma, and cup-to-disc ratio.

There is no phantom: give --data-root.
"""

from __future__ import annotations

from common import Job, Scale, main

from search_spaces import origa

JOB = Job(
    dataset="origa",
    release="",
    space=origa,
    default="paper",
    dimensions=2,
    scales={
        "paper": Scale(size=256, width=16, batch_size=8, trials=40, epochs=60, final_epochs=80),
        "demo": Scale(size=96, width=8, batch_size=8, trials=16, epochs=24, final_epochs=48, top=2),
        "smoke": Scale(size=32, folds=2, trials=2, epochs=1, final_epochs=1, top=1, width=4),
    },
)

if __name__ == "__main__":
    main(JOB)
