"""Search a multi-task network for HECKTOR: outline of the tumour and time to progression, from PET/CT.

Without --data-root the cohort is a phantom with a known attainable C-index.
"""

from branchpoint.commands.job import Job, Scale
from branchpoint.commands.search import main
from search_spaces import hecktor

JOB = Job(
    dataset="hecktor",
    release="2021",
    space=hecktor,
    default="laptop",
    phantom=lambda scale: {"censoring": scale.censoring, "spacing_scale": scale.phantom_scale},
    scales={
        "paper": Scale(),
        "laptop": Scale(spacing_mm=4.0, size=36, patients=60, phantom_scale=1.5, trials=24, epochs=30, final_epochs=40),
        # Half of the patients have an event, and steps are many and large: figures mean something after minutes.
        "demo": Scale(
            spacing_mm=6.0,
            size=24,
            patients=40,
            phantom_scale=2.0,
            censoring=0.5,
            folds=3,
            trials=12,
            epochs=10,
            final_epochs=20,
            top=2,
            width=4,
            batch_size=4,
            learning_rate=3e-3,
        ),
        "smoke": Scale(
            spacing_mm=9.0,
            size=16,
            patients=20,
            phantom_scale=2.0,
            folds=2,
            trials=4,
            epochs=2,
            final_epochs=2,
            top=1,
            width=4,
            batch_size=8,
        ),
    },
)

if __name__ == "__main__":
    main(JOB, __doc__)
