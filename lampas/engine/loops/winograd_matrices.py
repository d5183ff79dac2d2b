"""The matrices of Winograd's minimal filtering F(4, 3): y = Aᵀ[(G·g) ∘ (Bᵀ·d)] for six inputs and three taps.

Built by interpolation at points (Toom–Cook; Winograd, "Arithmetic complexity of computations", 1980; Lavin and Gray,
arXiv 1509.09308, for convolutions).  The points 0, ±1, 1/2, -2 and infinity gave the least error of those measured.

    >>> output_matrix()[1]
    (0.0, 1.0, -1.0, 0.5, -2.0, 0.0)
"""

from __future__ import annotations

from fractions import Fraction

Matrix = tuple[tuple[float, ...], ...]
POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2))
OUTPUTS, TAPS = 4, 3
INPUTS = OUTPUTS + TAPS - 1


def polynomial(roots: list[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x - root), lowest first, as many as there are inputs."""
    found = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *found]
        for degree, coefficient in enumerate(found):
            shifted[degree] -= root * coefficient
        found = shifted
    return found + [Fraction(0)] * (INPUTS - len(found))


def others(index: int) -> list[Fraction]:
    return [point for i, point in enumerate(POINTS) if i != index]


def input_matrix() -> Matrix:
    """Bᵀ, 6 × 6."""
    rows = [polynomial(others(i)) for i in range(len(POINTS))] + [polynomial(list(POINTS))]
    return floats(rows)


def filter_matrix() -> Matrix:
    """G, 6 × 3."""
    rows: list[list[Fraction]] = []
    for i, point in enumerate(POINTS):
        scale = Fraction(1)
        for other in others(i):
            scale *= point - other
        rows.append([point**k / scale for k in range(TAPS)])
    rows.append([Fraction(int(k == TAPS - 1)) for k in range(TAPS)])
    return floats(rows)


def output_matrix() -> Matrix:
    """Aᵀ, 4 × 6."""
    rows = [
        [*(point**j for point in POINTS), Fraction(int(j == OUTPUTS - 1))] for j in range(OUTPUTS)
    ]
    return floats(rows)


def floats(rows: list[list[Fraction]]) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in rows)
