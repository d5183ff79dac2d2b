"""Datasets: reading of their formats, folders, downloads and archives."""

import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lampas
from lampas.utils.data import DataLoader
from lampas.vision import datasets, transforms
from lampas.vision.datasets import cifar, folder, utils
from lampas.vision.datasets.mnist import read_idx


def _idx(array: np.ndarray) -> bytes:
    sizes = b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def _write_mnist(folder: Path, packed: bool) -> np.ndarray:
    folder.mkdir(parents=True)
    images = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 251
    for part in ("train", "t10k"):
        for name, array in (
            ("images-idx3-ubyte", images),
            ("labels-idx1-ubyte", np.array([7, 2, 1])),
        ):
            content = _idx(array)
            ending = ".gz" if packed else ""
            path = folder / f"{part}-{name}{ending}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return images


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.KMNIST])
def test_mnist_format(tmp_path: Path, kind: type, packed: bool) -> None:
    images = _write_mnist(tmp_path / kind.__name__ / "raw", packed)
    found = kind(tmp_path, train=False, target_transform=lambda digit: digit + 100)
    image, target = found[1]
    assert target == 102
    assert np.array_equal(np.asarray(image), images[1])
    assert found.data.shape == (3, 28, 28)
    assert found.data.dtype == lampas.uint8
    assert found.targets.tolist() == [7, 2, 1]
    assert len(found.classes) == 10
    assert "Split: Test" in repr(found)


def test_absent_files_are_asked_for_by_place(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"download=True.*MNIST/raw"):
        datasets.MNIST(tmp_path)
    with pytest.raises(RuntimeError, match="not found or corrupted"):
        datasets.CIFAR10(tmp_path)
    with pytest.raises(RuntimeError, match=r"train_32x32\.mat"):
        datasets.SVHN(tmp_path)
    with pytest.raises(ValueError, match="Valid values"):
        datasets.EMNIST(tmp_path, split="all")


