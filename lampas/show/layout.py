"""Places the boxes of a directed graph without cycles in layers, and leads its edges between them.

The method is Sugiyama's: layers by the longest path; edges over several layers pass through empty
places; boxes in a layer are ordered by the mean position of their neighbours, keeping the order with the
fewest crossings; then each is drawn towards its neighbours as far as the order allows, which is a least
squares problem under an order and is solved exactly by merging neighbours that would overlap.
The same graph always gives the same layout.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
SWEEPS = 16
SIDE_GAP, LAYER_GAP, BEND_WIDTH = 18.0, 34.0, 8.0
LOOSE_PULL, BEND_PULL = 0.02, 6.0


@dataclass(frozen=True)
class Layout:
    """The centre of each box, the points of each edge from border to border, and the whole size."""

    centres: list[Point]
    paths: list[list[Point]]
    width: float
    height: float


def arrange(
    sizes: Sequence[Point], edges: Sequence[tuple[int, int]], *, down: bool = True
) -> Layout:
    """Place boxes of these (width, height) so that every edge leads down, or to the right.

    ValueError where the edges form a cycle.
    """
    thickness = [size[1] if down else size[0] for size in sizes]
    breadth = [size[0] if down else size[1] for size in sizes]
    layers = _find_layers(len(sizes), edges)
    chains, members = _insert_bends(layers, edges)
    breadth += [BEND_WIDTH] * (max(map(max, members), default=-1) + 1 - len(breadth))
    links = [pair for chain in chains for pair in itertools.pairwise(chain)]
    above, below = _neighbours(links, len(breadth))
    members = _order(members, above, below)
    across = _place_across(members, breadth, above, below, len(sizes))
    layers_at = _place_along(members, thickness)
    layer_of = {box: number for number, layer in enumerate(members) for box in layer}
    extents = [layers_at[layer_of[box]] for box in range(len(breadth))]
    points = [(x, (start + end) / 2) for x, (start, end) in zip(across, extents, strict=True)]
    paths = [_lead(chain, points, extents, thickness) for chain in chains]
    total = layers_at[-1][1] if layers_at else 0.0
    width = max((across[box] + breadth[box] / 2 for box in range(len(breadth))), default=0.0)
    if down:
        return Layout(points[: len(sizes)], paths, width, total)
    turned = [[(y, x) for x, y in path] for path in paths]
    return Layout([(y, x) for x, y in points[: len(sizes)]], turned, total, width)


def _find_layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each box: below all of its sources; a box without any, just above its users."""
    users: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for source, user in edges:
        users[source].append(user)
        missing[user] += 1
    layers = [0] * count
    has_sources = [number > 0 for number in missing]
    ready = [box for box in range(count) if not missing[box]]
    done = 0
    while ready:
        box = ready.pop()
        done += 1
        for user in users[box]:
            layers[user] = max(layers[user], layers[box] + 1)
            missing[user] -= 1
            if not missing[user]:
                ready.append(user)
    if done < count:
        raise ValueError("the edges form a cycle")
    for box in range(count):
        if users[box] and not has_sources[box]:
            layers[box] = min(layers[user] for user in users[box]) - 1
    return layers


def _insert_bends(
    layers: list[int], edges: Sequence[tuple[int, int]]
) -> tuple[list[list[int]], list[list[int]]]:
    """For each edge the boxes and bends that it passes, and for each layer what lies in it."""
    members: list[list[int]] = [[] for _ in range(max(layers, default=-1) + 1)]
    for box, layer in enumerate(layers):
        members[layer].append(box)
    number = len(layers)
    chains = []
    for source, user in edges:
        chain = [source]
        for layer in range(layers[source] + 1, layers[user]):
            members[layer].append(number)
            chain.append(number)
            number += 1
        chains.append([*chain, user])
    return chains, members


def _neighbours(
    links: Sequence[tuple[int, int]], count: int
) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in links:
        above[lower].append(upper)
        below[upper].append(lower)
    return above, below


