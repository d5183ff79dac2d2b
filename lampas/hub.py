"""Weights from the network, kept in a cache: `torch.hub`'s loading of state dicts.

The cache is `$TORCH_HOME/hub`, by default `~/.cache/torch/hub`, as PyTorch's, so that files fetched
by either serve both. A download goes to a `.partial` file beside its goal, is continued where it
was cut off, and is moved to its name only when it is whole and its SHA-256 starts as it should.
Repositories of code (`hub.load`) are run only from a local folder.
"""

import hashlib
import importlib.util
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

from tqdm import tqdm

from lampas.engine.settings import torch_home
from lampas.serialization import load as load_file

__all__ = [
    "download_url_to_file",
    "get_dir",
    "help",
    "list",
    "load",
    "load_state_dict_from_url",
    "set_dir",
]

HASH_IN_NAME = re.compile(r"-([a-f0-9]*)\.")
CHUNK = 1 << 17
TIMEOUT = 30.0  # seconds without an answer
ATTEMPTS = 3
HUB_FILE = "hubconf.py"

_chosen_directory: str | None = None


def get_dir() -> str:
    """The cache's folder: what `set_dir` chose, else `$TORCH_HOME/hub`."""
    return _chosen_directory or os.path.join(torch_home(), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep the cache in another folder."""
    global _chosen_directory
    _chosen_directory = os.path.expanduser(os.fspath(d))


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> dict[str, Any]:
    """The object saved at `url`, from the cache if it is there.

    With `check_hash` the file's name carries the start of its SHA-256 (`resnet18-f37072fd.pth`) and
    the download must agree with it. Raises RuntimeError if it does not, URLError (naming the place
    where the file can be put by hand) if it cannot be fetched.
    """
    folder = Path(model_dir or os.path.join(get_dir(), "checkpoints"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file_name or os.path.basename(urlparse(url).path))
    if not path.exists():
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        prefix = HASH_IN_NAME.search(path.name) if check_hash else None
        download_url_to_file(url, path, prefix.group(1) if prefix else None, progress)
    return load_file(str(path), map_location=map_location)


def download_url_to_file(
    url: str,
    dst: str | os.PathLike[str],
    hash_prefix: str | None = None,
    progress: bool = True,
) -> None:
    """Fetch `url` to the file `dst`, continuing an earlier attempt.

    Raises RuntimeError if the SHA-256 does not start with `hash_prefix`, URLError if it cannot be
    fetched, and the HTTPError that the server answers with.
    """
    goal = Path(dst).expanduser()
    partial = goal.with_name(goal.name + ".partial")
    fetch(url, partial, progress)
    if hash_prefix:
        found = file_digest(partial, "sha256")
        if not found.startswith(hash_prefix):
            partial.unlink()
            raise RuntimeError(
                f'invalid hash value (expected "{hash_prefix}", got "{found}") for {url}'
            )
    os.replace(partial, goal)


def fetch(url: str, path: Path, progress: bool = True, attempts: int = ATTEMPTS) -> None:
    """Write what `url` answers to `path`, continuing what is there; tries again when cut off.

    Raises URLError that names the file where the data can be put by hand.
    """
    for attempt in range(1, attempts + 1):
        try:
            _fetch_once(url, path, progress)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416 and path.exists():  # nothing is left, or the file has changed
                path.unlink()
                continue
            if error.code < 500 or attempt == attempts:
                raise
        except (OSError, EOFError) as error:
            if attempt == attempts or _never_connected(error):
                raise urllib.error.URLError(_offline_message(url, path, error)) from error
    raise urllib.error.URLError(_offline_message(url, path, None))


def _never_connected(error: Exception) -> bool:
    return isinstance(error, urllib.error.URLError)


def _offline_message(url: str, path: Path, error: Exception | None) -> str:
    reason = getattr(error, "reason", error) or "the download did not end"
    goal = path.with_name(path.name.removesuffix(".partial"))
    return (
        f"{url} could not be fetched ({reason}). Without a network, fetch it elsewhere and put "
        f"the file at {goal}"
    )


def _fetch_once(url: str, path: Path, progress: bool) -> None:
    have = path.stat().st_size if path.exists() else 0
    headers = {"User-Agent": "lampas.hub"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        continued = have > 0 and answer.status == 206
        have = have if continued else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        bar = tqdm(
            total=total, initial=have, unit="B", unit_scale=True, disable=not progress, leave=False
        )
        with bar, open(path, "ab" if continued else "wb") as file:
            for chunk in iter(lambda: answer.read(CHUNK), b""):
                file.write(chunk)
                bar.update(len(chunk))
    size = path.stat().st_size
    if total is not None and size < total:
        raise EOFError(f"the connection ended after {size} of {total} bytes")


def file_digest(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


# Repositories of models ---------------------------------------------------------------------------


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """Call the entry point `model` of the `hubconf.py` in a local folder (source="local").

    Raises NotImplementedError for source="github": code is not fetched from the network.
    """
    return _entry_point(_hub_module(repo_or_dir, source), model)(*args, **kwargs)


def list(github: str, source: str = "github", **_options: Any) -> "Any":
    """The names of the entry points of the `hubconf.py` in a local folder."""
    module = _hub_module(github, source)
    return [name for name, value in _entry_points(module)]


def help(github: str, model: str, source: str = "github", **_options: Any) -> str | None:
    """The docstring of an entry point of the `hubconf.py` in a local folder."""
    return _entry_point(_hub_module(github, source), model).__doc__


def _hub_module(folder: str, source: str) -> ModuleType:
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github" and not os.path.isfile(os.path.join(folder, HUB_FILE)):
        raise NotImplementedError(
            f"hub.load from GitHub ({folder}): code is not fetched from the network. Clone the "
            'repository yourself and give its folder with source="local"'
        )
    path = os.path.join(folder, HUB_FILE)
    spec = importlib.util.spec_from_file_location("hubconf", path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise FileNotFoundError(f"{path} is not there")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


def _entry_points(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in vars(module).items():
        if callable(value) and not name.startswith("_"):
            yield name, value


def _entry_point(module: ModuleType, name: str) -> Callable[..., Any]:
    found = dict(_entry_points(module)).get(name)
    if found is None:
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return found
