"""The switches for determinism and precision: what they keep and what they refuse, beside PyTorch's."""

import warnings

import pytest

import lampas

torch = pytest.importorskip("torch")

PROGRAMS = {
    "precision": lambda t: [
        (t.set_float32_matmul_precision(word), t.get_float32_matmul_precision())
        for word in ("high", "medium", "lowest", "highest")
    ],
    "deterministic": lambda t: [
        (
            t.use_deterministic_algorithms(mode, warn_only=warn_only),
            t.are_deterministic_algorithms_enabled(),
            t.is_deterministic_algorithms_warn_only_enabled(),
            t.get_deterministic_debug_mode(),
        )
        for mode, warn_only in ((True, False), (True, True), (False, False))
    ],
    "debug mode": lambda t: [
        (t.set_deterministic_debug_mode(mode), t.get_deterministic_debug_mode())
        for mode in ("warn", "error", 1, 2, "default", 0)
    ],
    "warnings": lambda t: [
        (t.set_warn_always(flag), t.is_warn_always_enabled()) for flag in (True, False)
    ],
}
MISUSES = {
    "mode": lambda t: t.use_deterministic_algorithms(1),
    "warn only": lambda t: t.use_deterministic_algorithms(True, warn_only=1),
    "unknown word": lambda t: t.set_deterministic_debug_mode("loud"),
    "unknown number": lambda t: t.set_deterministic_debug_mode(3),
    "neither": lambda t: t.set_deterministic_debug_mode(1.5),
    "warn always": lambda t: t.set_warn_always(1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_agrees(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert PROGRAMS[name](lampas) == PROGRAMS[name](torch)


@pytest.mark.parametrize("name", MISUSES)
def test_refuses_as_pytorch_does(name: str) -> None:
    with pytest.raises((TypeError, RuntimeError)) as theirs:
        MISUSES[name](torch)
    with pytest.raises(type(theirs.value)):
        MISUSES[name](lampas)


def test_the_scaler_has_a_short_name() -> None:
    assert lampas.GradScaler is lampas.amp.GradScaler
