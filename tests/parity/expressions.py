"""One expression, two libraries: values, shapes, dtypes, gradients and errors must agree.

Expressions read `T` (the library) and the tensors below, by name.
"""

import re
import warnings
from typing import Any

import numpy as np

import lampas

WORDS = re.compile(r"[A-Za-z_]\w*")


def _square(size: int, generator: np.random.Generator) -> np.ndarray:
    base = generator.standard_normal((size, size))
    return base @ base.T + size * np.eye(size)


def make_inputs() -> dict[str, np.ndarray]:
    """The tensors that expressions may name; the floating-point ones require gradients."""
    g = np.random.default_rng(7)
    return {
        "x": g.standard_normal((3, 4)),
        "y": g.standard_normal((3, 4)),
        "p": g.uniform(0.1, 0.9, (3, 4)),
        "v": g.standard_normal(4),
        "w": g.standard_normal(3),
        "u": g.standard_normal(6),
        "A": g.standard_normal((3, 3)),
        "S": _square(3, g),
        "L": np.tril(_square(3, g)),
        "B": g.standard_normal((2, 3, 4)),
        "C": g.standard_normal((2, 4, 5)),
        "D": g.standard_normal((5, 3)),
        "z": g.standard_normal((3, 4)) + 1j * g.standard_normal((3, 4)),
        "Z": g.standard_normal((3, 3)) + 1j * g.standard_normal((3, 3)),
        "holes": np.array([[1.0, np.nan, 3.0], [np.inf, -1.0, 2.0]]),
        "ties": np.array([[1.0, 3.0, 3.0], [2.0, 2.0, -1.0]]),
        "i": g.integers(-5, 9, (3, 4)),
        "j": g.integers(1, 5, (3, 4)),
        "k": np.array([2, 0, 1, 0]),
        "rows": np.array([[0, 2, 1, 0], [1, 1, 0, 2]]),
        "b": g.integers(0, 2, (3, 4)).astype(bool),
        "s": np.array(2.5),
    }


INPUTS = make_inputs()


def _names(expression: str) -> list[str]:
    return [name for name in dict.fromkeys(WORDS.findall(expression)) if name in INPUTS]


def _tensors(library: Any, names: list[str], grad: bool) -> dict[str, Any]:
    made = {}
    for name in names:
        tensor = library.from_numpy(np.array(INPUTS[name]))
        if grad and tensor.dtype in (library.float64, library.complex128):
            tensor.requires_grad_()
        made[name] = tensor
    return made


def _flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [part for each in result for part in _flat(each)]
    return [result]


def run(library: Any, expression: str, grad: bool) -> tuple[list[Any], list[np.ndarray | None]]:
    """The results as arrays (or plain values), and the gradients of the named tensors."""
    names = _names(expression)
    tensors = _tensors(library, names, grad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = _flat(eval(expression, {"T": library, **tensors}))
    roots = [r for r in results if isinstance(r, library.Tensor) and r.requires_grad]
    for number, root in enumerate(roots):
        weights = np.cos(np.arange(root.numel()) + number).reshape(tuple(root.shape))
        flow = library.from_numpy(np.asarray(weights)).to(root.dtype)
        root.backward(flow, retain_graph=True)
    values = [
        (r.detach().resolve_conj().numpy(), str(r.dtype)) if isinstance(r, library.Tensor) else r
        for r in results
    ]
    grads = [None if t.grad is None else t.grad.resolve_conj().numpy() for t in tensors.values()]
    return values, grads


def check(torch: Any, expression: str, *, grad: bool = True, tolerance: float = 1e-9) -> None:
    """Assert that both libraries agree on an expression."""
    wanted, wanted_grads = run(torch, expression, grad)
    found, found_grads = run(lampas, expression, grad)
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        if isinstance(theirs, tuple):
            assert ours[1] == theirs[1]
            assert ours[0].shape == theirs[0].shape
            np.testing.assert_allclose(ours[0], theirs[0], rtol=tolerance, atol=tolerance)
        else:
            assert ours == theirs
    for name, ours, theirs in zip(_names(expression), found_grads, wanted_grads, strict=True):
        if theirs is not None:
            assert ours is not None, f"no gradient for {name}"
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7, err_msg=name)


def error_of(library: Any, expression: str) -> tuple[str, str]:
    """Name of the exception's type, and its message."""
    tensors = _tensors(library, _names(expression), grad=False)
    try:
        eval(expression, {"T": library, **tensors})
    except Exception as error:
        return type(error).__name__, str(error)
    return "no error", ""


def check_error(torch: Any, expression: str, phrase: str) -> None:
    """Assert that both libraries raise the same type, with the phrase in the message."""
    wanted, text = error_of(torch, expression)
    assert wanted != "no error"
    assert phrase in text
    found, message = error_of(lampas, expression)
    assert found == wanted
    assert phrase in message
