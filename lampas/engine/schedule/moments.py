"""Mean and variance behind a convolution come from moments that its kernel finds while its results are near.

A batch normalisation sums its input, and then the squares of what is left without the mean: two walks through memory.  Where
that input is a convolution's result as it is, the kernel writes the moments of each of its units (loops/moments.py), of which
both sums are made.

    %7 sum [0, 1, 2] %6                        %7 output [1] %6                     (3, units, channels)
    %9 subtract %6 (%8 of %7)         =>       %8 … sums of the units' sums, and of their squares and distances
    %11 sum [0, 1, 2] (multiply %9 %9)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

from lampas.engine.dtype import float32
from lampas.engine.graph import primitives as p
from lampas.engine.schedule.convolution import blocks_of
from lampas.engine.schedule.copying import GraphCopy
from lampas.engine.schedule.images import ConvolutionForm, lanes_of

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Entry, LinearGraph

Shape = tuple[int, ...]
LEAST_VALUES = 1 << 18  # fewer lie in the near caches anyway
LEAST_COLUMNS = 32  # fewer are no work for whole vectors that take turns


@final
class Sums(NamedTuple):
    """The two sums of a normalisation: entries of the product, of both sums, and of the mean between them."""

    product: int
    total: int
    mean: int
    squares: int


def find_moments(graph: LinearGraph) -> LinearGraph:
    """The settled graph with such sums made of moments."""
    products = [number for number, entry in enumerate(graph.entries) if fits(entry)]
    found = MomentsFinder(graph).sums(products) if products else []
    return MomentsWriter(found).write(graph) if found else graph


@final
class MomentsFinder:
    """Finds normalisations behind convolutions."""

    def __init__(self, graph: LinearGraph) -> None:
        self.entries = graph.entries
        self.users: list[list[int]] = [[] for _ in graph.entries]
        for number, entry in enumerate(graph.entries):
            for source in dict.fromkeys(entry.sources):
                self.users[source].append(number)

    def sums(self, products: list[int]) -> list[Sums]:
        """Those of all products that have them."""
        made = [self.sums_of(product) for product in products]
        return [each for each in made if each is not None]

    def sums_of(self, product: int) -> Sums | None:
        """The sums over all rows of a product, if there are both."""
        for total in self.through_views(product):
            if not self.sums_rows(total, product):
                continue
            for mean in self.users[total]:
                if not self.is_mean(mean, total):
                    continue
                squares = self.squares_around(product, mean)
                if squares is not None:
                    return Sums(product, total, mean, squares)
        return None

    def through_views(self, number: int) -> list[int]:
        """The users of an entry behind reshapes."""
        found: list[int] = []
        for user in self.users[number]:
            if self.entries[user].op is p.RESHAPE:
                found.extend(self.through_views(user))
            else:
                found.append(user)
        return found

    def sums_rows(self, number: int, product: int) -> bool:
        """Whether an entry adds up everything along all dimensions but the last, which is that of a product's columns."""
        entry = self.entries[number]
        if entry.op is not p.SUM or entry.dtype is not float32:
            return False
        shape = self.entries[entry.sources[0]].shape
        rows = tuple(entry.attributes[0]) == tuple(range(len(shape) - 1))
        return rows and shape[-1] == self.entries[product].shape[1]

    def is_mean(self, number: int, total: int) -> bool:
        """Whether an entry is a sum divided by its count."""
        entry = self.entries[number]
        numbers = [self.constant(source) for source in entry.sources if source != total]
        source = self.entries[self.entries[total].sources[0]]
        count = source.numel // max(source.shape[-1], 1)
        if entry.op is p.DIVIDE:
            return entry.sources[0] == total and numbers == [count]
        return entry.op is p.MULTIPLY and total in entry.sources and numbers == [1 / count]

    def constant(self, number: int) -> float | None:
        """A number behind views."""
        entry = self.entries[number]
        while entry.op.kind == "view":
            entry = self.entries[entry.sources[0]]
        return float(entry.attributes[0]) if entry.op is p.CONSTANT else None

    def squares_around(self, product: int, mean: int) -> int | None:
        """The sum of the squares of a product's distances from its mean."""
        for away in self.users[mean]:
            entry = self.entries[away]
            if entry.op is not p.SUBTRACT or entry.sources[1] != mean:
                continue
            if away not in self.through_views(product):
                continue
            for squared in self.users[away]:
                if self.entries[squared].sources == (away, away):
                    sums = [user for user in self.users[squared] if self.sums_rows(user, product)]
                    if self.entries[squared].op is p.MULTIPLY and sums:
                        return sums[0]
        return None


