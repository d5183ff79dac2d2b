"""`lampas.backends.convolution`: how 3×3 convolutions of whole vectors of float32 channels are computed.

    lampas.backends.convolution.set_algorithm("direct")
    with lampas.backends.convolution.flags("winograd4"):
        ...

"auto" (the start value, or LAMPAS_CONVOLUTION) takes the cheapest for each shape.  "direct" multiplies every tap;
"winograd2" and "winograd4" compute tiles of 2×2 and 4×4 results with 2.25 and 4 times fewer multiplications, and round
a little more (bench/convolution.py reports the errors).  All other convolutions are direct always, float64 too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lampas.engine.realize.realize import forget_plans, realize
from lampas.engine.settings import CONVOLUTIONS, settings


def get_algorithm() -> str:
    """The algorithm in force."""
    return settings.convolution


def set_algorithm(name: str) -> None:
    """Take another algorithm from now on; ValueError if there is none of that name.

    >>> set_algorithm("direct")
    >>> get_algorithm()
    'direct'
    >>> set_algorithm("auto")
    """
    if name not in CONVOLUTIONS:
        raise ValueError(
            f"set_algorithm: no convolution algorithm is called {name!r}; there are "
            f"{', '.join(CONVOLUTIONS)}"
        )
    if name != settings.convolution:
        settings.convolution = name
        forget_plans()


@contextmanager
def flags(algorithm: str) -> Iterator[None]:
    """Take an algorithm inside a `with` block; what is pending at its end is computed before."""
    before = get_algorithm()
    set_algorithm(algorithm)
    try:
        yield
        realize(())
    finally:
        set_algorithm(before)
