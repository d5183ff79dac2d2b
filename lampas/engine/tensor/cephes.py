"""Constants of the Cephes library's single-precision log, sin and cos (S. Moshier, 1992).

Each coefficient stands as the float32 number that the literal means; polynomials begin with the
highest power.
"""

import numpy as np


def _singles(*values: float) -> tuple[float, ...]:
    return tuple(float(np.float32(value)) for value in values)


LOG = _singles(
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
COS = _singles(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
SIN = _singles(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
ROOT_HALF, LN2_LOW, LN2_HIGH = _singles(0.707106781186547524, -2.12194440e-4, 0.693359375)
QUARTER_PI = _singles(0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)  # a sum
FOUR_OVER_PI, TWO_PI = _singles(1.27323954473516, 2.0 * np.pi)
