"""Search a multi-task network for ISIC 2017: outline and diagnosis of skin lesions, in the challenge's parts.

The scale ``paper`` is that of paper 001: 224 x 224, width 64. Without --data-root the cohort is a phantom.
"""

from branchpoint.commands.job import Job, Scale, picture_phantom
from branchpoint.commands.search import main
from search_spaces import isic2017

JOB = Job(
    dataset="isic2017",
    space=isic2017,
    dimensions=2,
    phantom=picture_phantom,
    scales={
        "paper": Scale(size=224, width=64, batch_size=16, trials=60, epochs=60, final_epochs=100, learning_rate=1e-4),
        "demo": Scale(size=64, patients=150, phantom_scale=0.15, trials=16, epochs=10, final_epochs=15, top=2),
        "smoke": Scale(size=32, patients=30, phantom_scale=0.15, trials=2, epochs=1, final_epochs=1, top=1, width=4),
    },
)

if __name__ == "__main__":
    main(JOB, __doc__)
