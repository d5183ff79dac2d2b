"""Data: a dataset of our own, batches in random order, workers, samplers, a collate function."""

import sys

import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    Subset,
    WeightedRandomSampler,
    get_worker_info,
    random_split,
)

COUNT = 40 if "--quick" in sys.argv else 400


class Spirals(Dataset):
    """Points on two spirals that wind around each other."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(count) % 2
        angle = torch.rand(count, generator=generator).sqrt() * 9
        turned = angle + self.labels * torch.pi
        self.points = torch.stack([angle * turned.cos(), angle * turned.sin()], dim=1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index):
        return self.points[index], self.labels[index]


class Words(Dataset):
    """Texts of different lengths; also tells which process read them."""

    texts = ("a torch", "lights", "the way", "through dark", "rooms")

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index):
        worker = get_worker_info()
        codes = torch.tensor([ord(letter) for letter in self.texts[index]])
        return codes, -1 if worker is None else worker.id


def pad(samples):
    """Fill texts with zeros to the longest of the batch."""
    codes, workers = zip(*samples)
    return torch.nn.utils.rnn.pad_sequence(codes, batch_first=True), list(workers)


def main() -> None:
    torch.manual_seed(0)
    spirals = Spirals(COUNT)
    train, test = random_split(spirals, [0.75, 0.25])
    print(f"{len(spirals)} points: {len(train)} to train on, {len(test)} to test")
    for number, (points, labels) in enumerate(DataLoader(train, batch_size=16, shuffle=True)):
        if number < 3:
            print(f"  batch {number}: points {tuple(points.shape)}, {labels.sum()} of class 1")

    rare = Subset(spirals, [0, 2, 4, 6, 8, 10, 12, 1])
    weights = [1.0 if label == 0 else 7.0 for _, label in rare]
    sampler = WeightedRandomSampler(weights, num_samples=64)
    labels = torch.cat([label for _, label in DataLoader(rare, batch_size=8, sampler=sampler)])
    print(f"  one in eight is of class 1; drawn by weight, {labels.float().mean():.0%} are")

    loader = DataLoader(Words(), batch_size=2, num_workers=2, collate_fn=pad)
    for codes, workers in loader:
        print(f"  texts padded to {tuple(codes.shape)}, read by worker {workers}")


if __name__ == "__main__":
    main()
