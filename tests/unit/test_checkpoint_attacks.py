"""Published attacks on checkpoint loaders, each as a file made here: none may do more than raise.

The sources are the advisories named in each test; the payloads are our own.
"""

import io
import pickle
import struct
import tarfile
import time
import zipfile

import pytest

import lampas
from lampas.serialization import SerializationError, load, save
from lampas.serialization.zip_writer import ZipWriter

EXECUTED = []


def payload(*arguments):
    """What an attacker's pickle would call."""
    EXECUTED.append(arguments)
    return {}


class Attack:
    def __init__(self, function=payload, arguments=("owned",)):
        self.function = function
        self.arguments = arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.fixture(autouse=True)
def nothing_is_executed():
    EXECUTED.clear()
    yield
    assert EXECUTED == []


def archive(body, records=None, prefix="archive/", byteorder=b"little"):
    """A checkpoint with the given pickle and storages."""
    stream = io.BytesIO()
    writer = ZipWriter(stream)
    writer.add(f"{prefix}data.pkl", body)
    if byteorder is not None:
        writer.add(f"{prefix}byteorder", byteorder)
    for key, data in (records or {}).items():
        writer.add(f"{prefix}data/{key}", data)
    writer.add(f"{prefix}version", b"3\n")
    writer.close()
    return stream.getvalue()


def refused(data, text=None):
    with pytest.raises(SerializationError, match=text) as raised:
        load(io.BytesIO(data))
    return str(raised.value)


def name(text):
    module, _, last = text.rpartition(".")
    return b"c" + module.encode() + b"\n" + last.encode() + b"\n"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value):
    data = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + data


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


def storage(kind="FloatStorage", key="0", location="cpu", numel=4, word="storage"):
    parts = (text(word), name(f"torch.{kind}"), text(key), text(location), integer(numel))
    return tuple_of(*parts) + b"Q"


def tensor(source=None, offset=0, shape=(4,), strides=(1,), extra=b"\x89"):
    rebuild = name("torch._utils._rebuild_tensor_v2")
    hooks = name("collections.OrderedDict") + b")R"
    parts = (
        storage() if source is None else source,
        integer(offset),
        tuple_of(*map(integer, shape)),
        tuple_of(*map(integer, strides)),
        extra,
        hooks,
    )
    return rebuild + tuple_of(*parts) + b"R"


def pickled(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


DATA = {"0": struct.pack("<4f", 1, 2, 3, 4)}


def test_the_builders_here_build_a_good_file():
    loaded = load(io.BytesIO(archive(pickled(tensor()), DATA)))
    assert loaded.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_reduce_of_a_function(protocol):
    """The oldest attack: __reduce__ names a callable."""
    if protocol == 0:
        refused(archive(pickle.dumps(Attack(), 0)), "is code or an unknown type")
    else:
        refused(archive(pickle.dumps([Attack()], protocol)), "is code or an unknown type")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "__builtin__.exec",
        "builtins.getattr",
        "torch.load",
        "torch.hub.load",
        "torch.utils.collect_env.run",
        "torch.jit.load",
        "torch._utils.__builtins__",
        "torch.nn.modules.module.Module",
        "numpy.testing._private.utils.runstring",
        "pip.main",
        "collections.OrderedDict.fromkeys",
    ],
)
def test_names_that_scanners_have_missed(target):
    """picklescan's CVE-2025-1716, -1889, -1944, -10155 … and fickling's allowlist: denylists fail."""
    module, _, last = target.rpartition(".")
    body = pickled(name(f"{module}.{last}"), text("x"), b"\x85R")
    refused(archive(body), "is code or an unknown type")
    stacked = b"\x80\x04" + text(module) + text(last) + b"\x93)R."
    refused(archive(stacked), "is code or an unknown type")


def test_dotted_names_are_not_followed():
    body = b"\x80\x04" + text("torch") + text("Tensor.__init__.__globals__") + b"\x93."
    refused(archive(body), "is code or an unknown type")


def test_weights_only_false_changes_nothing():
    data = archive(pickle.dumps(Attack(), 2))
    with pytest.raises(SerializationError):
        load(io.BytesIO(data), weights_only=False)


