"""Parameter groups: what may be optimized, and which options a group lacks."""

from __future__ import annotations

import warnings
from typing import Any

import lampas

Group = dict[str, Any]


def checked_group(
    group: Group, defaults: dict[str, Any], others: list[Group], required: object
) -> Group:
    """`group` with its parameters listed, named and checked, and the missing options filled in."""
    if not isinstance(group, dict):
        raise TypeError(f"param_group must be a dict, but got {type(group)}")
    _list_parameters(group)
    for parameter in group["params"]:
        _check_parameter(parameter, bool(defaults.get("differentiable")))
    for name, value in defaults.items():
        if value is required and name not in group:
            raise ValueError(
                f"parameter group didn't specify a value of required optimization parameter {name}"
            )
        group.setdefault(name, value)
    _check_distinct(group, others)
    return group


def _list_parameters(group: Group) -> None:
    given = group["params"]
    if isinstance(given, lampas.Tensor):
        group["params"] = [given]
        return
    if isinstance(given, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering "
            "of tensors in sets will change between runs. Please use a list instead."
        )
    entries = list(given)
    names = [entry[0] for entry in entries if isinstance(entry, tuple)]
    group["params"] = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
    if not names:
        return
    if len(names) != len(entries):
        raise ValueError(
            "all optimizer params should be with/without names. Some param names are missing"
        )
    group["param_names"] = names


def _check_parameter(parameter: Any, differentiable: bool) -> None:
    if not isinstance(parameter, lampas.Tensor):
        raise TypeError(
            "optimizer can only optimize Tensors, but one of the params is "
            f"{type(parameter).__module__}.{type(parameter).__name__}"
        )
    if not differentiable and not (parameter.is_leaf or parameter.retains_grad):
        raise ValueError("can't optimize a non-leaf Tensor")


def _check_distinct(group: Group, others: list[Group]) -> None:
    mine = {id(parameter) for parameter in group["params"]}
    if len(mine) != len(group["params"]):
        warnings.warn(
            "optimizer contains a parameter group with duplicate parameters; in future, this will "
            "cause an error; see github.com/pytorch/pytorch/issues/40967 for more information",
            stacklevel=5,
        )
    for other in others:
        if ("param_names" in group) != ("param_names" in other):
            kind = "with names" if "param_names" in group else "without names"
            raise ValueError(
                "all optimizer param groups should be with/without names. "
                f"cannot add param group {kind} to the optimizer"
            )
        if not mine.isdisjoint(id(parameter) for parameter in other["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
