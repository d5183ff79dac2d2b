"""Special functions composed of primitives: modified Bessel functions, erfcx, areas of the normal density, trigamma.

All compute in double whatever the dtype; for floats and half types the polynomials are shorter, within 4e-10. A
branch that is not taken gets an argument at which it is finite, so that no NaN comes into a derivative.

i0 and i1: exp(-x)·I(x) by a polynomial below 8, √x times it by one in 1/x above. erfcx: exp(x²)·erfc(x) below 20, then
the asymptotic series (Abramowitz and Stegun 7.1.23). trigamma: reflection, recurrence up to 8, the asymptotic series
(6.4.7, 6.4.6, 6.4.12). Coefficients of the Bessel functions: tools/fit_polynomials.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lampas.engine.dtype import float32, float64
from lampas.engine.graph import build as g

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.graph.node import Node

# fmt: off
I0_NEAR_WIDE = (
    0.20700192116306414, -0.11300432734799197, 0.094515641449064948, -0.089043414418655009, 0.087342968431456788,
    -0.084963818196789546, 0.079281203347071243, -0.069538238405302092, 0.056736823963767715, -0.042994941787363364,
    0.03033194271686283, -0.019675102152901996, 0.011604535753227623, -0.0067663017829932453, 0.0041177507949136454,
    -0.0018943223004107057, 0.00044091637602132818, -0.0002846820866826837, 0.00034218675184594512,
    -0.00011896045679682095,
)
I0_FAR_WIDE = (
    0.40217650941876075, 0.0033605522179398084, 0.00013621717477135151, 1.113999631518464e-5, 1.4760808236706846e-6,
    3.0698800685506135e-7, 1.0870731385204481e-7, 3.1807448614892821e-8,
)
I1_NEAR_WIDE = (
    0.044687709873223413, -0.061124338149801807, 0.068057600579148555, -0.068482598355368509, 0.063767375346631539,
    -0.055280185329933755, 0.044675012831819419, -0.033670157563435626, 0.023682685500555267, -0.015576428750544121,
    0.0095979979885473151, -0.0055224386870661813, 0.002970703933443933, -0.0015543937021041028,
    0.00079732177789502541, -0.00033278476170584527, 0.0001018772894239184, -5.938592267438746e-5,
    4.5620672833151711e-5, -1.338291171870123e-5,
)
I1_FAR_WIDE = (
    0.38939845905753587, -0.009749577443155783, -0.0002192370748259326, -1.5035347478464698e-5,
    -1.8258571148837062e-6, -3.5833845436608741e-7, -1.2260082381830581e-7, -3.5789598906953236e-8,
)
I0_NEAR64 = (
    0.20700192122398669647, -0.11300432688620540213, 0.09451562853995185084, -0.089043441360771882165,
    0.087343416175466941064, -0.084963380915630393894, 0.079275225908669622947, -0.069541195627967445196,
    0.05677703199893623914, -0.042985949331781455478, 0.030177912197390705384, -0.019682655570463762503,
    0.011960076970890748317, -0.0067923956792358886818, 0.0036171298490276990187, -0.0018119006226957538772,
    0.00085630669231533917955, -0.00038286988932833321871, 0.00016242064466723725484, -0.000065561971446553759034,
    0.000025183422401080718918, -9.1891919627781327858e-6, 3.2454297356324607026e-6, -1.1388817709784749464e-6,
    3.5864389194154626761e-7, -8.698814268756154743e-8, 2.9185927648902043029e-8, -1.6154171521047005254e-8,
    4.0451657657217570989e-9,
)
I0_FAR64 = (
    0.40217650944500808495, 0.0033605519836677941255, 0.00013621607438968658985, 0.000011143033797309879686,
    1.4838476731925507217e-6, 2.973596820397618203e-7, 8.8720194033190940421e-8, 3.932809059252909873e-8,
    2.1567629756592772391e-8, 7.538915683735429298e-9, -6.8565599298566106946e-9, -1.3341591946112004731e-8,
    -5.0149338897861112878e-9, 7.368865846267472545e-9, 6.513036049612295953e-9, -3.1785871699477095585e-9,
    -4.5147080335296225512e-9, 1.1409753465791733529e-9, 2.148510636283968118e-9, -2.9672628772847178002e-10,
    -6.4174324281895732857e-10, 3.9491401634342104069e-11, 8.9516934851766684181e-11,
)
I1_NEAR64 = (
    0.044687709875608831554, -0.061124338029666290609, 0.068057599909511703625, -0.068482606205825869877,
    0.063767403713399869401, -0.055280039227031241203, 0.04467457262145676066, -0.033671355520389033559,
    0.023686016954848432201, -0.015571309250846942502, 0.0095839621751739174522, -0.005534567805498582791,
    0.0030057622862126986834, -0.0015388747319034713618, 0.00074451283740456904435, -0.00034117556100258729548,
    0.0001484199814150306839, -0.000061424496069292832717, 0.000024236020100499540816, -9.1353632385024317872e-6,
    3.2910515205861738352e-6, -1.1337680308419533642e-6, 3.7838563374599400198e-7, -1.2362970312459155942e-7,
    3.665634563805210865e-8, -9.1948521039191664122e-9, 3.0557398076306251193e-9, -1.3851484777295605842e-9,
    3.0642154432512777334e-10,
)
I1_FAR64 = (
    0.38939845902587232067, -0.0097495771932356757188, -0.0002192357638316097919, -0.000015038547206294053406,
    -1.834910242046347793e-6, -3.4838541709932609925e-7, -1.0001083748812989137e-7, -4.3131201596696522858e-8,
    -2.3393631818648428307e-8, -8.4135293295428593162e-9, 6.8461773830818151012e-9, 1.3973370167652255185e-8,
    5.5736698901771253689e-9, -7.4759870054410279988e-9, -6.9432551425988727125e-9, 3.1291520600338159741e-9,
    4.7575865132675751433e-9, -1.0940762749927176938e-9, -2.254453753501761681e-9, 2.7924133811757211803e-10,
    6.7257033147127914104e-10, -3.6750939622466453211e-11, -9.3832541266781469914e-11,
)
# fmt: on
# B_2k of the series of trigamma, and (-1)^k·(2k-1)!!/2^k of that of erfcx
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
ERFCX_SERIES = (1.0, -1 / 2, 3 / 4, -15 / 8, 105 / 16, -945 / 32, 10395 / 64, -135135 / 128)
BESSEL_CHANGE, ERFCX_CHANGE, TRIGAMMA_CHANGE = 8.0, 20.0, 8.0
ERFCX_INFINITE = -27.0


def _constant(value: float) -> Node:
    return g.constant(value, float64)


def _times(x: Node, value: float) -> Node:
    return g.multiply(x, _constant(value))


def _plus(x: Node, value: float) -> Node:
    return g.add(x, _constant(value))


def horner(x: Node, coefficients: Sequence[float]) -> Node:
    """Evaluate a polynomial, constant coefficient first."""
    total = _times(x, coefficients[-1])
    for coefficient in reversed(coefficients[1:-1]):
        total = g.multiply(_plus(total, coefficient), x)
    return _plus(total, coefficients[0])


def polynomial(x: Node, coefficients: Sequence[float]) -> Node:
    """Even and odd parts side by side: half the latency of Horner's rule."""
    square = g.multiply(x, x)
    even, odd = (horner(square, coefficients[start::2]) for start in (0, 1))
    return g.add(g.multiply(odd, x), even)


