"""The digits network as an ordinary PyTorch program: model, optimizer, training, evaluation.

Every function takes the namespace it computes with as `torch`: Lampas in the demo, and real PyTorch
beside it where the parity test compares the two. Nothing here is special to either.
"""

from collections.abc import Iterator
from typing import Any

import numpy

MEAN, DEVIATION = 0.1307, 0.3081  # of all pixels of MNIST, as fractions of white
BATCH = 64


def to_tensors(torch: Any, images: numpy.ndarray, labels: numpy.ndarray) -> tuple[Any, Any]:
    """Normalized float32 images (n, 784) and int64 labels (n,)."""
    pixels = torch.from_numpy(images).reshape(len(images), -1).float() / 255
    return (pixels - MEAN) / DEVIATION, torch.from_numpy(labels)


def make_model(torch: Any) -> Any:
    """784-512-512-10 with ReLU between, initialized by PyTorch's rules."""
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )


def make_optimizer(torch: Any, name: str, model: Any) -> Any:
    """Adam, or SGD with momentum; raises ValueError for another name."""
    if name == "adam":
        return torch.optim.Adam(model.parameters(), lr=1e-3)
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    raise ValueError(f"the optimizer is {name!r}; it can be 'adam' or 'sgd'")


def train_epoch(
    torch: Any, model: Any, optimizer: Any, images: Any, labels: Any, batch: int = BATCH
) -> Iterator[float]:
    """Go once through the images in a random order; yield the loss of each step."""
    model.train()
    for chosen in torch.randperm(len(images)).split(batch):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        yield loss.item()


def predict(torch: Any, model: Any, images: Any) -> numpy.ndarray:
    """The most likely class of each image, int64 (n,)."""
    model.eval()
    with torch.no_grad():
        return model(images).argmax(dim=1).numpy()
