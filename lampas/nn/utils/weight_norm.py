"""Weight normalisation as a forward pre-hook (Salimans & Kingma, 2016): w = g·v/‖v‖."""

from __future__ import annotations

from typing import Any, TypeVar

from lampas.engine.tensor import Tensor
from lampas.nn.modules.module import Module
from lampas.nn.parameter import Parameter, is_lazy

__all__ = [
    "WeightNorm",
    "norm_except_dim",
    "normalized_weight",
    "remove_weight_norm",
    "weight_norm",
]

M = TypeVar("M", bound=Module)


def norm_except_dim(weight: Tensor, dim: int | None) -> Tensor:
    """The 2-norm over all dimensions but `dim` (over all for None or −1), kept broadcastable."""
    if dim is None or dim == -1:
        return weight.norm(2)
    dims = tuple(place for place in range(weight.dim()) if place != dim % weight.dim())
    return weight.norm(2, dims, keepdim=True)


def normalized_weight(v: Tensor, g: Tensor, dim: int | None) -> Tensor:
    """g·v/‖v‖."""
    return v * (g / norm_except_dim(v, dim))


class WeightNorm:
    """The hook: recomputes the weight from its length g and direction v before each forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight from the module's g and v."""
        g = getattr(module, self.name + "_g")
        v = getattr(module, self.name + "_v")
        return normalized_weight(v, g, self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Replace the parameter `name` by g and v, and hook the module."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(
                    f"Cannot register two weight_norm hooks on the same parameter {name}"
                )
        hook = WeightNorm(name, dim)
        weight = getattr(module, name)
        if is_lazy(weight):
            raise ValueError(
                "The module passed to `WeightNorm` can't have uninitialized parameters. Make sure "
                "to run the dummy forward before applying weight normalization"
            )
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(norm_except_dim(weight, hook.dim).data))
        module.register_parameter(name + "_v", Parameter(weight.data))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Module) -> None:
        """Make the weight an ordinary parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Reparametrise `name` by its length (`name_g`) and direction (`name_v`)."""
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo `weight_norm`. Raises ValueError if it was not applied."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
