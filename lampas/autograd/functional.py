"""Derivatives of functions: `jacobian`, `hessian`, `vjp`, `jvp`, `vhp`, `hvp`.

`jvp` uses the double-backward identity: the gradient with respect to w of vjp(w)·v is J·v (Townsend, "A new
trick for calculating Jacobian vector products", 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.tensor import Tensor
from lampas.engine.tensor.backward import grad
from lampas.engine.tensor.creation import ones_like, zeros, zeros_like
from lampas.engine.tensor.grad_switches import enable_grad
from lampas.engine.tensor.joining import stack
from lampas.engine.tensor.shaping import reshape

if TYPE_CHECKING:
    from collections.abc import Callable

Tensors = tuple[Tensor, ...]


def _as_tuple(value: Any, argument: str, function: str) -> tuple[Tensors, bool]:
    is_tuple = isinstance(value, tuple)
    values = value if is_tuple else (value,)
    for place, each in enumerate(values):
        if not isinstance(each, Tensor):
            raise TypeError(
                f"The {argument} given to {function} must be either a Tensor or a tuple of Tensors "
                f"but the value at index {place} has type {type(each)}."
            )
    return values, is_tuple


def _fresh(inputs: Tensors, create_graph: bool) -> Tensors:
    if create_graph:
        return tuple(
            each.view_as(each) if each.requires_grad else each.detach().requires_grad_()
            for each in inputs
        )  # type: ignore[attr-defined]
    return tuple(each.detach().requires_grad_() for each in inputs)  # type: ignore[attr-defined]


def _settle(values: Tensors, create_graph: bool) -> Tensors:
    return values if create_graph else tuple(each.detach() for each in values)  # type: ignore[attr-defined]


def _filled(found: Any, like: Tensors, strict: bool, message: str) -> Tensors:
    if strict and any(each is None for each in found):
        raise RuntimeError(message)
    return tuple(
        zeros_like(other) if each is None else each for each, other in zip(found, like, strict=True)
    )


_INDEPENDENT = "Output 0 of the user-provided function does not depend on its inputs (strict=True)."


def _gradient(
    outputs: Tensors, inputs: Tensors, seeds: Tensors | None, create_graph: bool, strict: bool
) -> Tensors:
    """grad that treats outputs without a tape as constants."""
    live = [place for place, each in enumerate(outputs) if each.requires_grad]
    if strict and len(live) < len(outputs):
        raise RuntimeError(_INDEPENDENT)
    if not live:
        return tuple(zeros_like(each) for each in inputs)
    found = grad(
        tuple(outputs[place] for place in live),
        inputs,
        None if seeds is None else tuple(seeds[place] for place in live),
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
    )
    return _filled(found, inputs, strict, _INDEPENDENT)


def _unpack(values: Tensors, is_tuple: bool) -> Any:
    return values if is_tuple else values[0]


def _check_vector(v: Any, like: Tensors, function: str) -> Tensors:
    if v is None:
        if len(like) != 1 or like[0]._node_count() != 1:
            raise RuntimeError(
                "The vector v can only be None if the user-provided function returns a single "
                "Tensor with a single element."
            )
        return (ones_like(like[0]),)
    values, _ = _as_tuple(v, "vector", function)
    for place, (each, other) in enumerate(zip(values, like, strict=True)):
        if each._shape != other._shape:
            raise RuntimeError(
                f"v has invalid size at index {place}: should be {other.shape} but got {each.shape}."
            )
    return values


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), vᵀ·J)."""
    with enable_grad():
        given, is_tuple = _as_tuple(inputs, "inputs", "vjp")
        sources = _fresh(given, create_graph)
        outputs, out_tuple = _as_tuple(func(*sources), "outputs", "vjp")
        seeds = _check_vector(v, outputs, "vjp")
        found = _gradient(outputs, sources, seeds, create_graph, strict)
    return (
        _unpack(_settle(outputs, create_graph), out_tuple),
        _unpack(_settle(found, create_graph), is_tuple),
    )


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), J·v)."""
    with enable_grad():
        given, _ = _as_tuple(inputs, "inputs", "jvp")
        sources = _fresh(given, create_graph)
        direction = _check_vector(v, given, "jvp")
        outputs, out_tuple = _as_tuple(func(*sources), "outputs", "jvp")
        dummies = tuple(zeros_like(out, requires_grad=True) for out in outputs)
        first = _gradient(outputs, sources, dummies, True, strict)
        found = _gradient(first, dummies, direction, create_graph, False)
    return (
        _unpack(_settle(outputs, create_graph), out_tuple),
        _unpack(_settle(found, create_graph), out_tuple),
    )


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """d func / d inputs: for each output and input a tensor of shape (*output, *input)."""
    with enable_grad():
        given, is_tuple = _as_tuple(inputs, "inputs", "jacobian")
        sources = _fresh(given, create_graph)
        outputs, out_tuple = _as_tuple(
            func(*sources), "outputs of the user-provided function", "jacobian"
        )
        table = tuple(
            _settle(_rows(out, sources, create_graph, strict), create_graph) for out in outputs
        )
    rows = tuple(_unpack(row, is_tuple) for row in table)
    return rows if out_tuple else rows[0]


def _rows(out: Tensor, sources: Tensors, create_graph: bool, strict: bool) -> Tensors:
    count = out._node_count()
    flat = reshape(out, (count,))
    if not count:
        return tuple(zeros((*out._shape, *source._shape), dtype=source.dtype) for source in sources)
    found = [
        _gradient((flat[place],), sources, None, create_graph, strict)  # type: ignore[index]
        for place in range(count)
    ]
    return tuple(
        reshape(stack([row[column] for row in found]), (*out._shape, *source._shape))
        for column, source in enumerate(sources)
    )


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Second derivatives of a scalar function."""
    given, is_tuple = _as_tuple(inputs, "inputs", "hessian")

    def gradient(*arguments: Tensor) -> Any:
        result = func(*arguments)
        if not isinstance(result, Tensor) or result._node_count() != 1:
            raise RuntimeError("The function given to hessian should return a single scalar Tensor")
        sources = tuple(each if each.requires_grad else each.requires_grad_() for each in arguments)
        return _gradient((reshape(result, ()),), sources, None, True, strict)

    found = jacobian(gradient, given, create_graph, strict)
    return found if is_tuple else found[0][0]


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), vᵀ·H) of a scalar function."""
    with enable_grad():
        given, is_tuple = _as_tuple(inputs, "inputs", "vhp")
        sources = _fresh(given, create_graph)
        direction = _check_vector(v, given, "vhp")
        outputs, out_tuple = _as_tuple(func(*sources), "outputs", "vhp")
        if out_tuple or outputs[0]._node_count() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to vhp should contain a single element"
            )
        first = _gradient(outputs, sources, None, True, strict)
        found = _gradient(first, sources, direction, create_graph, False)
    return _settle(outputs, create_graph)[0], _unpack(_settle(found, create_graph), is_tuple)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), H·v); the Hessian is symmetric, so this is `vhp`."""
    return vhp(func, inputs, v, create_graph, strict)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
