"""Search a multi-task network for RETOUCH: fluids in OCT slices and which are present, split by volume.

``--release Cirrus`` (Spectralis, Topcon) takes one vendor, as paper 001 does; the default takes all, with the vendor as
a domain. The scale ``paper`` is that of paper 001: 512 x 512, width 64. Without --data-root the cohort is a phantom.
"""

from branchpoint.commands.job import Job, Scale, picture_phantom
from branchpoint.commands.search import main
from search_spaces import retouch

JOB = Job(
    dataset="retouch",
    release="all",
    space=retouch,
    dimensions=2,
    phantom=picture_phantom,
    scales={
        "paper": Scale(size=512, width=64, batch_size=8, trials=40, epochs=40, final_epochs=60, learning_rate=1e-4),
        "demo": Scale(size=64, patients=12, phantom_scale=0.15, folds=3, trials=16, epochs=10, final_epochs=15, top=2),
        "smoke": Scale(
            size=32, patients=6, phantom_scale=0.1, folds=2, trials=2, epochs=1, final_epochs=1, top=1, width=4
        ),
    },
)

if __name__ == "__main__":
    main(JOB, __doc__)
