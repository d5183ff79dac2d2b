"""Transfer learning: a ResNet-18 that knows photographs learns clothes, or digits, in a new last layer.

lampas run examples/transfer_learning.py            # weights from the hub's cache or the network
lampas run examples/transfer_learning.py --random   # no weights: shows the steps only
"""

import argparse
import time
from urllib.error import URLError

import torch
from clothes import load_pictures
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import ResNet18_Weights, resnet18

SIZE = 64


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--random", action="store_true", help="start from random weights")
    parser.add_argument("--quick", action="store_true", help="a few images, random weights")
    options = parser.parse_args()
    if options.quick:
        options.images, options.epochs, options.random = 48, 1, True
    return options


def make_backbone(random: bool) -> nn.Module:
    """ResNet-18 with pretrained weights, or with random ones where these cannot be had."""
    if not random:
        try:
            return resnet18(weights=ResNet18_Weights.DEFAULT)
        except (URLError, OSError, RuntimeError) as error:
            print(f"no pretrained weights ({error}); going on with random ones")
    return resnet18()


def to_photographs(pictures: torch.Tensor) -> torch.Tensor:
    """Grey bytes (n, 28, 28) as what the backbone was trained on: (n, 3, SIZE, SIZE), normalized."""
    grey = pictures.unsqueeze(1).float() / 255
    large = nn.functional.interpolate(grey, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    return (large.expand(-1, 3, -1, -1) - mean) / deviation


def describe_all(backbone: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """What the frozen backbone makes of each picture: computed once, used in every epoch."""
    backbone.eval()
    with torch.no_grad():
        return torch.cat([backbone(to_photographs(part)) for part in pictures.split(16)])


def main() -> None:
    options = read_options()
    torch.manual_seed(0)
    name, (pictures, labels), (test_pictures, test_labels) = load_pictures()
    pictures, labels = pictures[: options.images], labels[: options.images]
    test_pictures = test_pictures[: options.images // 2]
    test_labels = test_labels[: options.images // 2]

    model = make_backbone(options.random)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    inputs = model.fc.in_features
    model.fc = nn.Linear(inputs, 10)  # new, and the only part that learns
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    print(f"{name}: {len(labels)} pictures; {learning:,} of {total:,} parameters learn")

    head, model.fc = model.fc, nn.Identity()
    start = time.perf_counter()
    features = describe_all(model, pictures)
    test_features = describe_all(model, test_pictures)
    print(f"described by {inputs} numbers each, {time.perf_counter() - start:.1f} s")

    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(features, labels), batch_size=16, shuffle=True)
    for epoch in range(1, options.epochs + 1):
        total_loss = 0.0
        for batch, targets in loader:
            loss = nn.functional.cross_entropy(head(batch), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.item()
        with torch.no_grad():
            right = (head(test_features).argmax(1) == test_labels).float().mean().item()
        print(f"epoch {epoch}: loss {total_loss / len(loader):.4f}, test accuracy {right:.1%}")

    model.fc = head
    for parameter in model.layer4.parameters():  # then the last stage may follow, slowly
        parameter.requires_grad_(True)
    model.train()
    groups = [{"params": model.layer4.parameters(), "lr": 1e-4}, {"params": head.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=1e-3, momentum=0.9)
    before = None
    for _ in range(2):
        loss = nn.functional.cross_entropy(model(to_photographs(pictures[:16])), labels[:16])
        before = before or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"fine-tuning the last stage: loss {before:.4f}, a step later {loss.item():.4f}")


if __name__ == "__main__":
    main()
