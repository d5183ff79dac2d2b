"""Trains a small network on handwritten digits: an ordinary PyTorch program.

Run it with `lampas run examples/digits.py`, or with `python examples/digits.py` where PyTorch is
installed; both print the same losses.
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lampas.data import load_digits


def tensors(images, labels):
    pixels = torch.from_numpy(images).reshape(-1, 784).float() / 255
    return TensorDataset((pixels - 0.1307) / 0.3081, torch.from_numpy(labels))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-3)
    options = parser.parse_args()

    torch.manual_seed(0)
    data = load_digits()
    train = DataLoader(tensors(data.train_images, data.train_labels), batch_size=64, shuffle=True)
    test = DataLoader(tensors(data.test_images, data.test_labels), batch_size=500)
    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, options.epochs + 1):
        total = 0.0
        for images, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        with torch.no_grad():
            right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in test)
        print(f"epoch {epoch}: loss {total / len(train):.4f}, test accuracy {right / 10:.1f} %")


if __name__ == "__main__":
    main()
