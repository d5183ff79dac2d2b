"""Ready-made parametrizations: weight normalisation, spectral normalisation, orthogonal matrices."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from lampas.engine.tensor import Tensor, empty_like, eye, from_numpy, no_grad
from lampas.nn import functional as F
from lampas.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from lampas.nn.modules.module import Module
from lampas.nn.utils import parametrize
from lampas.nn.utils.weight_norm import norm_except_dim, normalized_weight

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return normalized_weight(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """w = g·v/‖v‖ with originals g (`original0`) and v (`original1`) (Salimans & Kingma, 2016).

    Checkpoints of the hook form (`name_g`, `name_v`) load too.
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for number, suffix in enumerate(("_g", "_v")):
            old = f"{prefix}{name}{suffix}"
            if old in state:
                state[f"{prefix}parametrizations.{name}.original{number}"] = state.pop(old)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    """w/σ(w); the vectors of the power iteration are buffers `_u` and `_v`."""

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        rank = weight.dim()
        if not -rank <= dim < rank:
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[-{rank}, {rank - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + rank
        self.eps = eps
        if rank > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._as_matrix(weight)
            height, width = matrix.size()
            u = matrix.new_empty(height).normal_(0, 1)
            v = matrix.new_empty(width).normal_(0, 1)
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _as_matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).reshape(weight.size(self.dim), -1)

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        with no_grad():
            for _ in range(steps):
                self._u.copy_(F.normalize(matrix.mv(self._v), dim=0, eps=self.eps))
                self._v.copy_(F.normalize(matrix.t().mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._as_matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix.mv(v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide the tensor by its largest singular value (Miyato et al., 2018)."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        transposed = isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d)
        dim = 1 if transposed else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    parametrize.register_parametrization(module, name, made)
    return module


class _OrthMaps(Enum):
    matrix_exp = "matrix_exp"
    cayley = "cayley"
    householder = "householder"


class _Orthogonal(Module):
    """An orthogonal matrix from a skew-symmetric one, times a fixed base matrix."""

    base: Tensor

    def __init__(
        self, weight: Tensor, orthogonal_map: _OrthMaps, *, use_trivialization: bool = True
    ) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map is _OrthMaps.householder:
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        self.register_buffer("base", None)
        if use_trivialization:
            self.register_buffer("base", _orthogonal_part(weight))

    def forward(self, X: Tensor) -> Tensor:
        rows, columns = X.size(-2), X.size(-1)
        wide = rows < columns
        if wide:
            X, rows, columns = X.transpose(-2, -1), columns, rows
        skew = _square(X.tril(-1), rows)
        skew = skew - skew.transpose(-2, -1)
        unit = eye(rows, dtype=X.dtype)
        if self.orthogonal_map is _OrthMaps.matrix_exp:
            made = skew.matrix_exp()
        else:
            made = (unit + skew * 0.5).inverse().matmul(unit - skew * 0.5).transpose(-2, -1)
        made = made[..., :columns]
        if self.base is not None:
            base = self.base.transpose(-2, -1) if wide else self.base
            made = _complete(base, rows).matmul(made)
        return made.transpose(-2, -1) if wide else made

    def right_inverse(self, Q: Tensor) -> Tensor:
        if tuple(Q.shape) != tuple(self.shape):
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of "
                f"shape {Q.shape}."
            )
        if self.base is None:
            raise NotImplementedError(
                "It is not possible to assign to the orthogonal parametrization when "
                "use_trivialization=False."
            )
        self.base = _orthogonal_part(Q)
        return empty_like(Q).fill_(0)


def _square(lower: Tensor, rows: int) -> Tensor:
    """The strictly lower part of a tall matrix as a square one."""
    missing = rows - lower.size(-1)
    return F.pad(lower, (0, missing)) if missing else lower


def _orthogonal_part(weight: Tensor) -> Tensor:
    """Q of the QR decomposition of a matrix, or of its transpose if it is wide."""
    with no_grad():
        values = weight.detach().numpy()
        tall = values if values.shape[-2] >= values.shape[-1] else np.swapaxes(values, -2, -1)
        q, r = np.linalg.qr(tall)
        signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
        q = q * np.where(signs == 0, 1, signs)[..., None, :]
        made = q if values.shape[-2] >= values.shape[-1] else np.swapaxes(q, -2, -1)
        return from_numpy(np.ascontiguousarray(made))


def _complete(base: Tensor, rows: int) -> Tensor:
    """A square orthogonal matrix whose first columns are those of `base`."""
    columns = base.size(-1)
    if columns == rows:
        return base
    values = base.detach().numpy()
    full, _ = np.linalg.qr(values, mode="complete")
    full[..., :, :columns] = values
    return from_numpy(np.ascontiguousarray(full))


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep the matrix orthogonal (its rows or columns orthonormal if it is not square).

    Maps: "matrix_exp" (the default) and "cayley"; "householder" raises
    NotImplementedError.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.dim() < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions."
        )
    chosen = "matrix_exp" if orthogonal_map is None else orthogonal_map
    if chosen not in _OrthMaps.__members__:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
            f"Got: {orthogonal_map}"
        )
    if chosen == "householder":
        raise NotImplementedError("orthogonal: the map 'householder' is not implemented")
    made = _Orthogonal(weight, _OrthMaps[chosen], use_trivialization=use_trivialization)
    parametrize.register_parametrization(module, name, made, unsafe=True)
    return module
