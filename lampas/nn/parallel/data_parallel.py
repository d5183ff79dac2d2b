"""`DataParallel`: a batch split over devices, the module replicated on each.

Without a GPU it calls the module itself, as PyTorch's does.  Given explicit `device_ids` ("cpu:0", "cpu:1")
it runs the whole scheme over logical devices of the processor, which is how it is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lampas import cuda
from lampas.engine.tensor.device import device, resolve_device
from lampas.nn.modules.module import Module
from lampas.nn.parallel.parallel_apply import parallel_apply
from lampas.nn.parallel.replicate import replicate
from lampas.nn.parallel.scatter_gather import gather, scatter_kwargs


def _all_devices() -> list[Any]:
    return [device("cuda", index) for index in range(cuda.device_count())]


class DataParallel(Module):
    """Splits inputs along `dim`, runs a replica of `module` on each device, joins the outputs.

    Gradients of the replicas are summed into the module's parameters.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
    ) -> None:
        super().__init__()
        self.module = module
        self.dim = dim
        self.device_ids = list(_all_devices() if device_ids is None else device_ids)
        if self.device_ids:
            self.output_device = self.device_ids[0] if output_device is None else output_device
            for place in self.device_ids:
                resolve_device(place)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's output for the whole batch."""
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        positional, keywords = self.scatter(inputs, kwargs, self.device_ids)
        if not positional and not keywords:
            positional, keywords = ((),), ({},)
        if len(self.device_ids) == 1:
            return self.module(*positional[0], **keywords[0])
        replicas = self.replicate(self.module, self.device_ids[: len(positional)])
        outputs = self.parallel_apply(replicas, positional, keywords)
        return self.gather(outputs, self.output_device)

    def replicate(self, module: Module, device_ids: Sequence[Any]) -> list[Module]:
        """Replicas of the module; a subclass may do it otherwise."""
        return replicate(module, device_ids)

    def scatter(self, inputs: Any, kwargs: Any, device_ids: Sequence[Any]) -> Any:
        """Pieces of the arguments; a subclass may do it otherwise."""
        return scatter_kwargs(inputs, kwargs, device_ids, self.dim)

    def parallel_apply(self, replicas: Sequence[Module], inputs: Any, kwargs: Any) -> list[Any]:
        """The replicas' outputs; a subclass may do it otherwise."""
        return parallel_apply(replicas, inputs, kwargs, self.device_ids[: len(replicas)])

    def gather(self, outputs: Any, output_device: Any) -> Any:
        """The outputs joined; a subclass may do it otherwise."""
        return gather(outputs, output_device, self.dim)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """`DataParallel` for one call."""
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    wrapper = DataParallel(module, device_ids, output_device, dim)
    return wrapper(*given, **(module_kwargs or {}))
