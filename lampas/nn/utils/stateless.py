"""Calling a module with other tensors in place of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lampas.engine.tensor import Tensor
from lampas.nn.modules.module import Module

__all__ = ["functional_call"]


def _owner(module: Module, path: str) -> tuple[Module, str]:
    parent, _, name = path.rpartition(".")
    return module.get_submodule(parent), name


def _tied_groups(module: Module) -> dict[str, set[str]]:
    """For every name, all names under which the same tensor is held."""
    by_tensor: dict[int, set[str]] = {}
    names = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in names:
        by_tensor.setdefault(id(tensor), set()).add(name)
    return {name: group for group in by_tensor.values() for name in group}


@contextmanager
def reparametrized(
    module: Module, tensors: dict[str, Tensor], tie_weights: bool = True, strict: bool = False
) -> Iterator[Module]:
    """Inside the block the module holds `tensors` under the given names."""
    known = _tied_groups(module)
    unknown = [name for name in tensors if name not in known]
    if strict:
        missing = [name for name in known if name not in tensors]
        if unknown or missing:
            raise RuntimeError(
                f"Error(s) in loading values for {type(module).__name__}: unexpected keys "
                f"{unknown}, missing keys {missing}"
            )
    if unknown:
        raise KeyError(f"{unknown[0]!r} is neither a parameter nor a buffer of the module")
    values = dict(tensors)
    if tie_weights:
        for name, value in tensors.items():
            for other in known[name]:
                values.setdefault(other, value)
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for path, value in values.items():
            owner, name = _owner(module, path)
            place = owner._parameters if name in owner._parameters else owner._buffers
            before.append((place, name, place[name]))
            place[name] = value  # type: ignore[assignment]
        yield module
    finally:
        for place, name, value in reversed(before):
            place[name] = value


def functional_call(
    module: Module,
    parameters_and_buffers: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with the given tensors; the module itself stays as it was.

    `parameters_and_buffers` is a dictionary by dotted name, or several. Raises KeyError for a
    name that the module does not have.
    """
    if isinstance(parameters_and_buffers, dict):
        tensors = parameters_and_buffers
    elif isinstance(parameters_and_buffers, list | tuple):
        tensors = {}
        for group in parameters_and_buffers:
            repeated = tensors.keys() & group.keys()
            if repeated:
                raise ValueError(f"{sorted(repeated)[0]} appears in multiple dictionaries")
            tensors.update(group)
    else:
        raise ValueError(
            "Expected parameters_and_buffers to be a dict, or a list/tuple of dicts, but got "
            f"{type(parameters_and_buffers)}"
        )
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with reparametrized(module, tensors, tie_weights, strict):
        return module(*args, **(kwargs or {}))
