"""By how much the other scores of a row reach the margins below its labels' scores.

The sum over labels l and others j of max(0, 1 - x_l + x_j) needs no pair: with the others sorted, the
number and the sum of those above x_l - 1 come from one search and a running sum, and how many labels
an other reaches from a search among the sorted thresholds. Numbers are summed in double precision.
"""

from __future__ import annotations

import numpy as np

from lampas.engine.host.searching import search

Array = np.ndarray


def label_margins(scores: Array, labels: Array) -> tuple[Array, Array]:
    """(N,) sums over the row of (N, C) scores, divided by C, and their derivatives (N, C).

    The labels of a row end before the first negative number.
    """
    count = scores.shape[1]
    if (labels >= count).any():
        raise RuntimeError("multilabel_margin_loss: argument #2 'target' is out of range")
    x = scores.astype(np.float64)
    listed = np.logical_and.accumulate(labels >= 0, axis=1)
    index = np.where(listed, labels, 0)
    rows = np.arange(len(x))[:, None]
    is_label = np.zeros(x.shape, bool)
    is_label[np.broadcast_to(rows, x.shape)[listed], index[listed]] = True
    others = np.sort(np.where(is_label, -np.inf, x), axis=1)
    thresholds = np.take_along_axis(x, index, 1) - 1
    first = search(others, thresholds, "right")
    above = np.zeros((len(x), count + 1))
    np.cumsum(np.where(others == -np.inf, 0, others)[:, ::-1], axis=1, out=above[:, 1:])
    reached = np.where(listed, count - first, 0)
    sums = np.where(listed, np.take_along_axis(above, count - first, 1), 0)
    losses = (sums - np.where(reached > 0, reached * thresholds, 0)).sum(1) / count
    ordered = np.sort(np.where(listed, thresholds, np.inf), axis=1)
    gradient = np.where(is_label, 0, search(ordered, x, "left")).reshape(-1).astype(np.float64)
    places = (rows * count + index).reshape(-1)
    gradient -= np.bincount(places, reached.reshape(-1), x.size)
    kind = scores.dtype
    return losses.astype(kind), (gradient.reshape(x.shape) / count).astype(kind)
