"""Matrix products and their notations beside PyTorch."""

import pytest

from tests.parity.expressions import check, check_error

torch = pytest.importorskip("torch")

EXPRESSIONS = """
x @ y.T | x @ v | w @ x | v @ v | B @ C | B @ C[0] | x @ C | B @ v | w @ B | B[:, None] @ C | i @ j.T | z @ z.mH | A.matmul(x)
T.mm(A, x) | T.bmm(B, C) | T.mv(x, v) | T.dot(v, v) | T.vdot(z[0], z[1]) | T.inner(x, y) | T.inner(v, s) | T.outer(v, w) | v.ger(v)
T.addmm(x, A, y) | T.addmm(s, A, y, beta=0.5, alpha=2) | T.addmv(w, x, v) | T.addr(x, w, v, beta=2) | T.addbmm(T.ones(3, 5, dtype=T.float64), B, C) | T.baddbmm(T.ones(2, 1, 5, dtype=T.float64), B, C, alpha=0.5) | T.addmm(holes[:, :1].detach() * float('nan'), v[:2, None], T.ones(1, 2, dtype=T.float64), beta=0)
T.einsum('ij,kj->ik', x, y) | T.einsum('bij,bjk->bik', B, C) | T.einsum('ii', A) | T.einsum('ii->i', A) | T.einsum('...j,j', B, v) | T.einsum('ij,ij', x, y) | T.einsum('i,j,k->kij', v, w, v) | T.einsum(x, [0, 1], y, [2, 1], [2, 0]) | T.einsum('bij->bji', B) | T.einsum('ij,j->', x, v)
T.tensordot(x, y, dims=([0], [0])) | T.tensordot(B, C, dims=0) | T.tensordot(A, x, 1) | T.kron(A, x) | T.kron(v, w) | T.chain_matmul(x, y.T, x) | T.linalg.multi_dot([v, y.T, x, v]) | T.linalg.vecdot(x, y) | T.linalg.cross(A, A.T) | T.cross(A, A.T, dim=0)
T.nn.functional.linear(x, y) | T.nn.functional.linear(B, x, w) | T.nn.functional.linear(v, x, w)
""".replace("\n", " | ").split(" | ")


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if each.strip()])
def test_agrees(expression: str) -> None:
    check(torch, expression)


@pytest.mark.parametrize(
    ("expression", "phrase"),
    [
        ("x @ y", "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)"),
        ("T.addmm(x, x, x)", "mat1 and mat2 shapes cannot be multiplied"),
        ("x @ i.T", "expected m1 and m2 to have the same dtype, but got: double != long"),
        ("T.bmm(x, x)", "batch1 must be a 3D tensor"),
        ("T.dot(v, w)", "inconsistent tensor size"),
        ("x @ w", "size mismatch, got input (3), mat (3x4), vec (3)"),
        ("s @ v", "both arguments to matmul need to be at least 1D"),
        ("T.einsum('ij,jk', x, y)", "does not broadcast with previously seen size"),
        ("b @ b.T", "not implemented for 'Bool'"),
    ],
)
def test_errors(expression: str, phrase: str) -> None:
    check_error(torch, expression, phrase)
