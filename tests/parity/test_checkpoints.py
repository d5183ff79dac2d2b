"""Checkpoints go both ways between PyTorch and us, bit for bit, in every format that is read."""

import collections
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

import lampas
from lampas.serialization import SerializationError

torch = pytest.importorskip("torch")

DTYPES = (
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128"
).split()


def numbers(t):
    return t.arange(24).float().reshape(4, 6)


def special(t):
    return t.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-45])


def shared(t):
    x = numbers(t)
    return {"whole": x, "row": x[1], "again": x, "turned": x.t(), "part": x[1:3, ::2]}


def state_of_optimizer(t, name, **options):
    parameters = [t.ones(2, 3, requires_grad=True), t.zeros(4, requires_grad=True)]
    optimizer = getattr(t.optim, name)(parameters, lr=0.1, **options)
    for step in range(2):
        for parameter in parameters:
            parameter.grad = t.ones(*parameter.shape) * (step + 1)
        optimizer.step()
    return {"optimizer": optimizer.state_dict(), "epoch": 3, "best": 0.5}


def state_of_module(t):
    layers = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Linear(4, 2))
    for place, parameter in enumerate(layers.parameters()):
        parameter.data = (t.arange(parameter.numel()) + place).float().reshape(parameter.shape)
    return layers.state_dict()


