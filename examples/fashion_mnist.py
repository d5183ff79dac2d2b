"""Fashion-MNIST, a whole training: augmentation, mixed precision, a schedule, checkpoints, resume.

lampas run examples/fashion_mnist.py --epochs 5 --folder runs/fashion
lampas run examples/fashion_mnist.py --epochs 8 --folder runs/fashion --resume
"""

import argparse
import time
from pathlib import Path

import torch
from clothes import load_pictures
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--until", type=int, help="stop after this epoch")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--images", type=int, help="only so many to train on")
    parser.add_argument("--half", action="store_true", help="products in bfloat16")
    parser.add_argument("--flip", action="store_true", help="mirror half of the pictures")
    parser.add_argument("--folder", type=Path, default=Path("runs/fashion"))
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--quick", action="store_true", help="a few hundred pictures, all options")
    options = parser.parse_args()
    if options.quick:
        options.images, options.half, options.flip = 640, True, True
    return options


def make_loaders(options: argparse.Namespace):
    name, (pictures, labels), (test_pictures, test_labels) = load_pictures()
    if options.images:
        pictures, labels = pictures[: options.images], labels[: options.images]
        test_pictures, test_labels = test_pictures[: options.images], test_labels[: options.images]
    mean, deviation = 0.2860, 0.3530
    train, test = ((each.float() / 255 - mean) / deviation for each in (pictures, test_pictures))
    print(f"{name}: {len(labels):,} pictures to train on, {len(test_labels):,} to test")
    return (
        DataLoader(TensorDataset(train, labels), batch_size=options.batch, shuffle=True),
        DataLoader(TensorDataset(test, test_labels), batch_size=500),
    )


def make_model() -> nn.Module:
    """The laboratory's network: 784-512-512-10."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Linear(512, 10),
    )


def accuracy(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    right = count = 0
    with torch.no_grad():
        for pictures, labels in loader:
            right += (model(pictures).argmax(1) == labels).sum().item()
            count += len(labels)
    return right / count


class Training:
    """Everything that a checkpoint has to hold."""

    def __init__(self, options: argparse.Namespace, steps: int) -> None:
        self.options = options
        self.model = make_model()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=options.lr)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, options.epochs * steps
        )
        self.flip = transforms.RandomHorizontalFlip()
        self.epoch, self.best = 0, 0.0

    def run_epoch(self, loader: DataLoader) -> float:
        self.model.train()
        total = 0.0
        for pictures, labels in loader:
            if self.options.flip:
                pictures = self.flip(pictures)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.options.half):
                loss = nn.functional.cross_entropy(self.model(pictures), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            total += loss.item()
        self.epoch += 1
        return total / len(loader)

    def save(self, path: Path) -> None:
        parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= {"epoch": self.epoch, "best": self.best, "random": torch.get_rng_state()}
        torch.save(state, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.best = state["epoch"], state["best"]
        torch.set_rng_state(state["random"])
        print(f"resumed after epoch {self.epoch}")


def main() -> None:
    options = read_options()
    torch.manual_seed(0)
    train, test = make_loaders(options)
    training = Training(options, len(train))
    options.folder.mkdir(parents=True, exist_ok=True)
    last, best = options.folder / "last.pth", options.folder / "best.pth"
    if options.resume and last.exists():
        training.load(last)
    while training.epoch < min(options.epochs, options.until or options.epochs):
        start = time.perf_counter()
        loss = training.run_epoch(train)
        seconds = time.perf_counter() - start
        right = accuracy(training.model, test)
        print(
            f"epoch {training.epoch}: loss {loss:.4f}, test accuracy {right:.2%}, "
            f"rate {training.schedule.get_last_lr()[0]:.2e}, {seconds:.1f} s"
        )
        if right > training.best:
            training.best = right
            torch.save(training.model.state_dict(), best)
        training.save(last)
    print(f"best {training.best:.2%}; checkpoints in {options.folder}")


if __name__ == "__main__":
    main()
