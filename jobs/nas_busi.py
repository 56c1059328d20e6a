"""Search a multi-task network for BUSI: outline and diagnosis of breast lesions from ultrasound.

There is no phantom: give --data-root, and --skip-faulty, as the release has a faulty mask.
"""

from __future__ import annotations

from common import Job, Scale, main

from search_spaces import busi

JOB = Job(
    dataset="busi",
    release="",
    space=busi,
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
