"""The matrices of Winograd's minimal filtering F(m, 3): y = Aᵀ[(G·g) ∘ (Bᵀ·d)] for m + 2 inputs and three taps.

Built by interpolation at points (Toom–Cook; Winograd, "Arithmetic complexity of computations", 1980; Lavin and Gray,
arXiv 1509.09308, for convolutions).  For m = 4 the points 0, ±1, 1/2, -2 and infinity gave the least error of those
measured.  The derivative by g is Gᵀ[(A·ȳ) ∘ (Bᵀ·d)]: the same matrices serve all three convolutions of a layer.

Images of 2×2 have a way of their own (`SINGLE`): the image is one tile, and with the zeros around it three products a
side do instead of F(2, 3)'s four: w₁(x₀+x₁), (w₂-w₁)x₁ and (w₀-w₁)x₀ (Karatsuba's trick for a Toeplitz matrix).

A product with such a matrix takes fewer additions where rows share sums (`Steps`): with points ±1 and a pair whose product is
-1, all rows of F(4, 3)'s Bᵀ are made of d[i + 2] - d[i] and of these plus 1.5·d[i + 1].

A *way* is a number: m, or `SINGLE`.

    >>> output_matrix(4)[1]
    (0.0, 1.0, -1.0, 0.5, -2.0, 0.0)
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

Matrix = tuple[tuple[float, ...], ...]
Terms = tuple[tuple[int, float], ...]  # places of values, and what they are multiplied by
Points = tuple[Fraction, ...]
POINTS: dict[int, Points] = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2)),
}
TAPS = 3
SINGLE = 1


def outputs_of(way: int) -> int:
    """Results along one side of a tile."""
    return 2 if way == SINGLE else way


def inputs_of(way: int) -> int:
    """Inputs along one side of a tile, with what of them lies outside of the image."""
    return outputs_of(way) + TAPS - 1


def elements_of(way: int) -> int:
    """Products along one side of a tile."""
    return 3 if way == SINGLE else inputs_of(way)


def polynomial(roots: Points, length: int) -> list[Fraction]:
    """The coefficients of Π (x - root), lowest first, zeros up to `length`."""
    found = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *found]
        for degree, coefficient in enumerate(found):
            shifted[degree] -= root * coefficient
        found = shifted
    return found + [Fraction(0)] * (length - len(found))


def others(points: Points, index: int) -> Points:
    return points[:index] + points[index + 1 :]


def input_matrix(way: int) -> Matrix:
    """Bᵀ, elements × inputs."""
    if way == SINGLE:
        return (0.0, 1.0, 1.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0)
    points, size = POINTS[way], inputs_of(way)
    rows = [polynomial(others(points, i), size) for i in range(len(points))]
    return floats([*rows, polynomial(points, size)])


def filter_matrix(way: int) -> Matrix:
    """G, elements × 3."""
    if way == SINGLE:
        return (0.0, 1.0, 0.0), (0.0, -1.0, 1.0), (1.0, -1.0, 0.0)
    points = POINTS[way]
    rows: list[list[Fraction]] = []
    for i, point in enumerate(points):
        scale = Fraction(1)
        for other in others(points, i):
            scale *= point - other
        rows.append([point**k / scale for k in range(TAPS)])
    rows.append([Fraction(int(k == TAPS - 1)) for k in range(TAPS)])
    return floats(rows)


def output_matrix(way: int) -> Matrix:
    """Aᵀ, outputs × elements."""
    if way == SINGLE:
        return (1.0, 1.0, 0.0), (1.0, 0.0, 1.0)
    points = POINTS[way]
    return floats(
        [[*(point**j for point in points), Fraction(int(j == way - 1))] for j in range(way)]
    )


def transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def floats(rows: list[list[Fraction]]) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in rows)


class Steps(NamedTuple):
    """A matrix as a chain of sums: each of `sums` weighs inputs and earlier sums (numbered on from the inputs), then `rows` do.

    >>> input_steps(4).matrix == input_matrix(4)
    True
    """

    inputs: int
    sums: tuple[Terms, ...]
    rows: tuple[Terms, ...]

    @property
    def used(self) -> list[int]:
        """The inputs that count."""
        places = {place for terms in (*self.sums, *self.rows) for place, _ in terms}
        return sorted(place for place in places if place < self.inputs)

    @property
    def matrix(self) -> Matrix:
        """The whole of it."""
        known = [[float(n == place) for n in range(self.inputs)] for place in range(self.inputs)]
        for terms in (*self.sums, *self.rows):
            known.append(
                [
                    sum(factor * known[place][n] for place, factor in terms)
                    for n in range(self.inputs)
                ]
            )
        return tuple(map(tuple, known[self.inputs + len(self.sums) :]))


def plain_steps(matrix: Matrix) -> Steps:
    """Each row by itself."""
    rows = [tuple((n, factor) for n, factor in enumerate(row) if factor) for row in matrix]
    return Steps(len(matrix[0]), (), tuple(rows))


def input_steps(way: int) -> Steps:
    """Bᵀ; for m = 4 in 14 sums instead of 20."""
    if way != 4:
        return plain_steps(input_matrix(way))
    a, b = (float(point) for point in POINTS[way][3:])
    apart = [((i + 2, 1.0), (i, -1.0)) for i in range(4)]  # 6 … 9
    through = [((i + 6, 1.0), (i + 1, -a - b)) for i in range(4)]  # 10 … 13
    rows: list[Terms] = [
        ((12, 1.0), (10, -1.0)),
        ((12, 1.0), (11, 1.0)),
        ((12, 1.0), (11, -1.0)),
        ((8, 1.0), (7, -b)),
        ((8, 1.0), (7, -a)),
        ((13, 1.0), (11, -1.0)),
    ]
    return Steps(6, (*apart, *through), tuple(rows))


def result_steps(way: int) -> Steps:
    """Aᵀ; for m = 4 the sum and the difference of the products at ±1 are shared."""
    matrix = output_matrix(way)
    if way != 4:
        return plain_steps(matrix)
    rows: list[Terms] = []
    for power, row in enumerate(matrix):
        rest = [(n, row[n]) for n in (0, 3, 4, 5) if row[n]]
        rows.append(((6 + power % 2, 1.0), *rest))
    return Steps(6, (((1, 1.0), (2, 1.0)), ((1, 1.0), (2, -1.0))), tuple(rows))


def gradient_steps(way: int) -> Steps:
    """A; for m = 4 the sums of even and odd places are shared."""
    matrix = transposed(output_matrix(way))
    if way != 4:
        return plain_steps(matrix)
    plain = plain_steps(matrix)
    rows = (plain.rows[0], ((4, 1.0), (5, 1.0)), ((4, 1.0), (5, -1.0)), *plain.rows[3:])
    return Steps(4, (((0, 1.0), (2, 1.0)), ((1, 1.0), (3, 1.0))), rows)
