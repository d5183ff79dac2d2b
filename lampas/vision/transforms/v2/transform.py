"""The base of v2's transforms: any nest of inputs in, the same nest out.

Of the leaves, images (tensors or Pillow's), videos, masks, boxes and points are transformed, all by
the same drawn numbers. A plain tensor counts as an image only if it is the first and there is no
other image; everything else passes through.
"""

from collections.abc import Callable, Sequence
from typing import Any

import lampas
from lampas import Tensor, nn
from lampas.vision import tv_tensors
from lampas.vision.transforms import functional as v1
from lampas.vision.transforms.pil_images import is_pil
from lampas.vision.transforms.v2 import functional as F

IMAGES = (tv_tensors.Image, tv_tensors.Video)


def flatten(nest: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of nested lists, tuples and dicts, and what puts others in their place."""
    leaves: list[Any] = []

    def note(part: Any) -> Any:
        leaves.append(part)
        return len(leaves) - 1

    shape = _mapped(nest, note)
    return leaves, lambda others: _mapped(shape, lambda place: others[place])


def _mapped(nest: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(nest, dict):
        return {key: _mapped(value, function) for key, value in nest.items()}
    if isinstance(nest, tuple) and hasattr(nest, "_fields"):
        return type(nest)(*(_mapped(value, function) for value in nest))
    if isinstance(nest, list | tuple) and type(nest) in (list, tuple):
        return type(nest)(_mapped(value, function) for value in nest)
    return function(nest)


def _sample(inputs: Sequence[Any]) -> Any:
    """One input itself, several as their tuple."""
    return inputs if len(inputs) != 1 else inputs[0]


def is_plain(leaf: Any) -> bool:
    """Whether a leaf is a tensor without a kind."""
    return isinstance(leaf, Tensor) and not isinstance(leaf, tv_tensors.TVTensor)


def query_chw(leaves: Sequence[Any]) -> tuple[int, int, int]:
    """(channels, height, width) of the image among the leaves. Raises ValueError without one."""
    for leaf in leaves:
        if isinstance(leaf, IMAGES) or is_pil(leaf) or is_plain(leaf):
            channels, height, width = F.get_dimensions(leaf)
            return channels, height, width
    raise ValueError("No image or video was found in the sample")


def query_size(leaves: Sequence[Any]) -> tuple[int, int]:
    """(height, width) of what is among the leaves. Raises ValueError if nothing has a size."""
    for leaf in leaves:
        if isinstance(leaf, tv_tensors.TVTensor) or is_pil(leaf) or is_plain(leaf):
            height, width = F.get_size(leaf)
            return height, width
    raise ValueError("No image, video, mask, bounding box of keypoint was found in the sample")


class Transform(nn.Module):
    """Derive from this: `make_params` draws for a sample, `transform` changes one leaf."""

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raise if the sample does not fit."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is drawn once for the whole sample."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One leaf, changed."""
        raise NotImplementedError(f"{type(self).__name__}.transform")

    def wants(self, leaf: Any) -> bool:
        """Whether a leaf is of a kind that this transform changes."""
        return isinstance(leaf, tv_tensors.TVTensor) or is_pil(leaf) or is_plain(leaf)

    def forward(self, *inputs: Any) -> Any:
        nest = _sample(inputs)
        leaves, rebuild = flatten(nest)
        self.check_inputs(leaves)
        chosen = self._chosen(leaves)
        params = self.make_params([leaf for leaf, take in zip(leaves, chosen) if take])
        changed = [
            self.transform(leaf, params) if take else leaf for leaf, take in zip(leaves, chosen)
        ]
        return rebuild(changed)

    def _chosen(self, leaves: list[Any]) -> list[bool]:
        """Which leaves take part; see the rule for plain tensors at the top of this file."""
        take_plain = not any(isinstance(leaf, IMAGES) or is_pil(leaf) for leaf in leaves)
        chosen = []
        for leaf in leaves:
            take = self.wants(leaf)
            if take and is_plain(leaf):
                take, take_plain = take_plain, False
            chosen.append(take)
        return chosen

    def extra_repr(self) -> str:
        kinds = (bool, int, float, str, tuple, list, v1.InterpolationMode)
        return ", ".join(
            f"{name}={value.value if isinstance(value, v1.InterpolationMode) else value}"
            for name, value in vars(self).items()
            if not name.startswith("_") and name != "training" and isinstance(value, kinds)
        )


class RandomTransform(Transform):
    """A transform that takes place with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        super().__init__()
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        nest = _sample(inputs)
        leaves, _ = flatten(nest)
        self.check_inputs(leaves)
        if lampas.rand(1).item() >= self.p:
            return nest
        return super().forward(*inputs)


class Several(Transform):
    """Holds other transforms."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        super().__init__()
        if not isinstance(transforms, Sequence | nn.ModuleList):
            raise TypeError("Argument transforms should be a sequence of callables")
        if not transforms:
            raise ValueError("Pass at least one transform")
        self.transforms = transforms

    def _run(self, chosen: Sequence[Callable[..., Any]], inputs: tuple[Any, ...]) -> Any:
        for transform in chosen:
            result = transform(*inputs)
            inputs = result if len(inputs) > 1 else (result,)
        return _sample(inputs)

    def extra_repr(self) -> str:
        return "\n".join(f"    {transform}" for transform in self.transforms)


class Compose(Several):
    """Transforms one after the other."""

    def forward(self, *inputs: Any) -> Any:
        return self._run(self.transforms, inputs)


class RandomApply(Several):
    """All of the transforms with probability `p`, else none."""

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5) -> None:
        super().__init__(transforms)
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        if lampas.rand(1).item() >= self.p:
            return _sample(inputs)
        return self._run(self.transforms, inputs)


class RandomChoice(Several):
    """One of the transforms (Python's random numbers), weighted by `p`."""

    def __init__(
        self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None
    ) -> None:
        super().__init__(transforms)
        weights = [1.0] * len(transforms) if p is None else list(p)
        if len(weights) != len(transforms):
            raise ValueError(
                f"Length of p doesn't match the number of transforms: {len(weights)} != {len(transforms)}"
            )
        self.p = weights

    def forward(self, *inputs: Any) -> Any:
        place = int(lampas.multinomial(lampas.tensor(self.p), 1).item())
        return self.transforms[place](*inputs)


class RandomOrder(Several):
    """All transforms in a random order."""

    def forward(self, *inputs: Any) -> Any:
        order = lampas.randperm(len(self.transforms)).tolist()
        return self._run([self.transforms[place] for place in order], inputs)
