"""Batch normalisation of one to three spatial dimensions."""

from __future__ import annotations

from typing import Any

from lampas.engine.tensor import Tensor, empty, ones, tensor, zeros
from lampas.engine.tensor.neural_normalization import count_batch
from lampas.nn import init
from lampas.nn.functional.normalization import count_and_normalize
from lampas.nn.modules.lazy import LazyModuleMixin
from lampas.nn.modules.module import Module
from lampas.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d",
    "LazyBatchNorm3d", "SyncBatchNorm",
]  # fmt: skip


class _NormBase(Module):
    """Affine parameters and running statistics, shared by batch and instance normalisation."""

    _version = 2

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        if affine:
            self.weight = Parameter(empty(num_features, **options))
        else:
            self.register_parameter("weight", None)
        if affine and bias:
            self.bias = Parameter(empty(num_features, **options))
        else:
            self.register_parameter("bias", None)
        self._register_statistics(num_features, options)
        self.reset_parameters()

    def _register_statistics(self, num_features: int, options: dict[str, Any]) -> None:
        if not self.track_running_stats:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
            return
        self.register_buffer("running_mean", zeros(num_features, **options))
        self.register_buffer("running_var", ones(num_features, **options))
        count = tensor(0, device=options["device"])
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Start the running statistics again from mean 0 and variance 1."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, fresh statistics."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError(f"_check_input_dim is not defined for {type(self).__name__}")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any
    ) -> None:
        # Checkpoints before version 2 did not count batches.
        version = local_metadata.get("version", None)
        key = prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            count = self.num_batches_tracked
            state_dict[key] = tensor(0) if count is None else count
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        factor = 0.0 if self.momentum is None else self.momentum
        training = self.training
        mean, variance, count = self._statistics()
        use_batch = training or (mean is None and variance is None)
        if training and self.track_running_stats:
            if count is not None and (self.momentum is None or mean is None or variance is None):
                count_batch(count)
                if self.momentum is None:
                    factor = 1.0 / float(count)
                count = None
        else:
            count = None
            if training:
                mean = variance = None
        return count_and_normalize(
            input, mean, variance, *self._weight_and_bias(), use_batch, factor, self.eps, count
        )

    def _statistics(self) -> tuple[Any, Any, Any]:
        """Running mean and variance, and the count of batches: see `_weight_and_bias`."""
        own = self._buffers
        try:
            return own["running_mean"], own["running_var"], own["num_batches_tracked"]
        except KeyError:
            return self.running_mean, self.running_var, self.num_batches_tracked


class _RankCheck:
    """Which ranks of input a normalisation layer takes."""

    _ranks: tuple[int, ...]

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self._ranks:
            expected = " or ".join(f"{rank}D" for rank in self._ranks)
            raise ValueError(f"expected {expected} input (got {input.dim()}D input)")


class BatchNorm1d(_RankCheck, _BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L)."""

    _ranks = (2, 3)


class BatchNorm2d(_RankCheck, _BatchNorm):
    """Batch normalisation of (N, C, H, W)."""

    _ranks = (4,)


class BatchNorm3d(_RankCheck, _BatchNorm):
    """Batch normalisation of (N, C, D, H, W)."""

    _ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation; on one process the batch is the whole batch."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The same tree with every batch normalisation replaced by a `SyncBatchNorm`."""
        result = module
        if isinstance(module, _BatchNorm):
            result = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            result._parameters = module._parameters
            result._buffers = module._buffers
            result.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result


class _LazyNormBase(LazyModuleMixin, _NormBase):
    """A normalisation layer that takes `num_features` from its first input."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        # The tensors come after: the ordinary constructor would give them a shape.
        super().__init__(0, eps, momentum, False, False, device, dtype)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(device=device, dtype=dtype)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = tensor(0, device=device)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        if self.affine:
            self.weight.materialize((self.num_features,))
            if self.bias is not None:
                self.bias.materialize((self.num_features,))
        if self.track_running_stats:
            self.running_mean.materialize((self.num_features,))
            self.running_var.materialize((self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_RankCheck, _LazyNormBase, _BatchNorm):
    """`BatchNorm1d` of as many features as its first input has."""

    _ranks = (2, 3)
    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_RankCheck, _LazyNormBase, _BatchNorm):
    """`BatchNorm2d` of as many features as its first input has."""

    _ranks = (4,)
    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_RankCheck, _LazyNormBase, _BatchNorm):
    """`BatchNorm3d` of as many features as its first input has."""

    _ranks = (5,)
    cls_to_become = BatchNorm3d
