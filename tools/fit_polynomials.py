"""Fits the polynomials of lampas/engine/llvm/vector_math*.py and prints their coefficients.

    python tools/fit_polynomials.py [name]

Each row of FITS is a smooth function g, an interval, a degree and a weight: the polynomial p minimises the largest
|p - g|·weight there. Remez' exchange in mpmath with 60 digits: solve for a levelled error at degree + 2 points,
move the points to the extremes of the error, repeat. The error printed is that of the exact coefficients.
"""

# pyright: reportInvalidTypeForm=false, reportCallIssue=false, reportArgumentType=false, reportMissingImports=false
# mpmath is needed only here, and names its number types by variables, which no type checker takes.
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpmath import cos as mp_cos
from mpmath import matrix, mp, mpf, pi

mp.dps = 60
Function = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Fit:
    """One polynomial: p(x) close to `function` on [low, high], errors weighed by `weight`."""

    function: Function
    low: float
    high: float
    degree: int
    weight: Function = lambda x: mpf(1)


def remez(fit: Fit, rounds: int = 8, grid: int = 1500) -> tuple[list[mpf], mpf]:
    """Return coefficients, constant first, and the largest weighted error."""
    low, high, count = mpf(fit.low), mpf(fit.high), fit.degree + 2
    middle, half = (high + low) / 2, (high - low) / 2
    points = [middle - half * mp_cos(pi * i / (count - 1)) for i in range(count)]
    places = [middle - half * mp_cos(pi * i / grid) for i in range(grid + 1)]
    exact = [(fit.function(x), fit.weight(x)) for x in places]
    coefficients: list[mpf] = []
    error = mpf(0)
    for _ in range(rounds):
        coefficients = levelled(fit, points)
        errors = [
            (evaluate(coefficients, x) - g) * w for x, (g, w) in zip(places, exact, strict=True)
        ]
        error = max(abs(e) for e in errors)
        found = extremes(places, errors)
        if len(found) < count:
            break
        while len(found) > count:
            ends = (
                abs(dict(zip(places, errors, strict=True))[found[0]]),
                abs(dict(zip(places, errors, strict=True))[found[-1]]),
            )
            found = found[1:] if ends[0] < ends[1] else found[:-1]
        points = found
    return coefficients, error


def levelled(fit: Fit, points: Sequence[mpf]) -> list[mpf]:
    """Solve p(x) + (-1)^i e / weight = g(x) at the points."""
    count = len(points)
    system, right = matrix(count, count), matrix(count, 1)
    for row, x in enumerate(points):
        for column in range(count - 1):
            system[row, column] = x**column
        system[row, count - 1] = mpf(-1) ** row / fit.weight(x)
        right[row] = fit.function(x)
    solved = mp.lu_solve(system, right)
    return [solved[i] for i in range(count - 1)]


def evaluate(coefficients: Sequence[mpf], x: mpf) -> mpf:
    total = mpf(0)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def extremes(places: Sequence[mpf], errors: Sequence[mpf]) -> list[mpf]:
    """Return the place of the largest error between each two changes of its sign."""
    found: list[mpf] = []
    best = 0
    for i in range(1, len(places)):
        if (errors[i] > 0) != (errors[best] > 0):
            found.append(places[best])
            best = i
        elif abs(errors[i]) > abs(errors[best]):
            best = i
    return [*found, places[best]]


def near_zero(function: Function, series: Function) -> Function:
    """Use a function's limit where it divides by almost nothing."""
    return lambda x: series(x) if abs(x) < mpf(10) ** -15 else function(x)


def even(function: Function, series: Function) -> Function:
    """A function of z = x², from one of x; `series` of z near 0."""
    return lambda z: series(z) if abs(z) < mpf(10) ** -15 else function(mp.sqrt(z))


