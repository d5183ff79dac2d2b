"""`torch.cpu`: the processor as a device, with the questions that programs ask of any device."""

from lampas.cpu import amp
from lampas.engine.device.background import finish

__all__ = [
    "amp",
    "current_device",
    "device_count",
    "is_available",
    "is_initialized",
    "set_device",
    "synchronize",
]


def is_available() -> bool:
    """True: there is always a processor."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """One."""
    return 1


def current_device() -> str:
    """The processor's name as a device."""
    return "cpu"


def set_device(device: object) -> None:
    """Nothing to choose."""


def synchronize(device: object = None) -> None:
    """Wait until nothing runs in the background."""
    finish()
