"""The Mersenne Twister behind every random number, with PyTorch's seeding, draws and state.

Invariant: for the same seed and the same calls, the words are those of PyTorch's CPU generator.
The initialisation is that of Matsumoto and Nishimura (2002) with the low 32 bits of the seed, as
NumPy's legacy seeding has it. A 64-bit draw joins two words, the first of them above. The state
advances 624 words at a time: by machine code, or by NumPy's MT19937.

PyTorch's legacy record of the state has 5056 bytes (little endian):
seed u64, words left i32, seeded i32, next word u64, 624 words as u64, three doubles of which the
second is the cached normal number, flag i32, padding, and a float with a flag that stay unused.
"""

import os
import struct
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampas.engine.tensor.exact import fused32
from lampas.engine.tensor.random_native import native

Words = NDArray[np.uint32]
Place = tuple[Words, Words, int, bool, int, "float | None"]
WORDS = 624
STATE_BYTES = 5056
DEFAULT_SEED = 67280421310721
_HEAD = struct.Struct("<QiiQ")
_TAIL = struct.Struct("<dddi4xf?3x")
_lock = threading.RLock()  # of all engines: a draw is short, and a forked child must find it free
os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
)


class MersenneTwister:
    """A stream of 32-bit words, and the one normal number that Box-Muller has left over."""

    __slots__ = ("_bits", "_key", "_ready", "_untouched", "_used", "cached_normal", "seed")

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self._bits = np.random.MT19937(0)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Start the stream of a seed in ``range(2**64)`` anew."""
        self._bits._legacy_seeding(seed & 0xFFFFFFFF)  # type: ignore[attr-defined]
        self._key: Words = self._bits.state["state"]["key"]
        self._ready: Words = np.empty(WORDS, np.uint32)  # the block in use, tempered
        self._used = WORDS
        self._untouched = True
        self.seed = seed
        self.cached_normal: float | None = None

    def words(self, count: int) -> Words:
        """The next ``count`` words; threads that share the engine draw one after the other."""
        with _lock:
            return self._take(count)

    def _take(self, count: int) -> Words:
        used = self._used
        if used + count <= WORDS:
            self._used = used + count
            self._untouched &= count == 0
            return self._ready[used : used + count].copy()
        result = np.empty(count, np.uint32)
        rest = WORDS - used
        result[:rest] = self._ready[used:]
        whole = (count - rest) // WORDS * WORDS
        if whole:
            self._advance(result[rest : rest + whole])
        if rest + whole == count:
            self._ready[:] = result[-WORDS:]
            self._used = WORDS
        else:
            self._advance(self._ready)
            self._used = count - rest - whole
            result[rest + whole :] = self._ready[: self._used]
        self._untouched = False
        return result

    def _advance(self, out: Words) -> None:
        """Fill a whole number of blocks with the words that follow those of the state."""
        kernels = native(len(out))
        if kernels is not None:
            kernels["blocks"](self._key.ctypes.data, out.ctypes.data, len(out) // WORDS)
            return
        bits = self._at(WORDS)
        out[:] = np.random.Generator(bits).integers(0, 1 << 32, len(out), dtype=np.uint32)
        self._key = bits.state["state"]["key"]

    def _at(self, position: int) -> np.random.MT19937:
        """NumPy's generator at a word of the state."""
        inner = {"key": self._key, "pos": position}
        state: Any = {"bit_generator": "MT19937", "state": inner}
        self._bits.state = state
        return self._bits

    def long_words(self, count: int) -> NDArray[np.uint64]:
        """The next ``count`` pairs of words as 64-bit numbers."""
        pairs = self.words(2 * count).view("<u8")
        return (pairs << np.uint64(32)) | (pairs >> np.uint64(32))

    def floats(self, count: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
        """Uniform numbers in [low, high): the low 24 bits of a word each.

        The product with high - low and the sum with low are rounded once; a result that reaches
        high becomes low.
        """
        start, end = np.float32(low), np.float32(high)
        words = self.words(count)
        kernels = native(count)
        if kernels is not None:
            kernels["singles"](words.ctypes.data, count, start, end - start, end)
            return words.view(np.float32)
        words &= np.uint32(0xFFFFFF)
        result = words.astype(np.float32)
        result *= np.float32(2.0**-24)
        if low == 0.0 and high == 1.0:
            return result
        result = fused32(result, end - start, start)
        return np.where(result >= end, start, result)

    def doubles(self, count: int) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1): the low 53 bits of two words each."""
        kernels = native(count)
        if kernels is not None:
            pairs = self.words(2 * count)
            kernels["doubles"](pairs.ctypes.data, count)
            return pairs.view(np.float64)
        words = self.long_words(count)
        words &= np.uint64((1 << 53) - 1)
        result = words.astype(np.float64)
        result *= 2.0**-53
        return result

    def snapshot(self) -> Place:
        """The place in the stream, for ``rewind``."""
        arrays = self._key.copy(), self._ready.copy()
        return *arrays, self._used, self._untouched, self.seed, self.cached_normal

    def rewind(self, place: Place) -> None:
        """Return to a place that ``snapshot`` gave."""
        key, ready, self._used, self._untouched, self.seed, self.cached_normal = place
        self._key, self._ready = key.copy(), ready.copy()

    def state_bytes(self) -> bytes:
        """The state as PyTorch's ``get_rng_state`` lays it out."""
        used = 0 if self._untouched else self._used
        left = 1 if self._untouched else WORDS + 1 - used
        normal = self.cached_normal
        return b"".join(
            (
                _HEAD.pack(self.seed, left, 1, used),
                self._key.astype("<u8").tobytes(),
                _TAIL.pack(0.0, normal or 0.0, 0.0, normal is not None, 0.0, False),
            )
        )

    def load_state_bytes(self, state: bytes) -> None:
        """Take over a state; RuntimeError if it is not one of this generator."""
        if len(state) != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG "
                f"state size to be {len(state)}"
            )
        seed, left, seeded, used = _HEAD.unpack_from(state)
        if not (seeded and 0 < left <= WORDS and 0 <= used <= WORDS):
            raise RuntimeError("Invalid mt19937 state")
        self._key = np.frombuffer(state, "<u8", WORDS, _HEAD.size).astype(np.uint32)
        self._used = WORDS if left == 1 else used
        self._untouched = left == 1 and used == 0
        self._ready = self._at(0).random_raw(WORDS).astype(np.uint32)
        normal, is_cached = _TAIL.unpack_from(state, STATE_BYTES - _TAIL.size)[1:4:2]
        self.seed = seed
        self.cached_normal = normal if is_cached else None
