"""The Mersenne Twister behind every random number, with PyTorch's seeding, draws and state.

Invariant: for the same seed and the same calls, the words are those of PyTorch's CPU generator.
NumPy's MT19937 supplies the words, block by block; its legacy seeding is the reference
initialisation of Matsumoto and Nishimura (2002) with the low 32 bits of the seed, as PyTorch
does. A 64-bit draw joins two words, the first of them above.

The state is PyTorch's legacy record of 5056 bytes (little endian):
seed u64, words left i32, seeded i32, next word u64, 624 words as u64, three doubles of which the
second is the cached normal number, flag i32, padding, and a float with a flag that stay unused.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS = 624
STATE_BYTES = 5056
DEFAULT_SEED = 67280421310721
_HEAD = struct.Struct("<QiiQ")
_TAIL = struct.Struct("<dddi4xf?3x")


class MersenneTwister:
    """A stream of 32-bit words, and the one normal number that Box-Muller has left over."""

    __slots__ = ("_bits", "_integers", "_untouched", "cached_normal", "seed")

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self._bits = np.random.MT19937(0)
        self._integers = np.random.Generator(self._bits).integers
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Start the stream of a seed in ``range(2**64)`` anew."""
        self._bits._legacy_seeding(seed & 0xFFFFFFFF)  # type: ignore[attr-defined]
        self.seed = seed
        self.cached_normal: float | None = None
        self._untouched = True

    def words(self, count: int) -> NDArray[np.uint32]:
        """The next ``count`` words."""
        self._untouched &= count == 0
        return self._integers(0, 1 << 32, count, dtype=np.uint32)

    def long_words(self, count: int) -> NDArray[np.uint64]:
        """The next ``count`` pairs of words as 64-bit numbers."""
        self._untouched &= count == 0
        return self._integers(0, (1 << 64) - 1, count, dtype=np.uint64, endpoint=True)

    def floats(self, count: int) -> NDArray[np.float32]:
        """Uniform numbers in [0, 1): the low 24 bits of a word each."""
        words = self.words(count)
        words &= np.uint32(0xFFFFFF)
        result = words.astype(np.float32)
        result *= np.float32(2.0**-24)
        return result

    def doubles(self, count: int) -> NDArray[np.float64]:
        """Uniform numbers in [0, 1): the low 53 bits of two words each."""
        words = self.long_words(count)
        words &= np.uint64((1 << 53) - 1)
        result = words.astype(np.float64)
        result *= 2.0**-53
        return result

    def snapshot(self) -> tuple[dict[str, Any], int, float | None, bool]:
        """The place in the stream, for ``rewind``."""
        return self._bits.state, self.seed, self.cached_normal, self._untouched

    def rewind(self, place: tuple[dict[str, Any], int, float | None, bool]) -> None:
        """Return to a place that ``snapshot`` gave."""
        self._bits.state, self.seed, self.cached_normal, self._untouched = place

    def state_bytes(self) -> bytes:
        """The state as PyTorch's ``get_rng_state`` lays it out."""
        inner = self._bits.state["state"]
        used = 0 if self._untouched else int(inner["pos"])
        left = 1 if self._untouched else WORDS + 1 - used
        normal = self.cached_normal
        return b"".join(
            (
                _HEAD.pack(self.seed, left, 1, used),
                inner["key"].astype("<u8").tobytes(),
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
        key = np.frombuffer(state, "<u8", WORDS, _HEAD.size).astype(np.uint32)
        position = WORDS if left == 1 else used
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}
        normal, is_cached = _TAIL.unpack_from(state, STATE_BYTES - _TAIL.size)[1:4:2]
        self.seed = seed
        self.cached_normal = normal if is_cached else None
        self._untouched = left == 1 and used == 0
