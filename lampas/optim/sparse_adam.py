"""SparseAdam: Adam that touches only the rows with a gradient. It needs sparse tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import lampas
from lampas.optim.elementwise import check_betas
from lampas.optim.optimizer import Optimizer
from lampas.optim.update import plain_number


class SparseAdam(Optimizer):
    """Checks its options as PyTorch does; `step` refuses dense gradients (RuntimeError).

    Sparse gradients raise NotImplementedError: Lampas has no sparse tensors.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, lampas.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not plain_number(lr) > 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        places = [
            [number, place]
            for number, group in enumerate(self.param_groups)
            for place, parameter in enumerate(group["params"])
            if parameter.is_complex()
        ]
        if places:
            raise ValueError(
                f"Complex params at indices {places}: SparseAdam does not support complex "
                "parameters"
            )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Raises RuntimeError on a dense gradient; without gradients does nothing."""
        loss = None
        if closure is not None:
            with lampas.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if not getattr(parameter.grad, "is_sparse", False):
                    raise RuntimeError(
                        "SparseAdam does not support dense gradients, please consider Adam instead"
                    )
                raise NotImplementedError("SparseAdam.step: sparse gradients are not implemented")
        return loss
