"""``Bundle``: the networks that a study found, with all that is needed to run them on the next patient's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from branchpoint.config import Config
from branchpoint.datasets.preparation.kinds import preparation_from_plain
from branchpoint.datasets.preparation.preparation import Preparation
from branchpoint.deploy.bundle.files import BundleError, BundleFiles
from branchpoint.deploy.bundle.tasks import TaskInfo

if TYPE_CHECKING:
    from branchpoint.networks.network import Network


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose every file was checked.

    Attributes:
        files: where it lies.
        manifest: content of ``bundle.json``.
    """

    files: BundleFiles
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Open the folder or ``.zip`` at ``path`` and check every file.

        Raises:
            BundleError: it is damaged, of another schema, or no bundle.
        """
        files = BundleFiles(path)
        bundle = cls(files, files.check())
        try:
            bundle.preparation, bundle.tasks, bundle.networks  # noqa: B018 - read now what must be readable later
        except (KeyError, TypeError, ValueError) as problem:
            raise BundleError(
                f"{path}: written by another version of Branchpoint ({problem}); create the bundle again"
            ) from problem
        return bundle

    @property
    def name(self) -> str:
        """Name of the study."""
        return str(self.manifest["study"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 that names the bundle."""
        return self.files.digest()

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks, such as ``fold0``."""
        return tuple(self.manifest["networks"])

    @cached_property
    def tasks(self) -> tuple[TaskInfo, ...]:
        """The tasks that give results."""
        return tuple(TaskInfo.of(plain) for plain in self.manifest["tasks"])

    @cached_property
    def preprocessing(self) -> Mapping[str, Any]:
        """Content of ``preprocessing.json``."""
        found: Mapping[str, Any] = self.files.read_json("preprocessing.json")
        return found

    @cached_property
    def preparation(self) -> Preparation:
        """How a patient's files are brought to the networks' grid; without the margins cut in training."""
        return preparation_from_plain(self.preprocessing["preparation"])

    @cached_property
    def reference(self) -> Mapping[str, Any]:
        """Task to what is known of held-out patients; empty where the bundle was made without."""
        found: Mapping[str, Any] = self.files.read_json("reference.json")
        return found

    @cached_property
    def seen(self) -> Mapping[str, Any]:
        """Hashes of training images; see :mod:`branchpoint.deploy.bundle.seen`."""
        found: Mapping[str, Any] = self.files.read_json("seen.json")
        return found

    def config(self, network: str) -> Config:
        """The Config of a network, without folders of the machine it was trained on."""
        return Config.from_json(self.files.read(f"{network}/config.json").decode())

    def network(self, name: str, device: str = "cpu") -> Network:
        """A network with its weights, in evaluation mode.

        Raises:
            BundleError: the weights do not fit the Config.
        """
        from branchpoint.networks import build

        network = build(self.config(name))
        try:
            network.load_state_dict(load_weights(self.files.read(f"{name}/weights.safetensors")))
        except (RuntimeError, ValueError) as problem:
            raise BundleError(f"{self.files.path}: {name}: {str(problem).splitlines()[0]}") from None
        return network.to(device).eval()

    def chosen(self, folds: Sequence[int] | None) -> tuple[str, ...]:
        """Networks of ``folds``; all for ``None``.

        Raises:
            ValueError: there is no such fold.
        """
        of_fold: Mapping[str, Any] = self.manifest["networks"]
        known = {one["fold"] for one in of_fold.values()}
        if folds is not None and (unknown := sorted(set(folds) - known)):
            raise ValueError(f"no fold {unknown[0]} in {self.files.path}; it has {', '.join(map(str, sorted(known)))}")
        return tuple(name for name, one in of_fold.items() if folds is None or one["fold"] in folds)


def load_weights(content: bytes) -> dict[str, Any]:
    """Tensors by name from the bytes of a safetensors file."""
    try:
        from safetensors.torch import load
    except ImportError:
        raise ModuleNotFoundError('a bundle needs safetensors: pip install "branchpoint[deploy]"') from None
    return dict(load(content))


def save_weights(tensors: Mapping[str, Any]) -> bytes:
    """The bytes of a safetensors file; every tensor contiguous, with memory of its own, on the CPU."""
    try:
        from safetensors.torch import save
    except ImportError:
        raise ModuleNotFoundError('a bundle needs safetensors: pip install "branchpoint[deploy]"') from None
    return bytes(save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}))
