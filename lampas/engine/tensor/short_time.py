"""The short-time Fourier transform and its inverse (Allen & Rabiner, 1977; Griffin & Lim, 1984)."""

from __future__ import annotations

from typing import Any

from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import PUBLIC, public
from lampas.engine.tensor.values import array_of


def _fft(name: str) -> Any:
    return PUBLIC[f"fft.{name}"].function


def _padded_window(input: Tensor, window: Tensor | None, win_length: int, n_fft: int) -> Any:
    """The window (of ones if not given) in the middle of n_fft places."""
    kind = input.dtype.to_real()
    made: Any = input.new_ones(win_length, dtype=kind) if window is None else window  # type: ignore[attr-defined]
    if made._shape != (win_length,):
        raise RuntimeError(
            f"stft(): expected a 1D window tensor of size equal to win_length={win_length}, but "
            f"got window with size {list(made._shape)}"
        )
    left = (n_fft - win_length) // 2
    right = n_fft - win_length - left
    return (
        _joined(made.new_zeros(left), made, made.new_zeros(right)) if n_fft > win_length else made
    )


@public(method=True)
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Fourier transforms of windows of n_fft points in steps of hop_length: (…, frequency, time)."""
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    one_sided = not input.dtype.is_complex if onesided is None else onesided
    if return_complex is None:
        if not input.dtype.is_complex and (window is None or not window.dtype.is_complex):
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will "
                "further require that return_complex=True in a future PyTorch release."
            )
        return_complex = True
    x: Any = input if len(input._shape) == 2 else input.unsqueeze(0)  # type: ignore[attr-defined]
    if center:
        x = _centred(x, n_fft // 2, pad_mode)
    _check_frames(n_fft, hop, length, x._shape[-1])
    frames = x.unfold(-1, n_fft, hop) * _padded_window(input, window, length, n_fft)
    norm = "ortho" if normalized else "backward"
    real = one_sided and not frames.dtype.is_complex
    found = _fft("rfft" if real else "fft")(frames, norm=norm)
    if one_sided and not real:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    found = found.transpose(-1, -2)
    found = found if len(input._shape) == 2 else found.squeeze(0)
    return found if return_complex else PUBLIC["view_as_real"].function(found)


def _centred(x: Any, amount: int, mode: str) -> Any:
    """The signal continued on both sides, as `nn.functional.pad` does."""
    if mode == "constant":
        return _joined(x.new_zeros((x._shape[0], amount)), x, x.new_zeros((x._shape[0], amount)))
    size = x._shape[-1]
    if mode == "reflect":
        if amount >= size:
            raise RuntimeError(
                f"Argument #4: Padding size should be less than the corresponding input dimension, "
                f"but got: padding ({amount}, {amount}) at dimension 2 of input {list(x._shape)}"
            )
        left = x.narrow(-1, 1, amount).flip(-1)
        return _joined(left, x, x.narrow(-1, size - 1 - amount, amount).flip(-1))
    if mode == "replicate":
        left, right = x.narrow(-1, 0, 1), x.narrow(-1, size - 1, 1)
        return _joined(left.expand(-1, amount), x, right.expand(-1, amount))
    if mode == "circular":
        return _joined(x.narrow(-1, size - amount, amount), x, x.narrow(-1, 0, amount))
    raise NotImplementedError(f"Unrecognised padding mode {mode}")


def _joined(*parts: Any) -> Any:
    return PUBLIC["cat"].function(list(parts), -1)


def _check_frames(n_fft: int, hop: int, length: int, size: int) -> None:
    if not 0 < n_fft <= size:
        raise RuntimeError(f"stft(): expected 0 < n_fft < {size}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"stft(): expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"stft(): expected 0 < win_length <= n_fft, but got win_length={length}")


def _overlapped(frames: Any, hop: int) -> Any:
    """The sum of frames (batch, time, n) laid hop places apart."""
    batch, count, width = frames._shape
    total = width + hop * (count - 1)
    steps = PUBLIC["arange"].function(count)
    places = (steps * hop).unsqueeze(1) + PUBLIC["arange"].function(width)
    flat = frames.new_zeros((batch, total))
    return flat.index_add(1, places.reshape(-1), frames.reshape(batch, count * width))


@public(method=True)
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose short-time transforms come nearest to input in the least-squares sense."""
    if not input.dtype.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    hop = n_fft // 4 if hop_length is None else hop_length
    shape = _padded_window(input, window, n_fft if win_length is None else win_length, n_fft)
    spectrum: Any = input if len(input._shape) == 3 else input.unsqueeze(0)  # type: ignore[attr-defined]
    norm = "ortho" if normalized else "backward"
    signal = _frames_of(spectrum, n_fft, onesided, norm, return_complex)
    result = _laid_over(signal * shape, shape, hop, n_fft // 2 if center else 0, length)
    return result if len(input._shape) == 3 else result.squeeze(0)


def _frames_of(
    spectrum: Any, n_fft: int, onesided: bool | None, norm: str, return_complex: bool
) -> Any:
    """The signal in each window: (batch, time, n_fft)."""
    one_sided = spectrum._shape[1] != n_fft if onesided is None else onesided
    bins = n_fft // 2 + 1 if one_sided else n_fft
    if spectrum._shape[1] != bins:
        raise RuntimeError(
            f"istft: expected the frequency dimension (3rd to the last) of the input tensor to "
            f"match n_fft / 2 + 1 when onesided=True, but got {spectrum._shape[1]}"
        )
    frames = spectrum.transpose(1, 2)
    if return_complex:
        return _fft("ifft")(frames, n=n_fft, norm=norm)
    part = frames if one_sided else frames.narrow(-1, 0, n_fft // 2 + 1)
    return _fft("irfft")(part, n=n_fft, norm=norm)


def _laid_over(signal: Any, window: Any, hop: int, start: int, length: int | None) -> Any:
    """The overlapping frames summed, divided by the sum of squared windows, and cut to length."""
    total = _overlapped(signal, hop)
    weight = _overlapped((window * window).expand(1, *signal._shape[1:]), hop)
    end = total._shape[-1] - start if length is None else start + length
    stop = min(end, total._shape[-1])
    total, weight = total[:, start:stop], weight[:, start:stop]
    if bool((abs(array_of(weight.detach())) < 1e-11).any()):
        raise RuntimeError(
            "window overlap add min: 1, but it is zero somewhere: istft needs windows that overlap"
        )
    result = total / weight
    if stop == end:
        return result
    return _joined(result, result.new_zeros((result._shape[0], end - stop)))
