"""`cuda` and `backends` where there is no device: what answers, what refuses, what is remembered."""

import pytest

from lampas import backends, cuda


def test_programs_take_the_cpu() -> None:
    assert cuda.is_available() is False
    assert cuda.device_count() == 0
    assert backends.mps.is_available() is False
    assert backends.cudnn.is_available() is False
    assert backends.cuda.is_built() is False


def test_calls_that_need_no_device_pass() -> None:
    assert cuda.manual_seed_all(0) is None
    assert cuda.manual_seed(0) is None
    assert cuda.empty_cache() is None
    assert cuda.memory_allocated() == cuda.max_memory_reserved() == 0
    assert cuda.set_rng_state_all(cuda.get_rng_state_all()) is None


@pytest.mark.parametrize(
    "name",
    "init current_device synchronize get_device_name get_device_capability "
    "get_device_properties get_rng_state initial_seed mem_get_info".split(),
)
def test_what_needs_a_device_refuses(name: str) -> None:
    with pytest.raises(AssertionError, match=rf"not compiled with CUDA.*cuda\.{name}\(\)"):
        getattr(cuda, name)()


def test_setting_a_device_refuses() -> None:
    with pytest.raises(AssertionError, match="not compiled with CUDA"):
        cuda.set_device(0)
    with pytest.raises(AssertionError, match="not compiled with CUDA"):
        cuda.set_rng_state_all([object()])


def test_switches_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.cudnn, "benchmark", True)
    assert backends.cudnn.benchmark is True
    with backends.cudnn.flags(enabled=False, deterministic=True):
        assert backends.cudnn.deterministic is True
        assert backends.cudnn.enabled is False
        assert backends.cudnn.benchmark is False
    assert backends.cudnn.deterministic is False
    assert backends.cudnn.enabled is True
    assert backends.cudnn.benchmark is True


def test_every_public_name_is_there() -> None:
    assert [name for name in cuda.__all__ if not callable(getattr(cuda, name))] == []
