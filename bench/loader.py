"""Images per second of a DataLoader with two workers that decodes and augments JPEG files.

    python bench/loader.py [--images 600] [--rounds 5]

The same Pillow transforms (random crop, resize to 224, flip, to float) under PyTorch and Lampas, in turns, each in
a process of its own; prints the ratio of medians.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent


def write_images(folder: pathlib.Path, count: int) -> None:
    """JPEG files of 500×375 smooth noise."""
    generator = np.random.default_rng(0)
    for number in range(count):
        small = generator.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:04}.jpg", quality=90)


def augment(image: Image.Image) -> np.ndarray:
    """A random crop resized to 224, perhaps mirrored, channels first, in [0, 1]."""
    width, height = image.size
    side = random.randint(200, min(width, height))
    left, top = random.randint(0, width - side), random.randint(0, height - side)
    box = (left, top, left + side, top + side)
    image = image.resize((224, 224), Image.Resampling.BILINEAR, box)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image, np.float32).transpose(2, 0, 1) / 255


def serve(name: str, folder: pathlib.Path) -> None:
    """Run an epoch for each line read; answer with its images per second."""
    sys.path.insert(0, str(ROOT))
    library: Any = __import__(name)
    data = __import__(f"{name}.utils.data", fromlist=["data"])

    class Images(data.Dataset):
        def __init__(self) -> None:
            self.files = sorted(folder.glob("*.jpg"))

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, place: int) -> Any:
            with Image.open(self.files[place]) as image:
                pixels = augment(image.convert("RGB"))
            return library.from_numpy(np.ascontiguousarray(pixels)), place

    loader = data.DataLoader(
        Images(), batch_size=32, shuffle=True, num_workers=2, persistent_workers=True
    )
    for _ in sys.stdin:
        start = time.perf_counter()
        seen = sum(len(places) for _, places in loader)
        print(seen / (time.perf_counter() - start), flush=True)


def main() -> None:
    """Compare, or serve one library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=2, metavar=("LIBRARY", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], pathlib.Path(arguments.serve[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_images(pathlib.Path(folder), arguments.images)
        rates: dict[str, list[float]] = {"torch": [], "lampas": []}
        processes = {
            name: subprocess.Popen(
                [sys.executable, __file__, "--serve", name, folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in rates
        }
        for turn in range(arguments.rounds + 1):
            for name, process in processes.items():
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write("\n")
                process.stdin.flush()
                rate = float(process.stdout.readline())
                if turn:
                    rates[name].append(rate)
        for process in processes.values():
            process.communicate()
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print("images per second:", {name: round(value) for name, value in medians.items()})
    print(f"ratio {medians['lampas'] / medians['torch']:.2f}")


if __name__ == "__main__":
    main()
