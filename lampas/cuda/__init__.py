"""`torch.cuda` on a machine that has none: questions are answered, orders are refused.

Programs ask `is_available()` and take the CPU; what they may call besides without a device
(seeding, emptying the cache, memory figures) does nothing or tells zero. Whatever needs a device
raises AssertionError, as a build of PyTorch without CUDA does.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NoReturn

from lampas import _lazy

__getattr__, __dir__ = _lazy.attach(__name__, ["amp"])

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state_all",
    "synchronize",
]


def is_available() -> bool:
    """False: Lampas computes on the CPU."""
    return False


def is_initialized() -> bool:
    """False: there is nothing to initialize."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: there is no device that could support it."""
    return False


def device_count() -> int:
    """0."""
    return 0


def get_arch_list() -> list[str]:
    """The architectures that this build has kernels for: none."""
    return []


def manual_seed(seed: int) -> None:
    """Accepted and without effect, since no device draws numbers; raises for what is no integer."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """As `manual_seed`, for every device there is."""
    int(seed)


def seed() -> None:
    """Without effect."""


def seed_all() -> None:
    """Without effect."""


def get_rng_state_all() -> list[Any]:
    """The generator states of all devices: an empty list."""
    return []


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """Takes the empty list that `get_rng_state_all` gives; a state has no device to go to."""
    if list(new_states):
        _refuse("set_rng_state_all")


def empty_cache() -> None:
    """Without effect."""


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """0."""
    return 0


def memory_stats(device: Any = None) -> dict[str, Any]:
    """No statistics: an empty dictionary."""
    return OrderedDict()


def init() -> None:
    """Raises AssertionError: there is no device."""
    _refuse("init")


def current_device() -> int:
    """Raises AssertionError: there is no device."""
    _refuse("current_device")


def set_device(device: Any) -> None:
    """Raises AssertionError: there is no device."""
    _refuse("set_device")


def synchronize(device: Any = None) -> None:
    """Raises AssertionError: there is no device."""
    _refuse("synchronize")


def get_device_name(device: Any = None) -> str:
    """Raises AssertionError: there is no device."""
    _refuse("get_device_name")


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Raises AssertionError: there is no device."""
    _refuse("get_device_capability")


def get_device_properties(device: Any = None) -> Any:
    """Raises AssertionError: there is no device."""
    _refuse("get_device_properties")


def get_rng_state(device: Any = "cuda") -> Any:
    """Raises AssertionError: there is no device."""
    _refuse("get_rng_state")


def initial_seed() -> int:
    """Raises AssertionError: there is no device."""
    _refuse("initial_seed")


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Raises AssertionError: there is no device."""
    _refuse("mem_get_info")


def _refuse(name: str) -> NoReturn:
    raise AssertionError(
        f"Torch not compiled with CUDA enabled: cuda.{name}() needs a CUDA device, and Lampas "
        "computes on the CPU (ask cuda.is_available() first)"
    )