def test_damaged_idx(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(_idx(np.zeros((2, 3)))[:-1])
    with pytest.raises(ValueError, match="cut off"):
        read_idx(path)
    path.write_bytes(b"PNG")
    with pytest.raises(ValueError, match="not an IDX"):
        read_idx(path)


def test_fashion_mnist_is_found_where_debian_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_mnist(tmp_path / "system", True)
    monkeypatch.setattr(datasets.FashionMNIST, "system_folders", [tmp_path / "system"])
    found = datasets.FashionMNIST(tmp_path / "root", download=True)
    assert found.classes[found[0][1]] == "Sneaker"


def test_mirrors_are_tried_in_turn(tmp_path: Path) -> None:
    _write_mnist(tmp_path / "served", True)

    class Served(datasets.MNIST):
        mirrors = ("http://127.0.0.1:1/", (tmp_path / "served").as_uri() + "/")
        resources = tuple(
            (name, utils.calculate_md5(tmp_path / "served" / name))
            for name, _ in datasets.MNIST.resources
        )

    assert len(Served(tmp_path / "root", download=True)) == 3
    assert (tmp_path / "root" / "Served" / "raw" / "t10k-images-idx3-ubyte.gz").exists()


def test_all_mirrors_failed(tmp_path: Path) -> None:
    class Nowhere(datasets.MNIST):
        mirrors = ("http://127.0.0.1:1/a/", "http://127.0.0.1:1/b/")

    with pytest.raises(RuntimeError, match=r"(?s)/a/.*/b/.*put it at"):
        Nowhere(tmp_path, download=True)


def test_wrong_checksum(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    with pytest.raises(RuntimeError, match="corrupted"):
        utils.download_url((tmp_path / "a").as_uri(), tmp_path / "goal", "a", "0" * 32)
    assert not list((tmp_path / "goal").iterdir())


def test_digits() -> None:
    digits = datasets.Digits(transform=transforms.ToTensor())
    images, targets = next(iter(DataLoader(digits, batch_size=16, shuffle=True)))
    assert images.shape == (16, 1, 28, 28)
    assert targets.shape == (16,)
    assert (len(digits), len(datasets.Digits(train=False))) == (4000, 1000)


def _write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = root / "cifar-10-batches-py"
    base.mkdir()
    pixels = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (base / name).write_bytes(pickle.dumps({"data": pixels, "labels": [3, 5]}, protocol=2))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(cifar, "check_integrity", lambda path, md5: path.is_file())


def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_cifar(tmp_path, monkeypatch)
    found = datasets.CIFAR10(tmp_path)
    image, target = found[3]
    assert (len(found), target, image.size) == (10, 5, (32, 32))
    assert np.asarray(image)[0, 0].tolist() == [0, 0, 0]
    assert found.class_to_idx["d"] == 3


def test_cifar_refuses_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_cifar(tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        datasets.CIFAR10(tmp_path)


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.io

    path = tmp_path / "train_32x32.mat"
    pixels = np.arange(32 * 32 * 3 * 2).reshape(32, 32, 3, 2).astype(np.uint8)
    scipy.io.savemat(path, {"X": pixels, "y": np.array([[10], [3]])})
    rows = {"train": ["", path.name, utils.calculate_md5(path)]}
    monkeypatch.setattr(datasets.SVHN, "split_list", rows)
    found = datasets.SVHN(tmp_path)
    assert [found[0][1], found[1][1]] == [0, 3]
    assert np.array_equal(np.asarray(found[1][0]), pixels[..., 1])


def test_image_folder(tmp_path: Path) -> None:
    for index, name in enumerate(("b/2.png", "a/deep/1.png", "a/0.PNG", "a/notes.txt")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            path.write_text("no image")
        else:
            Image.new("L", (2, 3), index).save(path, "PNG")
    found = datasets.ImageFolder(tmp_path)
    assert found.classes == ["a", "b"]
    assert [Path(path).name for path, _ in found.samples] == ["0.PNG", "1.png", "2.png"]
    assert found.targets == [0, 0, 1]
    image, target = found[2]
    assert (image.mode, image.size, target) == ("RGB", (2, 3), 1)
    (tmp_path / "c").mkdir()
    with pytest.raises(FileNotFoundError, match="no valid file for the classes c"):
        datasets.ImageFolder(tmp_path)
    assert len(datasets.ImageFolder(tmp_path, allow_empty=True).classes) == 3
    with pytest.raises(FileNotFoundError, match="any class folder"):
        folder.find_classes(tmp_path / "c")


def test_fake_data_leaves_the_stream_alone() -> None:
    fake = datasets.FakeData(3, (3, 5, 4), transform=transforms.ToTensor())
    before = lampas.get_rng_state()
    first, target = fake[1]
    again, same = fake[1]
    assert lampas.equal(first, again)
    assert target == same
    assert lampas.equal(before, lampas.get_rng_state())
    with pytest.raises(IndexError):
        fake[3]


# Archives -----------------------------------------------------------------------------------------


def test_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/one.txt", "1")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("in/two.txt")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"2"))
    (tmp_path / "c.txt.xz").write_bytes(lzma.compress(b"3"))
    goal = tmp_path / "goal"
    goal.mkdir()
    for name in ("a.zip", "b.tar.gz", "c.txt.xz"):
        utils.extract_archive(tmp_path / name, goal, remove_finished=True)
    assert (goal / "in" / "one.txt").read_text() == "1"
    assert (goal / "in" / "two.txt").read_text() == "2"
    assert (goal / "c.txt").read_text() == "3"
    assert not (tmp_path / "a.zip").exists()
    with pytest.raises(ValueError, match="Unknown compression"):
        utils.extract_archive(tmp_path / "d.rar")


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "in/../../out.txt"])
def test_archives_cannot_write_elsewhere(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "x")
    for ending in ("tar", "zip"):
        with pytest.raises(ValueError, match="outside"):
            utils.extract_archive(tmp_path / f"a.{ending}", tmp_path / "goal")
    assert not (tmp_path / "out.txt").exists()


def test_links_in_archives_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    with pytest.raises(ValueError, match="no file"):
        utils.extract_archive(tmp_path / "a.tar", tmp_path / "goal")
