"""Street View House Numbers (Netzer et al. 2011): cropped digits in MATLAB files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from lampas.vision.datasets.utils import check_integrity, download_url, verify_str_arg
from lampas.vision.datasets.vision import VisionDataset

ADDRESS = "http://ufldl.stanford.edu/housenumbers/"


class SVHN(VisionDataset):
    """Digits 32×32 in colour: (Pillow image, digit); `split` is "train", "test" or "extra"."""

    split_list: ClassVar[dict[str, list[str]]] = {
        "train": [
            ADDRESS + "train_32x32.mat",
            "train_32x32.mat",
            "e26dedcc434d2e4c54c9b2d4a06d8373",
        ],
        "test": [ADDRESS + "test_32x32.mat", "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"],
        "extra": [
            ADDRESS + "extra_32x32.mat",
            "extra_32x32.mat",
            "a93ce644f1a588dc4d68dda5feec44a7",
        ],
    }

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.split = verify_str_arg(split, "split", tuple(self.split_list))
        self.url, self.filename, self.file_md5 = self.split_list[split]
        if download:
            self.download()
        path = Path(self.root or ".") / self.filename
        if not check_integrity(path, self.file_md5):
            raise RuntimeError(
                "Dataset not found or corrupted. You can use download=True to download it, or put "
                f"{self.filename} ({self.url}) at {path}"
            )
        self.data, self.labels = _read_matlab(path)

    def download(self) -> None:
        """Fetch the file of the split unless it is there."""
        download_url(self.url, self.root or ".", self.filename, self.file_md5)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = Image.fromarray(np.transpose(self.data[index], (1, 2, 0)))
        return self._transformed(image, int(self.labels[index]))

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {self.split}"


def _read_matlab(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) and labels; the files call zero ten."""
    import scipy.io

    content = scipy.io.loadmat(str(path))
    labels = content["y"].astype(np.int64).reshape(-1)
    labels[labels == 10] = 0
    return np.transpose(content["X"], (3, 2, 0, 1)), labels