def in_double(build: Callable[[Node, bool], Node]) -> Callable[[Node], Node]:
    """A function of a node of any floating dtype, computed in double; `build` is told whether to be exact to double."""
    return lambda x: g.cast(build(g.cast(x, float64), x.dtype is float64), x.dtype)


def _scaled_bessel(x: Node, order: int, exact: bool) -> Node:
    """exp(-|x|)·I(x)."""
    size = g.absolute(x)
    change = _constant(BESSEL_CHANGE)
    inside, outside = g.minimum(size, change), g.maximum(size, change)
    near_row, far_row = BESSEL_ROWS[order, exact]
    near = polynomial(_plus(_times(inside, 0.25), -1.0), near_row)
    if order:
        near = g.multiply(near, g.where(g.less(size, change), x, inside))
    far = polynomial(_plus(g.divide(_constant(16.0), outside), -1.0), far_row)
    far = g.divide(far, g.sqrt(outside))
    if order:
        far = g.copysign(far, x)
    return g.where(g.less(size, change), near, far)


BESSEL_ROWS = {
    (0, False): (I0_NEAR_WIDE, I0_FAR_WIDE), (0, True): (I0_NEAR64, I0_FAR64),
    (1, False): (I1_NEAR_WIDE, I1_FAR_WIDE), (1, True): (I1_NEAR64, I1_FAR64),
}  # fmt: skip


