"""Looking up models and weights, and fetching weights through the hub's cache."""

import hashlib
import http.server
import pickle
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

import lampas
from lampas import hub
from lampas.vision import models
from lampas.vision.models import ResNet18_Weights


def test_weights_know_their_facts() -> None:
    weights = ResNet18_Weights.DEFAULT
    assert weights is ResNet18_Weights.IMAGENET1K_V1
    assert weights.url.endswith("resnet18-f37072fd.pth")
    assert weights.meta["num_params"] == 11689512
    assert len(weights.meta["categories"]) == 1000
    assert weights.meta["categories"][207] == "golden retriever"
    assert repr(weights) == "ResNet18_Weights.IMAGENET1K_V1"
    assert models.ResNet50_Weights.DEFAULT.name == "IMAGENET1K_V2"
    assert pickle.loads(pickle.dumps(weights)) is weights


def test_weights_prepare_images() -> None:
    prepare = ResNet18_Weights.DEFAULT.transforms()
    image = lampas.full((3, 300, 280), 255, dtype=lampas.uint8)
    prepared = prepare(image)
    assert prepared.shape == (3, 224, 224)
    assert prepared[0, 0, 0].item() == pytest.approx((1 - 0.485) / 0.229)
    assert models.EfficientNet_B0_Weights.DEFAULT.transforms().interpolation.value == "bicubic"


def test_looking_up() -> None:
    assert models.get_weight("ResNet18_Weights.DEFAULT") is ResNet18_Weights.DEFAULT
    assert models.get_model_weights("resnet18") is ResNet18_Weights
    assert models.get_model_weights(models.resnet18) is ResNet18_Weights
    assert models.list_models(include="vgg1?", exclude=["vgg19*"]) == ["vgg11", "vgg13", "vgg16"]
    assert models.list_models(module=models) == models.list_models()
    with pytest.raises(ValueError, match="Unknown model"):
        models.get_model("resnet19")
    with pytest.raises(ValueError, match="Invalid weight name"):
        models.get_weight("DEFAULT")
    with pytest.raises(TypeError, match="Invalid Weight class"):
        models.resnet18(weights=models.ResNet50_Weights.DEFAULT)
    with pytest.raises(KeyError):
        models.resnet18(weights="IMAGENET1K_V7")


# The hub ------------------------------------------------------------------------------------------


class _Server:
    """Serves one file; can cut answers off, and counts the bytes asked for."""

    def __init__(self, content: bytes) -> None:
        outer = self
        self.content, self.cut, self.ranges = content, 0, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                start = int(asked.split("=")[1].rstrip("-")) if asked else 0
                body = outer.content[start:]
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: outer.cut] if outer.cut else body)
                outer.cut = 0

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def saved(tmp_path: Path) -> bytes:
    path = tmp_path / "saved.pth"
    lampas.save({"weight": lampas.arange(5.0)}, path)
    return path.read_bytes()


@pytest.fixture
def server(saved: bytes) -> Iterator[_Server]:
    running = _Server(saved)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hub, "_chosen_directory", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


def _named(content: bytes) -> str:
    return f"small-{hashlib.sha256(content).hexdigest()[:8]}.pth"


def test_fetched_once_and_kept(server: _Server, cache: Path) -> None:
    address = f"{server.url}/{_named(server.content)}"
    for _ in range(2):
        state = hub.load_state_dict_from_url(address, check_hash=True, progress=False)
        assert state["weight"].tolist() == [0, 1, 2, 3, 4]
    assert server.ranges == [None]
    assert [path.name for path in cache.iterdir()] == [_named(server.content)]


def test_a_cut_download_is_continued(server: _Server) -> None:
    server.cut = 300
    address = f"{server.url}/{_named(server.content)}"
    hub.load_state_dict_from_url(address, check_hash=True, progress=False)
    assert server.ranges == [None, "bytes=300-"]


def test_a_wrong_hash_is_refused(server: _Server, cache: Path) -> None:
    with pytest.raises(RuntimeError, match="invalid hash value"):
        hub.load_state_dict_from_url(
            f"{server.url}/a-00000000.pth", check_hash=True, progress=False
        )
    assert not list(cache.iterdir())


def test_offline_says_where_the_file_belongs(cache: Path) -> None:
    with pytest.raises(urllib.error.URLError) as caught:
        hub.load_state_dict_from_url("http://127.0.0.1:1/a-00000000.pth", progress=False)
    assert str(cache / "a-00000000.pth") in str(caught.value.reason)


def test_weights_come_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.squeezenet1_1()
    cache.mkdir(parents=True)
    name = models.SqueezeNet1_1_Weights.DEFAULT.url.rsplit("/", 1)[1]
    lampas.save(model.state_dict(), cache / name)
    loaded = models.squeezenet1_1(weights="DEFAULT")
    assert lampas.equal(loaded.features[0].weight, model.features[0].weight)
    with pytest.warns(UserWarning, match="'pretrained' is deprecated"):
        models.squeezenet1_1(pretrained=True)
    with pytest.raises(ValueError, match="num_classes"):
        models.squeezenet1_1(weights="DEFAULT", num_classes=10)


def test_hub_directory_can_be_chosen(tmp_path: Path) -> None:
    assert hub.get_dir() == str(tmp_path / "home" / "hub")
    hub.set_dir(tmp_path / "other")
    assert hub.get_dir() == str(tmp_path / "other")


def test_local_repositories(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text(
        "def double(x):\n    'Twice x.'\n    return 2 * x\n\ndef _hidden():\n    pass\n"
    )
    assert hub.list(str(tmp_path), source="local") == ["double"]
    assert hub.help(str(tmp_path), "double", source="local") == "Twice x."
    assert hub.load(str(tmp_path), "double", 4, source="local") == 8
    with pytest.raises(RuntimeError, match="Cannot find callable"):
        hub.load(str(tmp_path), "triple", source="local")
    with pytest.raises(NotImplementedError, match="GitHub"):
        hub.load("pytorch/vision", "resnet18")