def fits(entry: Entry) -> bool:
    """Whether a product's kernel can find moments, of whole vectors of channels, and it pays."""
    form = entry.attributes[0] if entry.op is p.MATMUL and entry.attributes else None
    if not isinstance(form, ConvolutionForm) or form.is_depthwise or entry.dtype is not float32:
        return False
    if form.sizes.groups != 1 or entry.numel < LEAST_VALUES:
        return False
    return entry.shape[1] >= LEAST_COLUMNS and entry.shape[1] % lanes_of(float32) == 0


@final
class MomentsWriter:
    """Writes the graph again, the sums from moments."""

    def __init__(self, found: list[Sums]) -> None:
        self.copy = GraphCopy()
        self.totals = {each.total: each for each in found}
        self.squares = {each.squares: each for each in found}
        self.moments: dict[int, int] = {}

    def write(self, graph: LinearGraph) -> LinearGraph:
        """The whole graph."""
        return self.copy.write(graph, self.replacement)

    def replacement(self, number: int, entry: Entry) -> int | None:
        """What stands for a sum."""
        if number in self.totals:
            return self.summed(self.part(self.totals[number], 1), entry.shape)
        if number in self.squares:
            return self.summed(self.squares_of(self.squares[number]), entry.shape)
        return None

    def add(
        self, op: p.Primitive, sources: tuple[int, ...], shape: Shape, *attributes: object
    ) -> int:
        return self.copy.add(op, sources, shape, float32, *attributes)

    def part(self, sums: Sums, place: int) -> int:
        """The counts (0), sums (1) or squares (2) of a product's units."""
        made = self.moments.get(sums.product)
        if made is None:
            source = self.copy.places[sums.product]
            product = self.copy.entries[source]
            shape = (3, blocks_of(product.dtype, product.attributes[0]), product.shape[1])
            made = self.moments[sums.product] = self.add(p.OUTPUT, (source,), shape, 1)
        _, units, columns = self.copy.entries[made].shape
        shape = (1, units, columns)
        cut = self.add(p.SLICE, (made,), shape, (place, 0, 0), shape, (1, 1, 1))
        return self.add(p.RESHAPE, (cut,), (units, columns), (units, columns))

    def summed(self, value: int, shape: Shape) -> int:
        """The sum over units, in the shape of the entry that it replaces."""
        units, columns = self.copy.entries[value].shape
        if units > 1:  # nests reduce no dimension of size 1
            value = self.add(p.SUM, (value,), (1, columns), (0,))
        return self.add(p.RESHAPE, (value,), shape, shape)

    def squares_of(self, sums: Sums) -> int:
        """The squares of each unit around the mean of everything."""
        count, total, squares = (self.part(sums, place) for place in range(3))
        shape = self.copy.entries[count].shape
        row = (1, shape[1])
        mean = self.add(p.RESHAPE, (self.copy.places[sums.mean],), row, row)
        own = self.add(p.DIVIDE, (total, count), shape)
        away = self.add(p.SUBTRACT, (own, mean), shape)
        apart = self.add(p.MULTIPLY, (away, away), shape)
        weighted = self.add(p.MULTIPLY, (count, apart), shape)
        return self.add(p.ADD, (squares, weighted), shape)
