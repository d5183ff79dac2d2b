"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): small colour pictures in pickled batches.

The pickles may build arrays and plain containers only; any other name in them is refused.
"""

import codecs
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from lampas.vision.datasets.utils import check_integrity, download_and_extract_archive
from lampas.vision.datasets.vision import VisionDataset

ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}
RECONSTRUCT = np.zeros(0).__reduce__()[0]  # NumPy's maker of arrays, wherever it lies


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and containers."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module.startswith("numpy"):
            return RECONSTRUCT
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"a batch of CIFAR does not need {module}.{name}: refused")
        return ALLOWED[module, name]


class CIFAR10(VisionDataset):
    """60,000 pictures 32×32 of ten classes: (Pillow image, class).

    Raises RuntimeError that says where the files belong if they are not there; with `download` they
    are fetched first.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list: ClassVar[list[list[str]]] = [
        ["data_batch_1", "c99cafc152244af753f735de768cd75f"],
        ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
        ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
        ["data_batch_4", "634d18415352ddfa80567beed471001a"],
        ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"],
    ]
    test_list: ClassVar[list[list[str]]] = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta: ClassVar[dict[str, str]] = {
        "filename": "batches.meta",
        "key": "label_names",
        "md5": "5ff9c542aee3614f3951f8cda6e48888",
    }

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it, or "
                f"unpack {self.filename} into {self.root}"
            )
        batches = [self._read(name) for name, _ in (self.train_list if train else self.test_list)]
        images = np.vstack([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        self.data = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        self.targets: list[int] = []
        for batch in batches:
            self.targets += batch.get("labels") or batch["fine_labels"]
        self.classes = self._read(self.meta["filename"])[self.meta["key"]]
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}

    def _path(self, name: str) -> Path:
        return Path(self.root or ".") / self.base_folder / name

    def _read(self, name: str) -> dict[str, Any]:
        with open(self._path(name), "rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()

    def _check_integrity(self) -> bool:
        files = [*self.train_list, *self.test_list, [self.meta["filename"], self.meta["md5"]]]
        return all(check_integrity(self._path(name), md5) for name, md5 in files)

    def download(self) -> None:
        """Fetch and unpack the archive unless it has been."""
        if not self._check_integrity():
            download_and_extract_archive(
                self.url, self.root or ".", filename=self.filename, md5=self.tgz_md5
            )

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(Image.fromarray(self.data[index]), self.targets[index])

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """60,000 pictures 32×32 of a hundred classes."""

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list: ClassVar[list[list[str]]] = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list: ClassVar[list[list[str]]] = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta: ClassVar[dict[str, str]] = {
        "filename": "meta",
        "key": "fine_label_names",
        "md5": "7973b15100ade9c7d40fb424638fde48",
    }
