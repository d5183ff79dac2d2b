"""Linear algebra beside PyTorch, with derivatives."""

import pytest

from tests.parity.expressions import check, check_error

torch = pytest.importorskip("torch")

EXPRESSIONS = """
T.linalg.inv(S) | S.inverse() | T.linalg.inv(Z) | T.linalg.solve(S, A) | T.linalg.solve(S, w) | T.linalg.solve(S, x.T, left=False) | T.linalg.det(A) | A.det() | T.linalg.det(Z) | T.linalg.slogdet(A) | T.logdet(S) | T.linalg.det(A * T.tensor([1.0, 0.0, 1.0], dtype=T.float64))
T.linalg.cholesky(S) | T.linalg.cholesky(S, upper=True) | T.cholesky_solve(A, L) | T.cholesky_inverse(L) | T.linalg.solve_triangular(L, A, upper=False) | T.linalg.solve_triangular(L, A, upper=False, left=False, unitriangular=True) | T.linalg.inv_ex(S) | T.linalg.cholesky_ex(S)
T.linalg.lu(A) | T.linalg.lu(x) | T.linalg.lu(D) | T.linalg.lu_factor(A) | T.linalg.lu_solve(*T.linalg.lu_factor(A), S) | T.lu_unpack(*T.linalg.lu_factor(x)) | T.linalg.ldl_factor(S.detach())
T.linalg.eigvalsh(S) | T.linalg.eigh(S).eigenvectors.abs() | T.linalg.svdvals(x) | T.linalg.svd(x, full_matrices=False).U.abs() | T.linalg.svd(D, full_matrices=False).Vh.abs() | T.linalg.eigvals(S).abs().sort().values | T.linalg.eig(S).eigenvectors.abs().sum()
T.linalg.qr(D) | T.linalg.qr(x) | T.linalg.qr(A.detach(), mode='r').R | T.linalg.pinv(x) | T.linalg.pinv(D) | T.linalg.pinv(S, hermitian=True) | T.linalg.matrix_rank(x.detach()) | T.linalg.lstsq(D, D[:, :2]).solution | T.linalg.matrix_exp(A) | T.linalg.matrix_power(A, 3) | T.linalg.matrix_power(S, -2) | T.linalg.householder_product(D, w) | T.linalg.cond(S) | T.linalg.cond(S.detach(), 1)
T.linalg.vector_norm(x) | T.linalg.vector_norm(x, 3, 1) | T.linalg.vector_norm(x, 0) | T.linalg.vector_norm(z, 1.5, 0) | T.linalg.vector_norm(x, float('-inf'), 1) | T.linalg.matrix_norm(x) | T.linalg.matrix_norm(x, 'nuc') | T.linalg.matrix_norm(x, 1) | T.linalg.matrix_norm(B, 2) | T.linalg.norm(x, float('inf')) | T.linalg.norm(v, 1) | T.linalg.tensorinv(T.eye(6, dtype=T.float64).reshape(2, 3, 6) * s) | T.linalg.tensorsolve(T.eye(6, dtype=T.float64).reshape(2, 3, 6), u.reshape(2, 3)) | T.linalg.vander(v) | T.vander(v.detach(), increasing=True)
T.fft.fft(x) | T.fft.ifft(z, dim=0) | T.fft.rfft(x, norm='ortho') | T.fft.irfft(z, n=7) | T.fft.fft2(x) | T.fft.fftn(B, dim=(0, 2)) | T.fft.rfftn(B) | T.fft.irfft2(z) | T.fft.hfft(z).resolve_conj() | T.fft.ihfft(x).resolve_conj() | T.fft.fft(x, n=6) | T.fft.fftfreq(5, 0.5) | T.fft.rfftfreq(6) | T.fft.fftshift(x) | T.fft.ifftshift(x, dim=1)
""".replace("\n", " | ").split(" | ")


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if each.strip()])
def test_agrees(expression: str) -> None:
    check(torch, expression)


@pytest.mark.parametrize(
    ("expression", "phrase"),
    [
        ("T.linalg.inv(x)", "A must be batches of square matrices"),
        ("T.linalg.inv(A * 0)", "because the input matrix is singular"),
        ("T.linalg.solve(A * 0, A)", "The solver failed because the input matrix is singular"),
        ("T.linalg.cholesky(-S)", "the leading minor of order 1 is not positive-definite"),
        ("T.linalg.inv(i[:, :3])", "Expected a floating point or complex tensor as input"),
        ("T.linalg.solve(A, v)", "Incompatible shapes of A and B"),
        ("T.linalg.vector_norm(i)", "Expected a floating point or complex tensor"),
        ("T.linalg.matrix_norm(v)", "must have at least 2 dimensions"),
        ("T.fft.fft(x, norm='x')", "Invalid normalization mode"),
    ],
)
def test_errors(expression: str, phrase: str) -> None:
    check_error(torch, expression, phrase)
