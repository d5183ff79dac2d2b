"""Small tools of the models: rounding of widths, and a view of a model's inner layers."""

from collections import OrderedDict

from lampas import Tensor, nn


def _make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The multiple of `divisor` nearest to `v` that is at least `min_value` and 0.9·v.

    >>> _make_divisible(0.75 * 32, 8)
    24
    """
    least = divisor if min_value is None else min_value
    rounded = max(least, int(v + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * v else rounded + divisor


class IntermediateLayerGetter(nn.ModuleDict):
    """Runs the children of `model` in order and returns the outputs named in `return_layers`.

    `return_layers` maps a child's name to the name of its output. Raises ValueError for a name
    that is no child. Only models whose forward is their children in order give their own numbers.
    """

    def __init__(self, model: nn.Module, return_layers: dict[str, str]) -> None:
        children = dict(model.named_children())
        if not set(return_layers) <= set(children):
            raise ValueError("return_layers are not present in model")
        last = max(list(children).index(name) for name in return_layers)
        super().__init__(OrderedDict(list(children.items())[: last + 1]))
        self.return_layers = {str(key): str(value) for key, value in return_layers.items()}

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        outputs = OrderedDict()
        for name, module in self.items():
            x = module(x)
            if name in self.return_layers:
                outputs[self.return_layers[name]] = x
        return outputs
