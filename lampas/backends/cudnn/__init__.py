"""`torch.backends.cudnn`: not there; its switches hold what programs put into them."""

from collections.abc import Iterator
from contextlib import contextmanager

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False."""
    return False


def version() -> int | None:
    """None: there is no cuDNN."""
    return None


@contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """Set the switches inside a `with` block, and put them back."""
    values = dict(locals())
    switches = globals()
    before = {name: switches[name] for name in values}
    switches.update(values)
    try:
        yield
    finally:
        switches.update(before)
