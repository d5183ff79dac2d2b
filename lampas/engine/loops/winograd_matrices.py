"""The matrices of Winograd's minimal filtering F(m, 3): y = Aᵀ[(G·g) ∘ (Bᵀ·d)] for m + 2 inputs and three taps.

Built by interpolation at points (Toom–Cook; Winograd, "Arithmetic complexity of computations", 1980; Lavin and Gray,
arXiv 1509.09308, for convolutions).  For m = 4 the points 0, ±1, 1/2, -2 and infinity gave the least error of those
measured.  The derivative by g is Gᵀ[(A·ȳ) ∘ (Bᵀ·d)]: the same matrices serve all three convolutions of a layer.

Images of 2×2 have a way of their own (`SINGLE`): the image is one tile, and with the zeros around it three products a
side do instead of F(2, 3)'s four: w₁(x₀+x₁), (w₂-w₁)x₁ and (w₀-w₁)x₀ (Karatsuba's trick for a Toeplitz matrix).

A *way* is a number: m, or `SINGLE`.

    >>> output_matrix(4)[1]
    (0.0, 1.0, -1.0, 0.5, -2.0, 0.0)
"""

from __future__ import annotations

from fractions import Fraction

Matrix = tuple[tuple[float, ...], ...]
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