def test_the_old_containers_run_on_the_same_machine():
    """CVE-2025-32434: the legacy and tar paths ran Python's pickle under weights_only."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    legacy = b"".join(pickle.dumps(part, 2) for part in head)
    refused(legacy + pickle.dumps(Attack(), 2) + pickle.dumps([], 2), "is code")
    refused(pickle.dumps(Attack(), 2), "is code")
    for place in range(3):
        members = [pickle.dumps(0, 2), pickle.dumps(0, 2), pickle.dumps({}, 2)]
        members[0] += pickle.dumps([], 2)
        members[place] = pickle.dumps(Attack(), 2)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for label, member in zip(("storages", "tensors", "pickle"), members, strict=True):
                info = tarfile.TarInfo(label)
                info.size = len(member)
                tar.addfile(info, io.BytesIO(member))
        refused(stream.getvalue(), "is code")


def test_tar_members_are_not_extracted(tmp_path):
    """Path traversal and links in a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        link = tarfile.TarInfo("storages")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "x")
        tar.addfile(link)
    refused(stream.getvalue(), "no plain file")


def test_items_cannot_be_set_on_a_tensor():
    """CVE-2026-24747: SETITEM on what is no dict."""
    body = pickled(tensor(), integer(0), b"K\x01s")
    refused(archive(body, DATA), "sets an item of a Tensor")
    refused(archive(pickled(b"]K\x00K\x01s")), "sets an item of a list")
    refused(archive(pickled(b"}K\x01a")), "appends to a dict")
    refused(archive(pickled(b"\x8f(K\x01e")), "appends to a set")


def test_the_declared_size_must_be_the_record():
    """CVE-2026-24747: numel in the pickle against the size of the record."""
    for numel in (3, 5, 0, 2**40, 2**61):
        refused(archive(pickled(tensor(storage(numel=numel), shape=(1,))), DATA))


def test_sizes_do_not_overflow():
    """pytorch #181310: numel times itemsize beyond 64 bits, and negative counts."""
    for numel in (2**62, 2**63, 2**64 + 4, -1, -4):
        refused(archive(pickled(tensor(storage(numel=numel))), DATA))
    for shape, strides in [
        ((2**62, 4), (1, 1)),
        ((-1,), (1,)),
        ((4,), (-1,)),
        ((2,), (2**63,)),
        ((4,), (1, 1)),
        ((1,) * 65, (1,) * 65),
        ((5,), (1,)),
    ]:
        refused(archive(pickled(tensor(shape=shape, strides=strides)), DATA))
    refused(archive(pickled(tensor(offset=1)), DATA), "reaches to element 5")
    refused(archive(pickled(tensor(offset=-1)), DATA))
    refused(archive(pickled(tensor(offset=5, shape=(0,))), DATA))


def test_a_small_file_cannot_ask_for_much_memory():
    """A legacy file of 334 bytes that made PyTorch allocate gigabytes."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    legacy = b"".join(pickle.dumps(part, 2) for part in head)
    body = pickled(tensor(storage(numel=2**40), shape=(1,)))
    legacy_storage = body.replace(b"tQ", b"NtQ", 1)
    refused(legacy + legacy_storage + pickle.dumps(["0"], 2) + struct.pack("<q", 2**40))


def test_types_inside_a_tensor():
    for source in (
        b"N",
        tensor(),
        storage(word="module"),
        tuple_of(text("storage")) + b"Q",
        text("storage") + b"Q",
        storage(kind="float32"),
    ):
        refused(archive(pickled(tensor(source)), DATA))
    refused(archive(pickled(tensor(extra=b"K\x01")), DATA))
    refused(archive(pickled(storage(key="../data.pkl")), DATA))
    integers = tensor(storage(kind="IntStorage"), extra=b"\x88")
    refused(archive(pickled(integers), DATA), "requires grad")


def test_the_same_storage_under_two_sizes():
    second = tensor(storage(kind="DoubleStorage", numel=4), shape=(1,))
    refused(archive(pickled(b"(", tensor(), second, b"t"), DATA), "two sizes")


def test_objects_of_the_file_never_speak_in_errors():
    """CVE-2026-24747: text of an attacker's object in the message."""
    message = refused(archive(pickled(name("evil.\x1b[31mred" + "A" * 500), b")R")))
    assert "\x1b" not in message
    assert "A" * 200 not in message