def _order(
    members: list[list[int]], above: list[list[int]], below: list[list[int]]
) -> list[list[int]]:
    """The order within each layer with the fewest crossings among `SWEEPS` sweeps."""
    best, fewest = members, _count_crossings(members, below)
    current = members
    for sweep in range(SWEEPS):
        upward = sweep % 2 == 1
        near = below if upward else above
        current = [list(layer) for layer in current]
        for layer in reversed(current) if upward else current:
            place = {box: spot for row in current for spot, box in enumerate(row)}
            means = {
                box: sum(place[other] for other in near[box]) / len(near[box])
                if near[box]
                else float(place[box])
                for box in layer
            }
            layer.sort(key=means.__getitem__)
        crossings = _count_crossings(current, below)
        if crossings < fewest:
            best, fewest = current, crossings
    return best


def _count_crossings(members: list[list[int]], below: list[list[int]]) -> int:
    total = 0
    for upper, lower in itertools.pairwise(members):
        place = {box: spot for spot, box in enumerate(lower)}
        seen: list[int] = []
        for box in upper:
            ends = sorted(place[other] for other in below[box])
            total += sum(1 for end in ends for other in seen if other > end)
            seen.extend(ends)
    return total


def _place_across(
    members: list[list[int]],
    breadth: list[float],
    above: list[list[int]],
    below: list[list[int]],
    boxes: int,
) -> list[float]:
    """The position of each box's centre across the layers, from 0 on."""
    across = [0.0] * len(breadth)
    bends = {box for layer in members for box in layer if box >= boxes}
    near = _weigh(above, below, bends)
    for layer in members:
        _settle(layer, breadth, across, dict.fromkeys(layer, (0.0, 1.0)))
    for sweep in range(4 * SWEEPS):
        for layer in members if sweep % 2 == 0 else reversed(members):
            wanted = {}
            for box in layer:
                total = sum(weight for _, weight in near[box]) or 1.0
                mean = sum(across[other] * weight for other, weight in near[box]) / total
                wanted[box] = (mean, total)
            _settle(layer, breadth, across, wanted)
    left = min((across[box] - breadth[box] / 2 for box in range(len(breadth))), default=0.0)
    return [value - left for value in across]


def _weigh(
    above: list[list[int]], below: list[list[int]], bends: set[int]
) -> list[list[tuple[int, float]]]:
    """The neighbours of each box with their pull.

    A source that has but one user pulls little; two bends pull hard, so that long edges are straight.
    """
    loose = {box for box, users in enumerate(below) if not above[box] and len(users) == 1}

    def pull(box: int, other: int) -> float:
        if box in loose or other in loose:
            return LOOSE_PULL
        return BEND_PULL if box in bends and other in bends else 1.0

    return [
        [(other, pull(box, other)) for other in up + down]
        for box, (up, down) in enumerate(zip(above, below, strict=True))
    ]


def _settle(
    layer: list[int],
    breadth: list[float],
    across: list[float],
    wanted: dict[int, tuple[float, float]],
) -> None:
    """Put boxes as near to their wanted (position, weight) as order and sizes allow."""
    offsets = [0.0]
    for left, right in itertools.pairwise(layer):
        offsets.append(offsets[-1] + (breadth[left] + breadth[right]) / 2 + SIDE_GAP)
    groups: list[tuple[float, float, int]] = []  # mean, weight and number of members, means rising
    for box, offset in zip(layer, offsets, strict=False):
        mean, weight, count = wanted[box][0] - offset, wanted[box][1], 1
        while groups and groups[-1][0] > mean:
            other, heavy, size = groups.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + size
        groups.append((mean, weight, count))
    settled = [mean for mean, _, count in groups for _ in range(count)]
    for box, offset, mean in zip(layer, offsets, settled, strict=False):
        across[box] = mean + offset


def _place_along(members: list[list[int]], thickness: list[float]) -> list[Point]:
    """Where each layer begins and ends."""
    extents, edge = [], 0.0
    for layer in members:
        size = max((thickness[box] for box in layer if box < len(thickness)), default=0.0)
        extents.append((edge, edge + size))
        edge += size + LAYER_GAP
    return extents


def _lead(
    chain: list[int], centres: list[Point], extents: list[Point], thickness: list[float]
) -> list[Point]:
    """The points of one edge, from the border of its source to that of its user.

    It passes a layer straight, beside the boxes in it.
    """
    first, last = chain[0], chain[-1]
    path = [(centres[first][0], centres[first][1] + thickness[first] / 2)]
    for bend in chain[1:-1]:
        path += [(centres[bend][0], border) for border in extents[bend]]
    return [*path, (centres[last][0], centres[last][1] - thickness[last] / 2)]
