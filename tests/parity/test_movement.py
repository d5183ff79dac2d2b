"""Sorting, selection, masks and rearrangement beside PyTorch."""

import pytest

from tests.parity.expressions import check, check_error

torch = pytest.importorskip("torch")

EXPRESSIONS = """
x.sort() | T.sort(ties, dim=1, stable=True) | x.sort(0, descending=True) | holes.sort(1) | x.argsort(1) | x.msort() | x.topk(2) | x.topk(3, 0, largest=False) | x.kthvalue(2) | x.kthvalue(1, 0, keepdim=True)
T.searchsorted(v.sort().values, x) | T.bucketize(x, T.tensor([-1.0, 0.0, 1.0], dtype=T.float64), right=True) | T.searchsorted(v.detach().sort().values, 0.3) | T.isin(i, j) | T.isin(i, 2, invert=True)
x.gather(0, rows) | x.gather(1, k[:3, None]) | x.scatter(0, rows, y[:2]) | x.scatter(0, rows, 1.5) | x.scatter_add(0, rows, y[:2]) | x.detach().scatter(0, rows, y[:2].detach(), reduce='add') | x.scatter_reduce(0, rows, y[:2], 'prod') | x.scatter_reduce(0, rows, y[:2], 'amax', include_self=False) | x.scatter_reduce(0, rows, y[:2], 'mean') | T.zeros(3, 4, dtype=T.float64).scatter_reduce(0, rows, y[:2], 'prod')
x.index_select(1, k) | x.index_add(1, k, x, alpha=2) | x.index_copy(0, k[:3], y) | x.index_fill(1, k[:2], 3.0) | x.index_fill(1, k[:2], s) | x.index_reduce(0, k[:3], y, 'amin') | x.take(rows) | x.put(k, v) | x.put(k, v, accumulate=True) | x.take_along_dim(rows[:1], 0) | T.take_along_dim(x, x.argsort(1), 1)
x.masked_fill(b, 2.0) | x.masked_fill(b[0], s) | x.masked_select(b) | x.masked_scatter(b, y) | T.nonzero(i) | T.nonzero(b, as_tuple=True) | T.argwhere(b) | T.where(b) | T.unravel_index(k, (2, 3))
x.tril() | B.triu(1) | x.triu(-1) | T.tril_indices(3, 4, 1) | T.triu_indices(3, 3) | v.diag() | A.diag(1) | A.diagonal(-1) | B.diagonal(0, 1, 2) | v.diag_embed(1) | x.diag_embed(0, 0, 2) | v.diagflat() | A.trace()
x.flip(0, 1) | x.fliplr() | x.flipud() | x.roll(1) | x.roll((1, -1), (0, 1)) | x.rot90() | x.rot90(-1) | x.rot90(2, (1, 0)) | x.repeat(2, 1, 3) | x.tile(2) | x.repeat_interleave(2) | x.repeat_interleave(k[:3], 0) | x.repeat_interleave(2, dim=1) | T.repeat_interleave(k)
x.unfold(1, 2, 1) | u.unfold(0, 3, 2) | T.meshgrid(v, w, indexing='ij') | T.meshgrid(v, w, indexing='xy') | T.cartesian_prod(v, w) | T.combinations(v) | T.combinations(v, 3, with_replacement=True) | T.block_diag(A, v, s)
x.select_scatter(v, 0, 1) | x.slice_scatter(y[:, :2], 1, 0, 4, 2) | A.diagonal_scatter(w) | T.diagonal_copy(A) | T.permute_copy(B, (2, 0, 1))
T.real(z) | T.imag(z) | z.angle() | x.angle() | T.conj_physical(z) | T.view_as_real(z) | T.complex(x, y) | T.polar(p, x) | z.sgn() | z.abs() | T.view_as_complex(x.reshape(3, 2, 2))
""".replace("\n", " | ").split(" | ")


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if each.strip()])
def test_agrees(expression: str) -> None:
    check(torch, expression)


@pytest.mark.parametrize(
    ("expression", "phrase"),
    [
        ("x.topk(7)", "selected index k out of range"),
        ("x.gather(0, x)", "Expected dtype int32/int64 for index"),
        ("x.gather(0, T.tensor([[9]]))", "index 9 is out of bounds for dimension 0 with size 3"),
        ("x.index_select(0, T.tensor([7]))", "index out of range in self"),
        ("x.masked_select(x)", "expected BoolTensor for mask"),
        ("x.diagonal(0, 0, 0)", "diagonal dimensions cannot be identical"),
        ("x.unfold(1, 9, 1)", "maximum size for tensor at dimension 1 is 4 but size is 9"),
        ("x.roll((1, 2), (0,))", "shifts and dimensions must align"),
        ("x.repeat(2)", "can not be smaller than number of dimensions"),
        ("T.imag(x)", "not implemented for tensors with non-complex dtypes"),
    ],
)
def test_errors(expression: str, phrase: str) -> None:
    check_error(torch, expression, phrase)


@pytest.mark.parametrize(
    "change",
    [
        "x.diagonal().fill_(7)",
        "x.unfold(1, 2, 2).mul_(3)",
        "x.scatter_(0, rows, 1.0)",
        "x.masked_fill_(b, 0.0)",
        "x.index_add_(1, k, y)",
        "x.tril_()",
        "x.t().put_(k, v)",
    ],
)
def test_writes(change: str) -> None:
    """Views and in-place forms change the tensor itself."""
    check(torch, f"[{change}, x]", grad=False)


@pytest.mark.parametrize(
    "change", ["T.real(z).mul_(2)", "T.imag(z)[0].fill_(1)", "T.view_as_real(z)[1].zero_()"]
)
def test_parts_of_complex_numbers_share_memory(change: str) -> None:
    check(torch, f"[{change}, z]", grad=False)