KINDS = {
    **{f"dtype {d}": lambda t, d=d: (t.arange(5) - 2).abs().to(getattr(t, d)) for d in DTYPES},
    "matrix": numbers,
    "transposed": lambda t: numbers(t).t(),
    "strided": lambda t: numbers(t)[1:3, ::2],
    "expanded": lambda t: t.ones(3).expand(2, 3),
    "empty": lambda t: t.zeros(0, 3),
    "number": lambda t: t.tensor(3.5),
    "special values": special,
    "requires grad": lambda t: numbers(t).requires_grad_(),
    "parameter": lambda t: t.nn.Parameter(t.ones(2)),
    "frozen parameter": lambda t: t.nn.Parameter(t.ones(2), requires_grad=False),
    "shared storage": shared,
    "list": lambda t: [1, 2.5, None, True, "text", t.ones(1)],
    "deep": lambda t: [[[[[[[[t.ones(1)]]]]]]]],
    "dict": lambda t: {"a": 1, 2: "b", (3, "c"): None, 4.5: [t.ones(1)]},
    "tuple": lambda t: (t.ones(1), (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "sets": lambda t: [{1, 2}, frozenset([3, "x"]), set()],
    "bytes": lambda t: [b"", b"ab\xff\x00", bytearray(b"q"), bytearray()],
    "integers": lambda t: [0, 255, 256, 65536, -1, -(2**31), 2**31, 10**30, -(10**30)],
    "floats": lambda t: [0.1, -0.0, 1e308, float("inf")],
    "complex": lambda t: [1 + 2j, complex(0, -0.0)],
    "texts": lambda t: ["", "ελληνικά", "\U0001f525", "a\nb"],
    "ordered dict": lambda t: collections.OrderedDict(b=t.ones(1), a=2),
    "counter": lambda t: collections.Counter("abba"),
    "default dict": lambda t: collections.defaultdict(list, {1: [2]}),
    "dtype": lambda t: [t.float32, t.bfloat16, t.bool],
    "size": lambda t: t.Size([2, 3]),
    "device": lambda t: t.device("cpu"),
    "slice and range": lambda t: [slice(1, 5, 2), range(3)],
    "NumPy numbers": lambda t: [np.float64(2.5), np.int32(-4), np.bool_(True)],
    "NumPy array": lambda t: [np.arange(6).reshape(2, 3), np.arange(6.0).reshape(3, 2).T],
    "module's state": state_of_module,
    **{
        f"{name}'s state": lambda t, name=name: state_of_optimizer(t, name)
        for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "ASGD", "Rprop")
    },
    "SGD with momentum": lambda t: state_of_optimizer(t, "SGD", momentum=0.9),
}


def plain(value):
    """Everything that must be equal, tensors bit for bit."""
    if isinstance(value, torch.Tensor | lampas.Tensor):
        kind = str(value.dtype).split(".")[-1]
        whole = value.detach()
        if kind == "bfloat16":
            whole = whole.float()
        place = (tuple(value.shape), tuple(value.stride()), value.storage_offset())
        data = np.ascontiguousarray(whole.numpy()).tobytes()
        return type(value).__name__, kind, place, value.requires_grad, data
    if isinstance(value, dict):
        return type(value).__name__, [(plain(key), plain(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(map(repr, value))
    return type(value).__name__, repr(value)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_pytorchs_files_load_here(make, form):
    value = make(torch)
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=form == "zip")
    stream.seek(0)
    assert plain(lampas.load(stream)) == plain(value)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_our_files_load_there_and_here(make):
    value = make(lampas)
    stream = io.BytesIO()
    lampas.save(value, stream)
    stream.seek(0)
    assert plain(torch.load(stream, weights_only=False)) == plain(value)
    stream.seek(0)
    assert plain(lampas.load(stream)) == plain(value)


def test_the_kinds_are_many():
    assert len(KINDS) >= 40


def test_our_state_dicts_pass_pytorchs_safe_loader():
    stream = io.BytesIO()
    lampas.save(state_of_module(lampas), stream)
    stream.seek(0)
    assert plain(torch.load(stream, weights_only=True)) == plain(state_of_module(torch))


def test_shared_storages_stay_shared():
    for make, save in ((torch, torch.save), (lampas, lampas.save)):
        stream = io.BytesIO()
        save(shared(make), stream)
        stream.seek(0)
        loaded = lampas.load(stream)
        loaded["row"][0] = 100.0
        assert loaded["whole"][1, 0].item() == 100.0
        assert loaded["turned"][0, 1].item() == 100.0
        assert loaded["whole"] is loaded["again"]


def test_attributes_of_tensors_travel():
    for make, save in ((torch, torch.save), (lampas, lampas.save)):
        tensor, parameter = make.ones(2), make.nn.Parameter(make.ones(2))
        tensor.label, parameter.label = "t", ["p"]
        stream = io.BytesIO()
        save([tensor, parameter], stream)
        for load in (lampas.load, torch.load):
            stream.seek(0)
            loaded = load(stream)
            assert [item.label for item in loaded] == ["t", ["p"]]
            assert [type(item).__name__ for item in loaded] == ["Tensor", "Parameter"]


def test_metadata_of_a_state_dict_travels():
    stream = io.BytesIO()
    torch.save(state_of_module(torch), stream)
    stream.seek(0)
    loaded = lampas.load(stream)
    assert loaded._metadata["1"] == {"version": 2}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(protocol):
    value = {"a": torch.ones(2), "b": [b"x", {1}, "long" * 100]}
    stream = io.BytesIO()
    torch.save(value, stream, pickle_protocol=protocol)
    stream.seek(0)
    assert plain(lampas.load(stream)) == plain(value)
    ours = io.BytesIO()
    lampas.save({"a": lampas.ones(2), "b": value["b"]}, ours, pickle_protocol=protocol)
    ours.seek(0)
    assert plain(torch.load(ours, weights_only=False)) == plain(value)


def test_mapped_file(tmp_path):
    torch.save({"a": numbers(torch), "b": torch.ones(1000)}, tmp_path / "x.pt")
    before = (tmp_path / "x.pt").read_bytes()
    loaded = lampas.load(tmp_path / "x.pt", mmap=True)
    loaded["b"].add_(1)
    assert loaded["b"].sum().item() == 2000
    assert plain(loaded["a"]) == plain(numbers(torch))
    assert (tmp_path / "x.pt").read_bytes() == before


def old_tar(value, path):
    """A file as PyTorch wrote it before 0.1.10."""
    storages, tensors = io.BytesIO(), io.BytesIO()
    pickle.dump(1, storages, 2)
    pickle.dump(("7", "cpu", torch.FloatStorage), storages, 2)
    data = value.contiguous().numpy().tobytes()
    storages.write(struct.pack("<q", value.numel()) + data)
    pickle.dump([], storages, 2)
    pickle.dump(1, tensors, 2)
    pickle.dump(("9", "7", torch.FloatTensor), tensors, 2)
    tensors.write(struct.pack("<q", value.dim()))
    for part in (*value.shape, *value.stride(), 0):
        tensors.write(struct.pack("<q", part))
    body = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return "9" if isinstance(item, torch.Tensor) else None

    Pickler(body, 2).dump({"x": value, "n": 3})
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, member in (("storages", storages), ("tensors", tensors), ("pickle", body)):
            info = tarfile.TarInfo(name)
            info.size = len(member.getvalue())
            archive.addfile(info, io.BytesIO(member.getvalue()))


def test_tar_archives(tmp_path, monkeypatch):
    # The classes of old tensors are names only: they need not be importable.
    monkeypatch.setitem(
        lampas.serialization.symbols.SYMBOLS,
        "torch.FloatTensor",
        lampas.serialization.symbols.SYMBOLS["torch.Tensor"],
    )
    old_tar(numbers(torch), tmp_path / "x.tar")
    loaded = lampas.load(tmp_path / "x.tar")
    assert loaded["n"] == 3
    assert plain(loaded["x"]) == plain(numbers(torch))
    data = (tmp_path / "x.tar").read_bytes()
    with pytest.raises(SerializationError):
        lampas.load(io.BytesIO(data[:1500]))
