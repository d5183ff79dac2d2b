"""Writes the Markdown table of a comparison from the file that `compare.py --json` left.

    python bench/table.py FILE [--names mlp-adam cnn …]

Prints to standard output, for the README: one row a workload, ratios above 1 where Lampas is faster.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.contestants import OURS
from bench.ratios import digits, geometric_mean

TITLES = {
    "torch": "PyTorch",
    "torch-compile": "torch.compile",
    "jax": "JAX",
    "tinygrad": "tinygrad",
    "lampas-compile": "lampas.compile",
    "lampas": "Lampas",
}


def markdown(results: dict[str, Any], names: Sequence[str] = ()) -> str:
    """The table of these workloads, or of all, with a last row of means."""
    contestants = results["contestants"]
    theirs = [name for name in contestants if name != OURS]
    rows = [row for row in results["rows"] if not names or row["name"] in names]
    heads = [f"{TITLES[name]} ms" for name in contestants]
    heads += ["ratio" if name == "torch" else f"to {TITLES[name]}" for name in theirs]
    lines = [line("workload", *heads), line("---", *["---:"] * len(heads))]
    for row in rows:
        times = [row["milliseconds"].get(name) for name in contestants]
        cells = ["fails" if value is None else digits(value) for value in times]
        cells += [ratio_cell(row["ratios"].get(name)) for name in theirs]
        lines.append(line(row["description"].rstrip("."), *cells))
    means = []
    for name in theirs:
        known = [row["ratios"][name]["middle"] for row in rows if name in row["ratios"]]
        means.append(f"**{geometric_mean(known):.2f}**" if known else "")
    lines.append(line("geometric mean", *[""] * len(contestants), *means))
    return "\n".join(lines) + "\n"


def ratio_cell(found: dict[str, float] | None) -> str:
    """A ratio with its spread."""
    if found is None:
        return "–"
    return f"{found['middle']:.2f} ({found['lowest']:.2f} – {found['highest']:.2f})"


def line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Write the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--names", nargs="*", default=(), help="only these workloads")
    given = parser.parse_args()
    sys.stdout.write(markdown(json.loads(given.file.read_text()), given.names))


if __name__ == "__main__":
    main()
