"""Reductions, scans and statistics beside PyTorch."""

import pytest

from tests.parity.expressions import check, check_error

torch = pytest.importorskip("torch")

EXPRESSIONS = """
x.sum() | x.sum(1) | x.sum((0, 1), keepdim=True) | x.sum(-1, True) | b.sum() | i.sum(0) | i.sum(dtype=T.float32)
T.sum(x, axis=0, keepdims=True) | x.sum(()) | s.sum() | z.sum(1) | x.mean() | x.mean((0,)) | z.mean() | i.mean(dtype=T.float64)
x.prod() | x.prod(1) | ties.prod(0, keepdim=True) | (x * (x > 0)).prod(1) | i.prod() | z.prod()
x.amax() | ties.amax(1) | ties.amin((0, 1)) | x.amin(0, keepdim=True) | T.aminmax(x, dim=1) | T.aminmax(x)
x.max() | ties.max() | x.max(1) | ties.max(1, keepdim=True) | x.min(0) | b.max(0) | holes.max(1) | T.max(x, y) | T.min(x, y) | x.max(y)
x.argmax() | x.argmax(1) | ties.argmin(0, keepdim=True) | holes.argmax(1) | x.argmin()
b.all() | b.any(1) | x.all(0) | i.any((0, 1), keepdim=True) | T.all(b, dim=(0, 1))
holes.nansum() | holes.nansum(1) | holes.nanmean(1, keepdim=True) | T.count_nonzero(i) | T.count_nonzero(b, dim=1)
x.logsumexp(1) | x.logsumexp((0, 1)) | (x * 1000).logsumexp(0) | i.logsumexp(0)
x.var() | x.std() | x.var(1) | x.std(0, unbiased=False) | x.var((0, 1), correction=0) | x.std(1, keepdim=True, correction=2) | T.var_mean(x, 1) | T.std_mean(x) | z.var(1)
x.median() | x.median(1) | holes.median(1) | holes.nanmedian(1) | T.nanmedian(holes) | ties.mode(1) | i.mode(0)
x.quantile(0.3) | x.quantile(T.tensor([0.1, 0.5], dtype=T.float64), dim=1) | x.quantile(0.4, 0, keepdim=True, interpolation='nearest') | holes.nanquantile(0.5, 1) | x.quantile(0.4, 1, interpolation='midpoint')
x.cumsum(1) | i.cumsum(0) | b.cumsum(1) | x.cumprod(0) | (x * (x > 0)).cumprod(1) | x.cummax(1) | ties.cummin(0) | x.logcumsumexp(1) | s.cumsum(0)
x.diff() | x.diff(2, 0) | b.diff() | x.diff(prepend=x[:, :1]) | T.trapezoid(x, dx=0.5) | T.trapezoid(y, v.cumsum(0)) | T.cumulative_trapezoid(x, dim=0) | T.gradient(x)[1] | T.gradient(x, spacing=2.0, dim=0, edge_order=2)[0]
T.cov(x) | T.corrcoef(x) | T.cov(x, correction=0) | x.norm() | x.norm(1, 1) | x.norm(p=3, dim=0) | x.norm(float('inf')) | T.dist(x, y) | T.dist(x, y, 1) | T.cdist(x, y) | T.cdist(x, y, 1.0) | T.renorm(x, 2, 0, 1.0)
T.unique(i, return_inverse=True, return_counts=True) | T.unique(ties.detach(), dim=0) | T.unique_consecutive(k) | T.bincount(k, minlength=5) | T.bincount(k, v.detach().abs()) | T.histc(x.detach(), 5, -2, 2) | T.histogram(u.detach(), 4)
""".replace("\n", " | ").split(" | ")


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if each.strip()])
def test_agrees(expression: str) -> None:
    check(torch, expression)


@pytest.mark.parametrize(
    ("expression", "phrase"),
    [
        ("i.mean()", "could not infer output dtype"),
        ("x.sum(5)", "Dimension out of range"),
        ("x.sum((0, 0))", "appears multiple times"),
        ("T.empty(0).max()", "Expected reduction dim to be specified"),
        ("T.empty(0, 3).max(0)", "to have non-zero size"),
        ("T.empty(0, 3).argmax()", "Expected reduction dim"),
        ("i.std()", "only support floating point"),
        ("x.quantile(2.0)", "must be in the range [0, 1]"),
        ("b.argmax()", "does not support bool input"),
        ("x.sum(0, 1)", "must be bool, not int"),
        ("x.kthvalue(9)", "out of range"),
    ],
)
def test_errors(expression: str, phrase: str) -> None:
    check_error(torch, expression, phrase)
