"""Mutations of valid checkpoints, by seed: bytes, opcodes, sizes and records of all three formats.

`python tests/fuzz/checkpoint_mutations.py SEED COUNT [PATH]` runs a long campaign. A load may succeed or
raise SerializationError (or, for a file that names a GPU, RuntimeError); it may not raise anything
else, nor allocate much more than the file's size.
"""

import io
import itertools
import pickle
import pickletools
import random
import struct
import sys
import tarfile
import tracemalloc

import numpy as np

import lampas
from lampas.serialization import SerializationError, load, save
from lampas.serialization.zip_writer import ZipWriter

INTERESTING = [0, 1, 2, 3, 7, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1]
WORDS = [
    b"torch\nFloatStorage\n",
    b"torch\nLongStorage\n",
    b"torch\nBoolStorage\n",
    b"torch._utils\n_rebuild_tensor_v2\n",
    b"torch._utils\n_rebuild_parameter\n",
    b"collections\nOrderedDict\n",
    b"torch\nfloat32\n",
    b"torch\nSize\n",
    b"torch\nTensor\n",
    b"os\nsystem\n",
    b"builtins\nset\n",
    b"numpy\ndtype\n",
    b"numpy.core.multiarray\nscalar\n",
    b"_codecs\nencode\n",
]
# Memory that the reader itself takes: parsing tables and small objects.
ALLOWANCE = 2 << 20


def sample():
    """An object with something of everything."""
    x = lampas.arange(12).float().reshape(3, 4)
    return {
        "x": x,
        "row": x[1],
        "t": x.t(),
        "parameter": lampas.nn.Parameter(lampas.ones(2)),
        "flags": lampas.tensor([True, False]),
        "half": lampas.ones(3, dtype=lampas.bfloat16),
        "z": lampas.zeros(2, dtype=lampas.complex64),
        "plain": [1, -5, 2.5, None, True, "text", b"bytes", (1, 2, 3), {4, 5}, 10**20],
        "np": [np.float64(1.5), np.arange(4)],
        "size": lampas.Size([1, 2]),
        "dtype": lampas.float16,
        "device": lampas.device("cpu"),
    }


def zip_file():
    """A checkpoint as (records, pickle)."""
    stream = io.BytesIO()
    save(sample(), stream)
    return stream.getvalue()


def zip_parts(data):
    """The records of an archive."""
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rebuilt_zip(parts):
    """An archive of records, with right checksums and sizes."""
    stream = io.BytesIO()
    writer = ZipWriter(stream)
    for name, data in parts.items():
        writer.add(name, data)
    writer.close()
    return stream.getvalue()


