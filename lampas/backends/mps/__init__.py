"""`torch.backends.mps`: not there."""


def is_available() -> bool:
    """False: Lampas computes on the CPU."""
    return False


def is_built() -> bool:
    """False: Lampas has no Metal kernels."""
    return False
