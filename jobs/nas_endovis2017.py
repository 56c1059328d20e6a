"""Search a multi-task network for EndoVis 2017: instruments, parts and types, with HOG as auxiliary task.

Folds keep videos together; ``--scheme paper`` tests videos 9 and 10. Without --data-root the cohort is a phantom.
"""

from branchpoint.commands.job import Job, Scale, picture_phantom
from branchpoint.commands.search import main
from search_spaces import endovis2017

JOB = Job(
    dataset="endovis2017",
    space=endovis2017,
    dimensions=2,
    phantom=picture_phantom,
    scales={
        "paper": Scale(size=256, width=64, batch_size=8, trials=40, epochs=30, final_epochs=60, learning_rate=1e-4),
        "demo": Scale(
            size=(64, 80), patients=108, phantom_scale=0.08, folds=3, trials=16, epochs=10, final_epochs=15, top=2
        ),
        "smoke": Scale(
            size=48, patients=36, phantom_scale=0.05, folds=2, trials=2, epochs=1, final_epochs=1, top=1, width=4
        ),
    },
)

if __name__ == "__main__":
    main(JOB, __doc__)