HALF_LN2 = float(mp.log(2)) / 2 * 1.0001
ROOT = float(mp.sqrt(2))
S_END = float(((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2) * 1.001
QUARTER = (float(pi) / 4 * 1.0005) ** 2


def exp_tail(x: mpf) -> mpf:
    return (mp.expm1(x) - x) / x**2


def log_tail(f: mpf) -> mpf:
    return (mp.log1p(f) - f + f**2 / 2) / f**3


def atanh_tail(x: mpf) -> mpf:
    """(log((1+s)/(1-s)) - 2s)/s of s."""
    return (2 * mp.atanh(x) - 2 * x) / x


# fmt: off
def normal_tail(t: mpf) -> mpf:
    """exp(y²/2)/t times the normal density's area right of y, t = 1/(1 + 0.36·y)."""
    y = (1 / t - 1) / mpf("0.36")
    return mp.exp(y * y / 2) * mp.erfc(y / mp.sqrt(2)) / 2 / t


FITS: dict[str, Fit] = {
    # e^r = 1 + r + r²·p(r)
    "EXP32": Fit(near_zero(exp_tail, lambda r: mpf(1) / 2 + r / 6), -HALF_LN2, HALF_LN2, 4, lambda r: r * r + mpf(10) ** -6),
    "EXP64": Fit(near_zero(exp_tail, lambda r: mpf(1) / 2 + r / 6), -HALF_LN2, HALF_LN2, 10, lambda r: r * r + mpf(10) ** -6),
    # 2^r = 1 + r·p(r)
    "EXP2_32": Fit(near_zero(lambda r: (2**r - 1) / r, lambda r: mp.log(2)), -0.50001, 0.50001, 4, lambda r: abs(r) + mpf(10) ** -6),
    # log(1+f) = f - f²/2 + f³·p(f)
    "LOG32": Fit(near_zero(log_tail, lambda f: mpf(1) / 3 - f / 4), 1 / ROOT - 1, ROOT - 1, 8, lambda f: f * f + mpf(10) ** -5),
    # log(1+f) = 2s + s·z·p(z), z = s², s = f/(2+f)
    "LOG64": Fit(even(lambda s: atanh_tail(s) / s**2, lambda z: mpf(2) / 3 + z * 2 / 5), 0, S_END, 6),
    # tanh x = x + x·z·p(z)
    "TANH32": Fit(even(lambda x: (mp.tanh(x) / x - 1) / x**2, lambda z: -mpf(1) / 3 + z * 2 / 15), 0, 0.625**2, 5),
    # erf x = x + x·(p(z) - 1) below 1, 1 - exp(-x²)·q(x) above
    "ERF32": Fit(even(lambda x: mp.erf(x) / x, lambda z: 2 / mp.sqrt(pi)), 0, 1.0, 6, lambda z: 1 / (mp.erf(mp.sqrt(z)) / mp.sqrt(z) if z > 0.0001 else 1)),
    "ERFCX32": Fit(lambda x: mp.exp(x * x) * mp.erfc(x), 1.0, 4.0, 7, lambda x: mp.exp(-x * x)),
    # the normal density's area right of y = exp(-y²/2)·t·p(t), t = 1/(1 + 0.36·y), y up to 14
    "AREA32": Fit(normal_tail, 1 / 6.04, 1.0, 8, lambda t: 1 / normal_tail(t)),
    # sin r = r + r·z·p(z); cos r = 1 - z/2 + z²·p(z)
    "SIN32": Fit(even(lambda r: (mp.sin(r) / r - 1) / r**2, lambda z: -mpf(1) / 6 + z / 120), 0, QUARTER, 3),
    "COS32": Fit(even(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4, lambda z: mpf(1) / 24 - z / 720), 0, QUARTER, 3),
    "SIN64": Fit(even(lambda r: (mp.sin(r) / r - 1) / r**2, lambda z: -mpf(1) / 6 + z / 120), 0, QUARTER, 6),
    "COS64": Fit(even(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4, lambda z: mpf(1) / 24 - z / 720), 0, QUARTER, 6),
    # atan x = x + x·z·p(z) for |x| <= tan(pi/8)
    "ATAN64": Fit(even(lambda x: (mp.atan(x) / x - 1) / x**2, lambda z: -mpf(1) / 3 + z / 5), 0, float(mp.tan(pi / 8)) ** 2 * 1.001, 11),
    # asin x = x + x·z·p(z) for |x| <= 1/2
    "ASIN64": Fit(even(lambda x: (mp.asin(x) / x - 1) / x**2, lambda z: mpf(1) / 6 + z * 3 / 40), 0, 0.2501, 12),
    # erfinv x = x·p(w), w = -log(1 - x²); first below 6, then in sqrt(w)
    "ERFINV_NEAR": Fit(lambda w: inverse_erf_ratio(w + 3), -3.0, 3.0, 14),
    "ERFINV_FAR": Fit(lambda v: inverse_erf_ratio((v + 4) ** 2), mp.sqrt(6) - 4, 2.5, 14),
    # the same of doubles: erf x = x·p(x²) below 1; (1 + 2y)·exp(y²)·erfc(y) = p((y - c)/(y + c)), y up to infinity
    "ERF64": Fit(even(lambda x: mp.erf(x) / x, lambda z: 2 / mp.sqrt(pi)), 0, 1.0, 11),
    "ERFCX64": Fit(lambda t: scaled_tail(t, mpf("3.75")), -1, 1, 22),
    # lgamma(2 + s) = s·p(s)
    "LGAMMA64": Fit(near_zero(lambda s: mp.loggamma(2 + s) / s, lambda s: 1 - mp.euler), -0.5, 0.5, 17),
    # floats held in double: e^r = p(r), log(1+f) = f·p(f), atan x = x·p(x²), and erfc as above, for y up to 10.3
    "EXP_WIDE": Fit(mp.exp, -HALF_LN2, HALF_LN2, 7),
    "LOG_WIDE": Fit(near_zero(lambda f: mp.log1p(f) / f, lambda f: 1 - f / 2), 1 / ROOT - 1, ROOT - 1, 11),
    "ATAN_WIDE": Fit(even(lambda x: mp.atan(x) / x, lambda z: 1 - z / 3), 0, 1.0, 11, lambda z: mpf("1.28")),
    "ERFC_WIDE": Fit(lambda t: scaled_tail(t, mpf("2.5")), -1, 7.8 / 12.8, 12),
    # lampas/engine/graph/series.py: exp(-x)·I(x)/x^order of t = x/4 - 1, from 8 on √x·exp(-x)·I(x) of t = 16/x - 1
    "I0_NEAR_WIDE": Fit(lambda t: bessel_near(0, t), -1, 1, 19, lambda t: 1 / bessel_near(0, t)),
    "I0_FAR_WIDE": Fit(lambda t: bessel_far(0, t), -1, 1, 7, lambda t: mpf("2.5")),
    "I1_NEAR_WIDE": Fit(lambda t: bessel_near(1, t), -1, 1, 19, lambda t: 1 / bessel_near(1, t)),
    "I1_FAR_WIDE": Fit(lambda t: bessel_far(1, t), -1, 1, 7, lambda t: mpf("2.5")),
    "I0_NEAR64": Fit(lambda t: bessel_near(0, t), -1, 1, 28, lambda t: 1 / bessel_near(0, t)),
    "I0_FAR64": Fit(lambda t: bessel_far(0, t), -1, 1, 22, lambda t: mpf("2.5")),
    "I1_NEAR64": Fit(lambda t: bessel_near(1, t), -1, 1, 28, lambda t: 1 / bessel_near(1, t)),
    "I1_FAR64": Fit(lambda t: bessel_far(1, t), -1, 1, 22, lambda t: mpf("2.5")),
}
# fmt: on


def inverse_erf_ratio(w: mpf) -> mpf:
    """erfinv(x)/x for w = -log(1 - x²)."""
    if w < mpf(10) ** -12:
        return mp.sqrt(pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    if w < 25:
        return mp.erfinv(x) / x
    rest = mp.exp(-w) / (1 + x)  # 1 - x without cancellation
    guess = mp.sqrt(w)
    return mp.findroot(lambda y: mp.log(mp.erfc(y)) - mp.log(rest), guess) / x


def scaled_tail(t: mpf, middle: mpf) -> mpf:
    """(1 + 2y)·exp(y²)·erfc(y) of t = (y - middle)/(y + middle); far out by Abramowitz and Stegun 7.1.23."""
    if t > 1 - mpf(10) ** -12:
        return 2 / mp.sqrt(pi)
    y = middle * (1 + t) / (1 - t)
    if y < 50:
        return (1 + 2 * y) * mp.exp(y * y) * mp.erfc(y)
    total = term = mpf(1)
    for k in range(1, 30):
        term *= -(2 * k - 1) / (2 * y * y)
        total += term
    return (1 + 2 * y) * total / (y * mp.sqrt(pi))


def bessel_near(order: int, t: mpf) -> mpf:
    """exp(-x)·I(x)/x^order at x = 4·(1 + t)."""
    x = 4 * (1 + t)
    if x < mpf(10) ** -15:
        return mpf(1) / (1 + order)
    return mp.exp(-x) * mp.besseli(order, x) / x**order


def bessel_far(order: int, t: mpf) -> mpf:
    """√x·exp(-x)·I(x) at x = 16/(1 + t); the first terms of the asymptotic series at its end."""
    if t < -1 + mpf(10) ** -8:
        return (1 + (1 - 4 * order) * (1 + t) / 128) / mp.sqrt(2 * pi)
    x = 16 / (1 + t)
    return mp.exp(-x) * mp.besseli(order, x) * mp.sqrt(x)


def main() -> None:
    for name in sys.argv[1:] or FITS:
        coefficients, error = remez(FITS[name])
        digits = 20 if "64" in name else 17 if "WIDE" in name else 12
        listed = ", ".join(mp.nstr(c, digits) for c in coefficients)
        print(f"{name} = ({listed})  # error {mp.nstr(error, 3)}", flush=True)


if __name__ == "__main__":
    main()