MALFORMED = [
    b"",
    b".",
    b"\x80\x02",
    b"\x80\x02.",
    b"\x80\x09N.",
    b"\x80\x02N",
    b"\x80\x02NN.",
    b"\x80\x02(.",
    b"\x80\x02R.",
    b"\x80\x02t.",
    b"\x80\x02h\x05.",
    b"\x80\x02q\x00.",
    b"\x80\x02}K\x01u.",
    b"\x80\x02}(K\x01u.",
    b"\x80\x02}]K\x01s.",
    b"\x80\x02}}K\x01s.",
    b"\x80\x02\x8f(]\x90.",
    b"\x80\x02Inope\n.",
    b"\x80\x02Fnope\n.",
    b"\x80\x02S'a\\x41'\n.",
    b"\x80\x02X\xff\xff\xff\xffabc.",
    b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    b"\x80\x02B\xff\xff\xff\xffabc.",
    b"\x80\x02\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.",
    b"\x80\x02\x8b\xff\xff\xff\x7fa.",
    b"\x80\x02T\xff\xff\xff\xffa.",
    b"\x80\x02NNb.",
    b"\x80\x02}}b.",
    b"\x80\x02K\x01Q.",
    b"\x80\x02P1\n.",
    b"\x80\x02(cos\nsystem\no.",
    b"\x80\x02(ios\nsystem\n.",
    b"\x80\x02\x82\x01.",
    b"\x80\x05\x97.",
    b"\x80\x02c\xff\n\xff\n.",
    b"\x80\x02K\x01K\x01\x93.",
    b"\x80\x02" + name("torch.Size") + b"K\x01R.",
    b"\x80\x02" + name("torch.Size") + b"(](Nett\x85R.",
    b"\x80\x02" + name("collections.OrderedDict") + b"](K\x01e\x85R.",
    b"\x80\x02" + name("builtins.complex") + text("1") + b"N\x86R.",
    b"\x80\x02" + name("builtins.set") + b"](]e\x85R.",
    b"\x80\x02" + name("builtins.bytes") + integer(10**12) + b"\x85R.",
    b"\x80\x02" + name("builtins.bytearray") + integer(10**12) + b"\x85R.",
    b"\x80\x02" + name("_codecs.encode") + text("41") + text("hex") + b"\x86R.",
    b"\x80\x02" + name("torch.device") + text("nonsense") + b"\x85R.",
    b"\x80\x02" + name("collections.defaultdict") + name("os.system") + b"\x85R.",
    b"\x80\x02" + name("numpy.dtype") + text("O8") + b"\x89\x88\x87R.",
]


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed_pickles(body):
    """pytorch #127525: IndexError, KeyError and struct.error leaked out of the loader."""
    refused(archive(body))


def test_object_arrays_of_numpy():
    scalar = name("numpy.core.multiarray.scalar")
    kind = name("numpy.dtype") + text("O") + b"\x89\x88\x87R"
    refused(archive(pickled(scalar, kind, b"C\x08AAAAAAAA\x86R")))


def test_a_state_cannot_replace_methods():
    ordered = name("collections.OrderedDict") + b")R}" + text("keys") + b"K\x01sb"
    refused(archive(pickled(ordered)), "hides a method")


def test_deep_keys_do_not_overflow_the_stack():
    deep = b"}" + b")" + b"\x85" * 100_000 + b"K\x01s"
    refused(archive(pickled(deep)))
    frozen = b"(" * 1 + b")" + b"\x85" * 100_000 + b"\x91"
    refused(archive(pickled(frozen)))


def test_deep_lists_load_and_die_quietly():
    count = 50_000
    body = pickled(b"]" * count + b"a" * (count - 1))
    assert load(io.BytesIO(archive(body))) is not None


def test_laughter_is_not_a_bomb():
    """Lists of lists of lists, each nine times: references, not copies."""
    body = b"]K\x00aq\x000"
    for level in range(1, 200):
        body += b"]" + b"".join(b"h" + bytes([level - 1]) + b"a" for _ in range(9))
        body += b"q" + bytes([level]) + b"0"
    body += b"h" + bytes([199])
    started = time.monotonic()
    load(io.BytesIO(archive(pickled(body))))
    assert time.monotonic() - started < 30


def test_big_endian_is_refused():
    refused(archive(pickled(b"N"), byteorder=b"big"), "big-endian")
    refused(archive(pickled(b"N"), byteorder=b"odd"), "byte order")
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": False}]
    refused(b"".join(pickle.dumps(part, 2) for part in head), "big-endian")


