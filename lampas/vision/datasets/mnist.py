"""MNIST and what came in its format: Fashion-MNIST, KMNIST, EMNIST; and the embedded digits.

Files are looked for under `root/<class>/raw`, where PyTorch keeps them, packed (.gz) or not; those
of Fashion-MNIST also where Debian's package dataset-fashion-mnist puts them. The format (IDX): two
zero bytes, a byte for the type, a byte for the number of dimensions, the big-endian sizes, data.
"""

import gzip
import string
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

import lampas
from lampas import Tensor
from lampas.data import load_digits
from lampas.vision.datasets.utils import (
    check_integrity,
    download_from_mirrors,
    download_url,
    verify_str_arg,
)
from lampas.vision.datasets.vision import VisionDataset

IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
Resources = list[tuple[str, str]]


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, packed by gzip or not; raises ValueError if it is none."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise ValueError(f"{path} is not an IDX file")
    start = 4 + 4 * content[3]
    sizes = tuple(np.frombuffer(content[4:start], ">i4").tolist())
    kind = np.dtype(IDX_TYPES[content[2]])
    if len(content) != start + kind.itemsize * int(np.prod(sizes, dtype=np.int64)):
        raise ValueError(f"{path} is cut off: its header says {sizes}")
    array = np.frombuffer(content, kind, offset=start).reshape(sizes)
    return array.astype(kind.newbyteorder("="))


class _Pictures(VisionDataset):
    """Grey images `data` (N, 28, 28) and their `targets`, both tensors."""

    data: Tensor
    targets: Any
    classes: Any

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = Image.fromarray(self.data.numpy()[index])
        targets = self.targets
        target = targets.numpy()[index] if isinstance(targets, Tensor) else targets[index]
        return self._transformed(image, int(target))

    def __len__(self) -> int:
        return len(self.data)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: index for index, name in enumerate(self.classes)}


DIGIT_NAMES = "zero one two three four five six seven eight nine".split()
DIGIT_CLASSES = [f"{digit} - {name}" for digit, name in enumerate(DIGIT_NAMES)]
KANA_CLASSES = "o ki su tsu na ha ma ya re wo".split()
FASHION_CLASSES = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]


class MNIST(_Pictures):
    """70,000 handwritten digits, 28×28: (Pillow image, digit).

    Raises RuntimeError that says where the files belong if they are not there; with `download` they
    are fetched first.
    """

    mirrors: ClassVar[list[str]] = [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ]
    resources: ClassVar[Resources] = [
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ]
    classes: Any = DIGIT_CLASSES
    system_folders: ClassVar[list[Path]] = []

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
        if not self._check_exists():
            raise RuntimeError(self._absent())
        self.data, self.targets = self._load_data()

    @property
    def raw_folder(self) -> str:
        """Where the files belong."""
        return str(Path(self.root or ".") / type(self).__name__ / "raw")

    def _names(self) -> list[str]:
        return [name for name, _ in self.resources]

    def _absent(self) -> str:
        return (
            "Dataset not found. You can use download=True to download it, or put "
            f"{', '.join(self._names())} (packed or not) into {self.raw_folder}"
        )

    def _find(self, name: str) -> Path | None:
        """The file called `name`, packed or not, in one of the folders."""
        for folder in (Path(self.raw_folder), *self.system_folders):
            for path in (folder / name.removesuffix(".gz"), folder / name):
                if check_integrity(path):
                    return path
        return None

    def _check_exists(self) -> bool:
        return all(self._find(name) for name in self._names())

    def download(self) -> None:
        """Fetch what is not there yet, from the first mirror that has it."""
        for name, md5 in self.resources:
            if self._find(name) is None:
                addresses = [mirror + name for mirror in self.mirrors]
                download_from_mirrors(addresses, Path(self.raw_folder), name, md5)

    def _load_data(self) -> tuple[Tensor, Tensor]:
        part = "train" if self.train else "t10k"
        return self._read(f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")

    def _read(self, images: str, labels: str) -> tuple[Tensor, Tensor]:
        image_path, label_path = self._find(images), self._find(labels)
        if image_path is None or label_path is None:
            raise RuntimeError(self._absent())
        targets = lampas.from_numpy(read_idx(label_path).astype(np.int64))
        return lampas.from_numpy(read_idx(image_path)), targets

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """70,000 pictures of clothes (arXiv:1708.07747): (Pillow image, class)."""

    mirrors: ClassVar[list[str]] = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources: ClassVar[Resources] = [
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ]
    classes: Any = FASHION_CLASSES
    system_folders: ClassVar[list[Path]] = [Path("/usr/share/datasets/fashion-mnist")]


class KMNIST(MNIST):
    """70,000 characters of cursive Japanese (arXiv:1812.01718): (Pillow image, class)."""

    mirrors: ClassVar[list[str]] = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources: ClassVar[Resources] = [
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    ]
    classes: Any = KANA_CLASSES


class EMNIST(MNIST):
    """Letters and digits of NIST (arXiv:1702.05373), in six splits; images lie on their side."""

    url = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
    md5 = "58c8d27c78d21e728a6bc7b3cc06412e"
    splits = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
    _all = string.digits + string.ascii_letters
    _merged = sorted(set(_all) - set("cijklmopsuvwxyz"))
    classes_split_dict: ClassVar[dict[str, list[str]]] = {
        "byclass": sorted(_all),
        "bymerge": _merged,
        "balanced": _merged,
        "letters": ["N/A", *string.ascii_lowercase],
        "digits": list(string.digits),
        "mnist": list(string.digits),
    }

    def __init__(self, root: str | Path, split: str, **kwargs: Any) -> None:
        self.split = verify_str_arg(split, "split", self.splits)
        self.classes = self.classes_split_dict[self.split]
        super().__init__(root, **kwargs)

    def _names(self) -> list[str]:
        part = "train" if self.train else "test"
        return [
            f"emnist-{self.split}-{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")
        ]

    def download(self) -> None:
        """Fetch the archive of all splits and take the files out of it."""
        if self._check_exists():
            return
        folder = Path(self.raw_folder)
        download_url(self.url, folder, "gzip.zip", self.md5)
        with zipfile.ZipFile(folder / "gzip.zip") as archive:
            for member in archive.namelist():
                if member.endswith(".gz"):
                    (folder / Path(member).name).write_bytes(archive.read(member))

    def _load_data(self) -> tuple[Tensor, Tensor]:
        images, labels = self._names()
        return self._read(images, labels)

    def extra_repr(self) -> str:
        return f"Split: {self.split}\n{super().extra_repr()}"


class Digits(_Pictures):
    """The 5,000 digits that ship with the package: 4,000 to train on, 1,000 to test.

    >>> Digits(train=False)
    Dataset Digits
        Number of datapoints: 1000
        Split: Test
    """

    classes: Any = DIGIT_CLASSES

    def __init__(
        self,
        root: str | Path | None = None,
        train: bool = True,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        digits = load_digits()
        images = digits.train_images if train else digits.test_images
        labels = digits.train_labels if train else digits.test_labels
        self.data, self.targets = lampas.from_numpy(images), lampas.from_numpy(labels)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"