def _bessel(x: Node, order: int, exact: bool) -> Node:
    """I(x); the exponential's root twice, because it overflows before the product does."""
    root = g.exp(_times(g.absolute(x), 0.5))
    return g.multiply(g.multiply(_scaled_bessel(x, order, exact), root), root)


def _erfcx(x: Node, exact: bool) -> Node:
    """exp(x²)·erfc(x); of x² the part of x's float is exact, and what is left of it small."""
    change = _constant(ERFCX_CHANGE)
    near = g.maximum(g.minimum(x, change), _constant(ERFCX_INFINITE))
    head = g.cast(g.cast(near, float32), float64) if exact else near
    power = g.exp(g.multiply(head, head))
    if exact:
        rest = g.multiply(g.subtract(near, head), g.add(near, head))
        power = g.multiply(power, g.exp(rest))
    inverse = g.reciprocal(g.maximum(x, change))
    series = horner(g.multiply(inverse, inverse), ERFCX_SERIES)
    far = _times(g.multiply(inverse, series), 1 / math.sqrt(math.pi))
    return g.where(g.greater(x, change), far, g.multiply(power, g.erfc(near)))


def _ndtr(x: Node, exact: bool) -> Node:
    """erfc(-x/√2)/2; for floats erfc's own, which is quicker, of the quotient rounded to float."""
    scaled = _times(x, -math.sqrt(0.5))
    if exact:
        return _times(g.erfc(scaled), 0.5)
    return _times(g.cast(g.erfc(g.cast(scaled, float32)), float64), 0.5)


def _log_ndtr(x: Node, exact: bool) -> Node:
    """log(erfcx(-x/√2)/2) - x²/2 left of -1, log1p(-erfc(x/√2)/2) right of it."""
    edge = _constant(-1.0)
    left = _times(g.minimum(x, edge), math.sqrt(0.5))
    right = _times(g.maximum(x, edge), math.sqrt(0.5))
    logarithm = g.log(_times(_erfcx(g.negative(left), exact), 0.5))
    below = g.subtract(logarithm, g.multiply(left, left))
    above = g.log1p(_times(g.erfc(right), -0.5))
    return g.where(g.less(x, edge), below, above)


def trigamma(x: Node) -> Node:
    """The derivative of digamma: π²/sin²(πx) - trigamma(1-x) left of 1/2, the sine in x's own dtype."""
    half = g.like(x, 0.5)
    left = g.less(x, half)
    inside = g.where(left, x, half)  # keeps -0, where ±infinity comes from its square
    turn = g.divide(g.like(x, math.pi), g.sin(g.multiply(inside, g.like(x, math.pi))))
    right = g.where(left, g.subtract(g.like(x, 1.0), x), x)
    result = g.cast(_trigamma_right(g.cast(right, float64)), x.dtype)
    return g.where(left, g.subtract(g.multiply(turn, turn), result), result)


def _trigamma_right(y: Node) -> Node:
    """trigamma of 1/2 and more: Σ 1/y² up to 8, then 1/y + 1/(2y²) + Σ B_2k/y^(2k+1)."""
    change, none = _constant(TRIGAMMA_CHANGE), _constant(0.0)
    total: Node = none
    for _ in range(8):
        low = g.less(y, change)
        inverse = g.reciprocal(y)
        total = g.add(total, g.where(low, g.multiply(inverse, inverse), none))
        y = g.where(low, _plus(y, 1.0), y)
    inverse = g.reciprocal(y)
    square = g.multiply(inverse, inverse)
    series = g.multiply(g.multiply(inverse, square), horner(square, BERNOULLI))
    return g.add(total, g.add(g.add(inverse, _times(square, 0.5)), series))


COMPOSED: dict[str, Callable[[Node], Node]] = {
    "i0": in_double(lambda x, exact: _bessel(x, 0, exact)),
    "i0e": in_double(lambda x, exact: _scaled_bessel(x, 0, exact)),
    "i1": in_double(lambda x, exact: _bessel(x, 1, exact)),
    "i1e": in_double(lambda x, exact: _scaled_bessel(x, 1, exact)),
    "erfcx": in_double(_erfcx),
    "ndtr": in_double(_ndtr),
    "log_ndtr": in_double(_log_ndtr),
}