def with_zipfile(*entries, **options):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as target:
        for label, data in entries:
            target.writestr(label, data)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_tricks_with_zip_archives():
    """Archives that two readers understand differently (picklescan CVE-2025-10156, -10157)."""
    good = archive(pickled(tensor()), DATA)
    body = pickled(b"N")
    refused(with_zipfile(("a/data.pkl", body), ("a/data.pkl", body)), "two records")
    refused(with_zipfile(("a/data.pkl", body), compression=zipfile.ZIP_DEFLATED), "compressed")
    refused(with_zipfile(("a/data.pkl", body), ("b/data.pkl", body)), "no single data.pkl")
    refused(with_zipfile(("data.pkl", body)), "no single data.pkl")
    refused(with_zipfile(("a/b/data.pkl", body)), "no single data.pkl")
    refused(with_zipfile(("a/../data.pkl", body)), "bad name")
    refused(with_zipfile(("/a/data.pkl", body)), "bad name")
    refused(with_zipfile(("a/data.pkl", body), ("a/constants.pkl", body)), "TorchScript")
    refused(with_zipfile(), "no single data.pkl|unknown format|magic")
    refused(good + b"x", "directory")
    refused(good[:-1], "directory")
    refused(good[: len(good) // 2], "directory")
    flipped = bytearray(good)
    flipped[good.index(DATA["0"])] ^= 1
    refused(bytes(flipped), "checksum")
    renamed = good.replace(b"archive/data.pkl", b"archive/datb.pkl", 1)
    refused(renamed, "headers differ")
    encrypted = bytearray(good)
    encrypted[good.index(b"PK\1\2") + 8] |= 1
    refused(bytes(encrypted), "encrypted")
    refused(archive(pickled(tensor())), "no record")


def test_overlapping_records():
    """A zip bomb of one record seen many times."""
    good = bytearray(archive(pickled(b"(", tensor(), b"t"), {"0": DATA["0"], "1": DATA["0"]}))
    places = [place for place in range(len(good)) if good[place : place + 4] == b"PK\1\2"]
    by_name = {bytes(good[place + 46 : place + 46 + good[place + 28]]): place for place in places}
    first, second = by_name[b"archive/data/0"], by_name[b"archive/data/1"]
    good[second + 42 : second + 46] = good[first + 42 : first + 46]
    refused(bytes(good), "headers differ|overlaps")


def test_mapping_makes_the_same_checks(tmp_path):
    """A proof of concept of 2026: mmap=True accepted what mmap=False refused."""
    bad = [
        archive(pickled(tensor(storage(numel=5))), DATA),
        archive(pickle.dumps(Attack(), 2)),
        archive(pickled(tensor(offset=1)), DATA),
        b"",
        b"PK\3\4",
    ]
    damaged = bytearray(archive(pickled(tensor()), DATA))
    damaged[damaged.index(DATA["0"])] ^= 1
    for data in (*bad, bytes(damaged)):
        path = tmp_path / "x.pt"
        path.write_bytes(data)
        with pytest.raises(SerializationError):
            load(path, mmap=True)


def test_a_gpus_file_needs_map_location():
    data = archive(pickled(tensor(storage(location="cuda:0"))), DATA)
    with pytest.raises(RuntimeError, match="map_location"):
        load(io.BytesIO(data))
    for location in ("cpu", lampas.device("cpu"), {"cuda:0": "cpu"}, lambda storage, place: None):
        assert load(io.BytesIO(data), map_location=location).tolist() == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(RuntimeError, match="no such device"):
        load(io.BytesIO(data), map_location="cuda:1")


class Point:
    """A class of the program's own."""

    def __init__(self, x):
        self.x = x


def test_own_classes_need_to_be_registered():
    stream = io.BytesIO()
    save({"p": Point(3)}, stream)
    data = stream.getvalue()
    refused(data, "add_safe_globals")
    entry = (Point, f"{Point.__module__}.Point")
    with lampas.serialization.safe_globals([entry]):
        assert load(io.BytesIO(data))["p"].x == 3
    refused(data, "add_safe_globals")
    assert load(io.BytesIO(data), unsafe=True)["p"].x == 3


def test_modules_need_the_unsafe_way():
    model = lampas.nn.Linear(2, 3)
    stream = io.BytesIO()
    save(model, stream)
    refused(stream.getvalue(), "unsafe=True")
    loaded = load(io.BytesIO(stream.getvalue()), unsafe=True)
    assert type(loaded) is lampas.nn.Linear
    assert loaded.weight.tolist() == model.weight.tolist()
