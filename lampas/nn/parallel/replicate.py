"""Replicas of a module: the same structure, parameters that are copies connected on the tape.

What a replica's parameter receives in backward is summed into the original's `.grad`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lampas.engine.tensor import Tensor
from lampas.nn.modules.module import Module


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Module]:
    """One replica of `network` for each device."""
    return [_replica(network, device, detach) for device in devices]


def _replica(network: Module, device: Any, detach: bool) -> Module:
    made: dict[int, Module] = {}
    for module in network.modules():
        copy = module.__new__(type(module))
        copy.__dict__ = module.__dict__.copy()
        copy.__dict__["_parameters"] = {}
        copy.__dict__["_buffers"] = module._buffers.copy()
        copy.__dict__["_modules"] = module._modules.copy()
        copy.__dict__["_is_replica"] = True
        made[id(module)] = copy
    for module in network.modules():
        copy = made[id(module)]
        for name, parameter in module._parameters.items():
            # An attribute, not a parameter: a replica owns nothing that an optimizer could take.
            copy.__dict__[name] = None if parameter is None else _copied(parameter, device, detach)
        for name, child in module._modules.items():
            copy._modules[name] = None if child is None else made[id(child)]
    return made[id(network)]


def _copied(parameter: Tensor, device: Any, detach: bool) -> Tensor:
    copy = parameter.detach() if detach else parameter.clone()
    return copy.to(device)
