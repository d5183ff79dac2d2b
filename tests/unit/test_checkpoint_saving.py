"""Saving replaces a file whole or not at all: errors, kills, modes, links, streams."""

import errno
import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import lampas
from lampas.serialization import load, save
from lampas.serialization.files import _prefix
from lampas.serialization.safetensors import dump, load_file, parse, save_file


def leftovers(directory):
    return [entry.name for entry in pathlib.Path(directory).iterdir() if ".tmp" in entry.name]


class Broken:
    """Cannot be pickled."""

    def __reduce__(self):
        raise ValueError("not today")


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    save([1], path)
    with pytest.raises(ValueError, match="not today"):
        save([lampas.ones(1000), Broken()], path)
    assert load(path) == [1]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_of_the_system_leaves_the_old_file(tmp_path, monkeypatch, call, number):
    path = tmp_path / "x.pt"
    save([1], path)

    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        save([2], path)
    monkeypatch.undo()
    assert load(path) == [1]
    assert leftovers(tmp_path) == []


def test_mode_is_kept_and_links_stay(tmp_path):
    path = tmp_path / "x.pt"
    save([1], path)
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    path.chmod(0o640)
    link = tmp_path / "latest.pt"
    link.symlink_to(path)
    save([2], link)
    assert link.is_symlink()
    assert load(path) == [2]
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_killed_processes_left_is_removed(tmp_path):
    path = tmp_path / "x.pt"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    prefix = _prefix("x.pt")
    (tmp_path / f"{prefix}{dead.pid}.abc.tmp").write_bytes(b"")
    (tmp_path / f"{prefix}{os.getpid()}.abc.tmp").write_bytes(b"")
    (tmp_path / f".y.pt{prefix}{dead.pid}.abc.tmp").write_bytes(b"")
    save([1], path)
    assert len(leftovers(tmp_path)) == 2
    assert not (tmp_path / f"{prefix}{dead.pid}.abc.tmp").exists()


def test_streams_that_write_little_at_a_time():
    class Slow(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data[:1000])
            return min(len(data), 1000)

    stream = Slow()
    save(lampas.arange(5000), stream)
    assert load(io.BytesIO(bytes(stream.data)))[-1].item() == 4999


def test_special_files_and_missing_directories(tmp_path):
    save([1], "/dev/null")
    with pytest.raises(FileNotFoundError):
        save([1], tmp_path / "none" / "x.pt")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt")
    with pytest.raises(AttributeError):
        save([1], 3)
    with pytest.raises(AttributeError):
        load(3)
    with pytest.raises(NotImplementedError, match="only read"):
        save([1], io.BytesIO(), _use_new_zipfile_serialization=False)


def test_data_is_aligned_and_equal_data_gives_equal_files(tmp_path):
    value = {"a": lampas.ones(3), "b": lampas.zeros(100)}
    first, second = io.BytesIO(), io.BytesIO()
    save(value, first)
    save(value, second)
    assert first.getvalue() == second.getvalue()
    place = first.getvalue().index(np.ones(3, np.float32).tobytes())
    assert place % 64 == 0


SAVER = textwrap.dedent(
    """
    import sys
    import lampas
    from lampas.serialization import save
    print("ready", flush=True)
    number = int(sys.argv[2])
    while True:
        number += 1
        save({"n": number, "x": lampas.full((50000,), float(number))}, sys.argv[1])
    """
)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_leaves_the_old_or_the_new(tmp_path):
    path = tmp_path / "x.pt"
    source = random.Random(8)
    save({"n": 0, "x": lampas.full((50000,), 0.0)}, path)
    last = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path), str(last)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(source.uniform(0.0, 0.1))
        process.kill()
        process.wait()
        process.stdout.close()
        loaded = load(path)
        assert loaded["n"] >= last
        assert loaded["x"].tolist() == [float(loaded["n"])] * 50000
        last = loaded["n"]


def test_safetensors(tmp_path):
    tensors = {
        "f": lampas.arange(6).float().reshape(2, 3),
        "t": lampas.arange(6).float().reshape(2, 3).t(),
        "b": lampas.tensor([1.5, -2.0], dtype=lampas.bfloat16),
        "h": lampas.tensor([1.5], dtype=lampas.float16),
        "i": lampas.tensor(7),
        "m": lampas.tensor([True, False]),
        "e": lampas.zeros(0, 2),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    loaded = load_file(tmp_path / "x.safetensors")
    assert set(loaded) == set(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].dtype is tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert loaded[name].tolist() == tensor.tolist()
    with pytest.raises(TypeError):
        dump({"x": 3})
    with pytest.raises(ValueError, match="complex128"):
        dump({"x": lampas.zeros(1, dtype=lampas.complex128)})
    data = dump(tensors)
    for bad in (b"", data[:-1], b"\xff" * 8 + data[8:], data[:8] + b"x" + data[9:]):
        with pytest.raises(lampas.serialization.SerializationError):
            parse(bad)
