"""Search a multi-task network for your own folder of images, masks and one table (docs/how-to/own-data.md).

Give --data-root, the folder with dataset.toml; every target of it is a task. --release other.toml reads another
declaration in the same folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from branchpoint.commands.job import Job, Scale, small_picture_scales
from branchpoint.commands.search import main
from branchpoint.config import DatasetConfig
from branchpoint.datasets.readers.folder import declaration_file
from branchpoint.datasets.readers.folder_declaration import read_declaration
from search_spaces import folder

VOLUMES = Job(
    dataset="folder",
    space=folder,
    default="paper",
    scales={
        "paper": Scale(spacing_mm=2.0, size=96, trials=40, epochs=60, final_epochs=80, batch_size=8),
        "demo": Scale(spacing_mm=6.0, size=32, folds=3, trials=12, epochs=12, final_epochs=20, top=2, batch_size=8),
        "smoke": Scale(spacing_mm=12.0, size=16, folds=2, trials=2, epochs=1, final_epochs=1, top=1, width=4),
    },
)
PICTURES = Job(
    dataset="folder",
    space=folder,
    default="paper",
    dimensions=2,
    scales=small_picture_scales(paper=256, demo=96),
)


def of_folder(root: Path, release: str) -> Job:
    """The job for the folder's volumes or pictures; ValueError where there is no declaration, or it is wrong."""
    declaration = read_declaration(declaration_file(DatasetConfig(name="folder", root=str(root), release=release)))
    return VOLUMES if folder.has_volumes(declaration, root) else PICTURES


JOB = replace(PICTURES, of_folder=of_folder)

if __name__ == "__main__":
    main(JOB, __doc__)
