"""Inner outputs of a model, by the names of its modules.

The model runs as it is; hooks keep what the named modules return. A node is therefore a module:
results of operations between modules have no name here.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from lampas import nn


def get_graph_node_names(model: nn.Module, **_options: Any) -> tuple[list[str], list[str]]:
    """The names that `create_feature_extractor` takes, for training and for evaluation."""
    names = [name for name, _ in model.named_modules() if name]
    return names, list(names)


def create_feature_extractor(
    model: nn.Module,
    return_nodes: Sequence[str] | dict[str, str] | None = None,
    train_return_nodes: Sequence[str] | dict[str, str] | None = None,
    eval_return_nodes: Sequence[str] | dict[str, str] | None = None,
    **_options: Any,
) -> "FeatureExtractor":
    """A module that returns a dict of inner outputs: {name of the output: tensor}.

    Nodes are names of modules, or a dict from them to the outputs' names. Raises ValueError for
    what is no module of the model, or unless nodes are given for both modes or for each.
    """
    if return_nodes is not None:
        train_return_nodes = eval_return_nodes = return_nodes
    if train_return_nodes is None or eval_return_nodes is None:
        raise ValueError(
            "Either `return_nodes` or `train_return_nodes` and `eval_return_nodes` together, "
            "should be specified"
        )
    return FeatureExtractor(model, _named(train_return_nodes), _named(eval_return_nodes))


def _named(nodes: Sequence[str] | dict[str, str]) -> dict[str, str]:
    return dict(nodes) if isinstance(nodes, dict) else {name: name for name in nodes}


class FeatureExtractor(nn.Module):
    """See `create_feature_extractor`."""

    def __init__(self, model: nn.Module, train: dict[str, str], evaluate: dict[str, str]) -> None:
        super().__init__()
        known = {name for name, _ in model.named_modules()}
        unknown = sorted(({*train, *evaluate}) - known)
        if unknown:
            raise ValueError(f"node: {', '.join(map(repr, unknown))} is not present in model")
        self.model, self._nodes = model, {True: train, False: evaluate}
        self.training = model.training

    def forward(self, *inputs: Any, **options: Any) -> "OrderedDict[str, Any]":
        wanted = self._nodes[self.training]
        kept: dict[str, Any] = {}
        handles = []
        for name, module in self.model.named_modules():
            if name in wanted:

                def keep(_module: Any, _inputs: Any, output: Any, name: str = name) -> None:
                    kept[name] = output

                handles.append(module.register_forward_hook(keep))
        try:
            self.model(*inputs, **options)
        finally:
            for handle in handles:
                handle.remove()
        return OrderedDict((label, kept[name]) for name, label in wanted.items())
