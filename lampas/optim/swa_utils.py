"""Averages of a model's parameters over training: SWA (Izmailov et al., 2018) and EMA."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

import lampas
from lampas.nn.modules.batchnorm import _BatchNorm
from lampas.nn.modules.module import Module
from lampas.optim.lr_scheduler.base import LRScheduler, per_group
from lampas.optim.optimizer import Optimizer

Tensors = Sequence[Any]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def _is_inexact(tensor: Any) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Tensors, Tensors, Any], None]:
    """A function that moves each average by (1 - decay) towards the parameter, in place."""
    _check_decay(decay)

    def ema_update(averages: Tensors, parameters: Tensors, _: Any) -> None:
        with lampas.no_grad():
            for average, parameter in zip(averages, parameters, strict=True):
                if _is_inexact(average):
                    average.lerp_(parameter, 1 - decay)
                else:
                    average.copy_(average * decay + parameter * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable[[Tensors, Tensors, Any], None]:
    """A function that takes one more parameter into each equal-weight average, in place."""

    def swa_update(averages: Tensors, parameters: Tensors, num_averaged: Any) -> None:
        with lampas.no_grad():
            weight = 1.0 / (int(num_averaged) + 1)
            for average, parameter in zip(averages, parameters, strict=True):
                if _is_inexact(average):
                    average.lerp_(parameter, weight)
                else:
                    average.copy_(average + (parameter - average) * weight)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], Any]:
    """A function of (average, parameter, count) that returns the new exponential average."""
    _check_decay(decay)

    def ema_update(average: Any, parameter: Any, num_averaged: Any) -> Any:
        with lampas.no_grad():
            return decay * average + (1 - decay) * parameter

    return ema_update


def get_swa_avg_fn() -> Callable[[Any, Any, Any], Any]:
    """A function of (average, parameter, count) that returns the new equal-weight average."""

    def swa_update(average: Any, parameter: Any, num_averaged: Any) -> Any:
        with lampas.no_grad():
            return average + (parameter - average) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages; call `update_parameters` to take one in.

    `avg_fn` computes one average, `multi_avg_fn` all in place; without either, all have equal weight.
    With `use_buffers`, buffers are averaged too, else they are copied.
    """

    n_averaged: Any

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Any, Any, Any], Any] | None = None,
        multi_avg_fn: Callable[[Tensors, Tensors, Any], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", lampas.tensor(0, dtype=lampas.int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's answer."""
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> Iterable[Any]:
        if self.use_buffers:
            return itertools.chain(model.parameters(), model.buffers())
        return model.parameters()

    def update_parameters(self, model: Module) -> None:
        """Takes the model's parameters into the averages."""
        averages = [average.detach() for average in self._averaged(self.module)]
        values = [
            value.detach().to(average.device)
            for average, value in zip(averages, self._averaged(model), strict=True)
        ]
        count = int(self.n_averaged)
        if count == 0:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)
        elif self.avg_fn is not None:
            for average, value in zip(averages, values, strict=True):
                average.copy_(self.avg_fn(average, value, self.n_averaged))
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            _update_by_dtype(update, averages, values, self.n_averaged)
        if not self.use_buffers:
            for kept, new in zip(self.module.buffers(), model.buffers(), strict=True):
                kept.detach().copy_(new.detach())
        self.n_averaged += 1


def _update_by_dtype(
    update: Callable[[Tensors, Tensors, Any], None], averages: Tensors, values: Tensors, count: Any
) -> None:
    """Users' functions look at the first tensor's dtype: each call gets tensors of one dtype."""
    kinds: dict[Any, list[int]] = {}
    for place, average in enumerate(averages):
        kinds.setdefault(average.dtype, []).append(place)
    for places in kinds.values():
        update([averages[place] for place in places], [values[place] for place in places], count)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes the running statistics of the batch-norm layers anew, over all of `loader`."""
    momenta = {
        module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)
    }
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.reset_running_stats()
        module.momentum = None
    with lampas.no_grad():
        for batch in loader:
            features = batch[0] if isinstance(batch, list | tuple) else batch
            model(features if device is None else features.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the present rate to `swa_lr` in `anneal_epochs`, along a line or a cosine; then constant.

    Raises ValueError for an unknown strategy or a length that is no natural number.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = per_group("swa_lr", optimizer, swa_lr)
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of `swa_lr` is in the rate at a step."""
        place = max(0, min(1, step / max(1, self.anneal_epochs)))
        if self._anneal_strategy == "linear":
            return place
        return (1 - math.cos(math.pi * place)) / 2

    def get_lr(self) -> list[Any]:
        """The next learning rates."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            rate, target = group["lr"], group["swa_lr"]
            # The rate that the annealing began from, whatever else has changed the present one.
            first = target if before == 1 else (rate - before * target) / (1 - before)
            rates.append(target * now + first * (1 - now))
        return rates
