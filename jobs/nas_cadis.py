"""Search a multi-task network for CaDIS: cataract operations in 8, 17 and 25 classes, with HOG as auxiliary task.

The official parts share no video. Without --data-root the cohort is a phantom.
"""

from branchpoint.commands.job import Job, Scale, picture_phantom
from branchpoint.commands.search import main
from search_spaces import cadis

JOB = Job(
    dataset="cadis",
    space=cadis,
    dimensions=2,
    phantom=picture_phantom,
    scales={
        "paper": Scale(size=256, width=64, batch_size=8, trials=40, epochs=30, final_epochs=60, learning_rate=1e-4),
        "demo": Scale(size=(54, 96), patients=100, phantom_scale=0.15, trials=16, epochs=10, final_epochs=15, top=2),
        "smoke": Scale(size=48, patients=50, phantom_scale=0.1, trials=2, epochs=1, final_epochs=1, top=1, width=4),
    },
)

if __name__ == "__main__":
    main(JOB, __doc__)
