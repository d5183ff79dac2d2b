"""Fetching of datasets: mirrors, checksums, resumed downloads, safe extraction.

An archive's member is written only below the goal: absolute names, names that climb out with `..`
and links are refused before anything is written.
"""

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import urllib.error
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lampas import hub

OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
TAR_ENDINGS = (".tar", ".tgz", ".tbz", ".tbz2", ".tar.gz", ".tar.xz", ".tar.bz2")


def calculate_md5(fpath: str | Path, chunk_size: int = 1 << 20) -> str:
    """The MD5 of a file, in hexadecimal."""
    return hub.file_digest(Path(fpath), "md5")


def check_md5(fpath: str | Path, md5: str, **_options: Any) -> bool:
    """Whether the file's MD5 is `md5`."""
    return md5 == calculate_md5(fpath)


def check_integrity(fpath: str | Path, md5: str | None = None) -> bool:
    """Whether the file is there and, if `md5` is given, is what it should be."""
    if not os.path.isfile(fpath):
        return False
    return md5 is None or check_md5(fpath, md5)


def download_url(
    url: str,
    root: str | Path,
    filename: str | Path | None = None,
    md5: str | None = None,
    max_redirect_hops: int = 3,
) -> None:
    """Fetch `url` into the folder `root`, unless the file is there and whole.

    Raises RuntimeError if the file's MD5 is not `md5`, URLError (naming the place where it can be
    put by hand) if it cannot be fetched.
    """
    path = Path(root).expanduser() / (filename or os.path.basename(url))
    path.parent.mkdir(parents=True, exist_ok=True)
    if check_integrity(path, md5):
        return
    partial = path.with_name(path.name + ".partial")
    hub.fetch(url, partial)
    if not check_integrity(partial, md5):
        partial.unlink(missing_ok=True)
        raise RuntimeError(
            f"File not found or corrupted: {url} is not what it should be (md5 {md5})"
        )
    os.replace(partial, path)


def download_from_mirrors(
    addresses: Iterable[str], root: Path, filename: str, md5: str | None = None
) -> None:
    """Fetch a file from the first address that has it whole.

    Raises RuntimeError that lists what each said and where the file can be put by hand.
    """
    failures = []
    for address in addresses:
        try:
            download_url(address, root, filename, md5)
            return
        except (urllib.error.URLError, RuntimeError) as error:
            failures.append(f"{address}: {getattr(error, 'reason', error)}")
    told = "\n  ".join(failures)
    raise RuntimeError(
        f"Error downloading {filename}:\n  {told}\nWithout a network, fetch it elsewhere and put "
        f"it at {Path(root) / filename}"
    )


# Archives -----------------------------------------------------------------------------------------


def _safe_goal(folder: Path, name: str) -> Path:
    """Where a member goes; raises ValueError for a name that leads out of the folder."""
    goal = (folder / name).resolve()
    if name.startswith(("/", "\\")) or not goal.is_relative_to(folder.resolve()):
        raise ValueError(f"the archive's member {name!r} would be written outside of {folder}")
    return goal


def _extract_tar(source: Path, folder: Path) -> None:
    with tarfile.open(source) as archive:
        members = archive.getmembers()
        for member in members:
            _safe_goal(folder, member.name)
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"the archive's member {member.name!r} is no file: refused")
        for member in members:
            goal = _safe_goal(folder, member.name)
            if member.isdir():
                goal.mkdir(parents=True, exist_ok=True)
                continue
            goal.parent.mkdir(parents=True, exist_ok=True)
            stream = archive.extractfile(member)
            assert stream is not None  # it is a file
            with stream, open(goal, "wb") as file:
                shutil.copyfileobj(stream, file)


def _extract_zip(source: Path, folder: Path) -> None:
    with zipfile.ZipFile(source) as archive:
        for name in archive.namelist():
            _safe_goal(folder, name)
        archive.extractall(folder)


def _decompress(source: Path, goal: Path) -> None:
    with OPENERS[source.suffix](source, "rb") as stream, open(goal, "wb") as file:
        shutil.copyfileobj(stream, file)


def extract_archive(
    from_path: str | Path, to_path: str | Path | None = None, remove_finished: bool = False
) -> str:
    """Unpack an archive (tar in all its compressions, zip) or a compressed file; returns where.

    Raises ValueError for an unknown kind, and for a member that would be written elsewhere.
    """
    source = Path(from_path)
    folder = Path(to_path) if to_path is not None else source.parent
    if source.name.endswith(TAR_ENDINGS):
        folder.mkdir(parents=True, exist_ok=True)
        _extract_tar(source, folder)
    elif source.suffix == ".zip":
        folder.mkdir(parents=True, exist_ok=True)
        _extract_zip(source, folder)
    elif source.suffix in OPENERS:
        folder = folder / source.stem if folder.is_dir() else folder
        _decompress(source, folder)
    else:
        raise ValueError(f"Unknown compression or archive type: '{source.suffix}' of {source.name}")
    if remove_finished:
        source.unlink()
    return str(folder)


def download_and_extract_archive(
    url: str,
    download_root: str | Path,
    extract_root: str | Path | None = None,
    filename: str | Path | None = None,
    md5: str | None = None,
    remove_finished: bool = False,
) -> None:
    """`download_url`, then `extract_archive`."""
    root = Path(download_root).expanduser()
    name = filename or os.path.basename(url)
    download_url(url, root, name, md5)
    extract_archive(root / name, extract_root or root, remove_finished)


def verify_str_arg(
    value: Any, arg: str | None = None, valid_values: Iterable[str] | None = None
) -> Any:
    """`value` if it is one of the valid strings; raises ValueError that lists them otherwise."""
    if not isinstance(value, str):
        raise ValueError(f"Expected type str for argument {arg}, but got type {type(value)}.")
    choices = None if valid_values is None else list(valid_values)
    if choices is not None and value not in choices:
        raise ValueError(f"Unknown value '{value}' for argument {arg}. Valid values are {choices}.")
    return value


def list_dir(root: str | Path, prefix: bool = False) -> list[str]:
    """The folders in a folder."""
    names = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    return [os.path.join(root, name) for name in names] if prefix else names


def list_files(root: str | Path, suffix: str, prefix: bool = False) -> list[str]:
    """The files in a folder that end in `suffix`."""
    names = [e.name for e in os.scandir(root) if e.is_file() and e.name.endswith(suffix)]
    return [os.path.join(root, name) for name in names] if prefix else names
