"""Windows, short-time transforms, masked reductions, memory formats and small element functions."""

import pytest

from tests.parity.expressions import check, check_error

torch = pytest.importorskip("torch")

NAMES = "bartlett blackman hann hamming nuttall cosine exponential gaussian kaiser".split()
OLD = "bartlett blackman hann hamming kaiser".split()
MASKED = "sum prod mean amax amin argmax argmin var std logsumexp norm".split()
EXPRESSIONS = """
T.stft(T.cat([u, u]), 4, return_complex=True) | T.stft(T.cat([u, v]), 4, 2, window=T.hann_window(4, dtype=T.float64), center=False, return_complex=True) | T.stft(u, 4, normalized=True, onesided=False, return_complex=True)
T.istft(T.stft(T.cat([u, u]), 4, window=T.hann_window(4, dtype=T.float64), return_complex=True), 4, window=T.hann_window(4, dtype=T.float64)) | T.istft(T.stft(T.cat([u, u]), 4, return_complex=True), 4, length=9)
T.masked.cumsum(x, 1, mask=b) | T.masked.softmax(x, 1, mask=b) | T.masked.normalize(x, 2.0, 1, mask=b) | T.masked.median(x, 1)
T.ones(2, 3, 4, 5).contiguous(memory_format=T.channels_last).stride() | T.ones(2, 3, 4, 5).is_contiguous(memory_format=T.channels_last) | str(T.channels_last) | str(T.strided)
T.zeros(4, 3).fill_diagonal_(2) | T.zeros(9, 3).fill_diagonal_(2, wrap=True) | T.is_nonzero(s) | i.clone().apply_(lambda n: n + 1) | i.clone().map_(j, lambda a, c: a * c) | T.range(1, 4, 0.5) | T.broadcast_shapes((5, 1), 3) | x.detach().clone().resize_(2, 3) | B.sum_to_size(3, 1)
T.hash_tensor(x.detach()).item() | T.empty_permuted((2, 3, 4), (1, 2, 0)).stride() | T.nan_to_num(holes).norm()
""".replace("\n", " | ").split(" | ")


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if each.strip()])
def test_agrees(expression: str) -> None:
    check(torch, expression)


@pytest.mark.parametrize("name", NAMES)
def test_windows(name: str) -> None:
    call = f"T.signal.windows.{name}"
    check(torch, f"[{call}(6, dtype=T.float64), {call}(7, sym=False, dtype=T.float64)]")


@pytest.mark.parametrize("name", OLD)
def test_old_windows(name: str) -> None:
    call = f"T.{name}_window"
    check(torch, f"[{call}(6, dtype=T.float64), {call}(7, periodic=False, dtype=T.float64)]")


@pytest.mark.parametrize("name", MASKED)
def test_masked_reductions(name: str) -> None:
    order = "2, " if name == "norm" else ""
    check(torch, f"T.masked.{name}(x, {order}1, mask=b)")


@pytest.mark.parametrize(
    ("expression", "phrase"),
    [
        ("T.stft(u, 4)", "return_complex"),
        ("T.stft(u, 99, center=False, return_complex=True)", "expected 0 < n_fft"),
        ("T.istft(x, 4)", "complex-valued input"),
        ("T.signal.windows.gaussian(4, std=-1.0)", "must be positive"),
        ("T.is_nonzero(x)", "ambiguous"),
        ("T.memory_format()", "cannot create 'torch.memory_format' instances"),
    ],
)
def test_errors(expression: str, phrase: str) -> None:
    check_error(torch, expression, phrase)