def legacy_file():
    """A checkpoint of the older format, made by hand."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    parts = [pickle.dumps(part, 2) for part in head]
    hooks = b"ccollections\nOrderedDict\n)R"
    storage = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x007X\3\0\0\0cpuK\4NtQ"
    body = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0K\2K\2\x86K\2K\1\x86\x89"
    parts.append(b"\x80\2}X\1\0\0\0a" + body + hooks + b"tRs.")
    parts.append(pickle.dumps(["7"], 2))
    parts.append(struct.pack("<q4f", 4, 1, 2, 3, 4))
    return b"".join(parts)


def tar_file():
    """A checkpoint of the oldest format, made by hand."""
    kind = b"\x80\2(K\7X\3\0\0\0cpuctorch\nFloatStorage\nt."
    tensor = b"\x80\2(K\x09K\7ctorch\nTensor\nt."
    members = {
        "storages": pickle.dumps(1, 2) + kind + struct.pack("<q4f", 4, 1, 2, 3, 4) + b"\x80\2].",
        "tensors": pickle.dumps(1, 2) + tensor + struct.pack("<6q", 2, 2, 2, 2, 1, 0),
        "pickle": b"\x80\2}X\1\0\0\0aK\x09Qs.",
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def mutated_bytes(source, data):
    """Flips, cuts, repeats and overwrites."""
    data = bytearray(data)
    for _ in range(source.choice([1, 1, 1, 2, 4, 16])):
        if not data:
            break
        place = source.randrange(len(data))
        action = source.randrange(6)
        if action == 0:
            data[place] ^= 1 << source.randrange(8)
        elif action == 1:
            data[place] = source.choice(INTERESTING) & 255
        elif action == 2:
            width = source.choice(["<H", "<I", "<Q"])
            value = source.choice(INTERESTING) % (1 << 8 * struct.calcsize(width))
            data[place : place + struct.calcsize(width)] = struct.pack(width, value)
        elif action == 3:
            del data[place : place + source.choice([1, 2, 8, 64])]
        elif action == 4:
            part = bytes(data[place : place + source.choice([1, 4, 32])])
            at = source.randrange(len(data))
            data[at:at] = part
        else:
            del data[place:]
    return bytes(data)


def operations(body):
    """The opcodes of a pickle, each as its bytes."""
    places = [place for _, _, place in pickletools.genops(body)] + [len(body)]
    return [body[a:b] for a, b in itertools.pairwise(places)]


def mutated_pickle(source, parts):
    """Opcodes dropped, repeated, moved, exchanged; names and numbers replaced."""
    parts = list(parts)
    for _ in range(source.choice([1, 1, 2, 3, 8])):
        place = source.randrange(len(parts))
        action = source.randrange(7)
        if action == 0:
            parts[place] = b""
        elif action == 1:
            parts.insert(place, source.choice(parts))
        elif action == 2:
            other = source.randrange(len(parts))
            parts[place], parts[other] = parts[other], parts[place]
        elif action == 3:
            parts[place] = b"c" + source.choice(WORDS)
        elif action == 4:
            value = source.choice(INTERESTING) * source.choice([1, -1, 2**20, 2**40])
            parts[place] = b"\x8a\x0c" + value.to_bytes(12, "little", signed=True)
        elif action == 5:
            parts[place] = source.choice([b"N", b"]", b"}", b")", b"(", b"\x88", b"R", b"b", b"Q"])
        else:
            parts[place] = mutated_bytes(source, parts[place])
    return b"".join(parts)


def touch(value):
    """Reads every tensor of a loaded object that is small enough."""
    if isinstance(value, lampas.Tensor) and not value.is_meta and 0 < value.numel() < 1000:
        value.tolist()
    elif isinstance(value, dict):
        for item in value.values():
            touch(item)


class Campaign:
    """Generates files by seed and loads them."""

    def __init__(self, path=None):
        self.path = path
        self.zip = zip_file()
        self.parts = zip_parts(self.zip)
        self.legacy = legacy_file()
        self.tar = tar_file()
        self.operations = operations(self.parts["archive/data.pkl"])
        self.loaded = 0

    def file(self, source):
        """One mutated file."""
        kind = source.randrange(10)
        if kind < 2:
            return mutated_bytes(source, self.zip)
        if kind < 4:
            return mutated_bytes(source, self.legacy)
        if kind < 5:
            return self._mutated_tar(source)
        parts = dict(self.parts)
        if kind < 9:
            parts["archive/data.pkl"] = mutated_pickle(source, self.operations)
        else:
            name = source.choice(list(parts))
            parts[name] = mutated_bytes(source, parts[name])
        return rebuilt_zip(parts)

    def _mutated_tar(self, source):
        data = mutated_bytes(source, self.tar)
        if len(data) < 512 or source.random() < 0.3:
            return data
        # The header's checksum is made right again, else most files are not looked into.
        header = bytearray(data[:512])
        header[148:156] = b"        "
        header[148:156] = b"%06o\0 " % (sum(header) & 0o777777)
        return bytes(header) + data[512:]

    def read(self, data):
        """Loads from memory, or from a file, plainly or mapped."""
        if self.path is None:
            return load(io.BytesIO(data))
        with open(self.path, "wb") as stream:
            stream.write(data)
        mapped = data[:4] == b"PK\3\4" and self.loaded % 2 == 0
        return load(self.path, mmap=mapped or None)

    def run(self, seed, memory=False):
        """Loads one file. Raises AssertionError where the reader does what it must not."""
        data = self.file(random.Random(seed))
        if memory:
            tracemalloc.start()
        try:
            touch(self.read(data))
            self.loaded += 1
        except SerializationError:
            pass
        except RuntimeError as error:
            if "deserialize object on" not in str(error):
                raise AssertionError(seed) from error
        finally:
            if memory:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert peak < 2 * len(data) + ALLOWANCE, (seed, peak, len(data))


def main(first, count, path=None):
    """A long run; with a path, every file is written there and read as a file."""
    campaign = Campaign(path)
    for seed in range(first, first + count):
        try:
            campaign.run(seed, memory=seed % 50 == 0)
        except BaseException:
            print("seed", seed, flush=True)
            raise
    print(f"{count} files, {campaign.loaded} loaded, the rest refused", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
