"""The registry of models and of their published weights.

Every published set of weights is a row of `weights.json`: its address, the preprocessing it was
trained with, and facts about it. `weights_enum` makes the enum of a model from its rows, and
`register_model` enters a model's constructor together with its enum.
"""

import fnmatch
import functools
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from types import ModuleType
from typing import Any, TypeVar

from lampas import hub, nn
from lampas.vision.models._meta import category_names
from lampas.vision.transforms._presets import ImageClassification
from lampas.vision.transforms.functional import InterpolationMode

M = TypeVar("M", bound=nn.Module)
C = TypeVar("C", bound=Callable[..., Any])
Constructor = Callable[..., Any]

CONSTRUCTORS: dict[str, Constructor] = {}
WEIGHTS_OF: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Weights:
    """One published set of weights: where it lies, how its input is prepared, what is known."""

    url: str
    transforms: Callable[..., Any]
    meta: Mapping[str, Any]


class WeightsEnum(Enum):
    """The published weights of one model; `DEFAULT` names the best of them."""

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """The member that `obj` is or names ("ResNet18_Weights.DEFAULT" or "DEFAULT"); None stays.

        Raises TypeError for a member of another enum and KeyError for an unknown name.
        """
        if obj is None or type(obj) is cls:
            return obj
        if isinstance(obj, str):
            return cls[obj.replace(cls.__name__ + ".", "")]
        raise TypeError(
            f"Invalid Weight class provided; expected {cls.__name__} but received "
            f"{obj.__class__.__name__}."
        )

    def get_state_dict(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """The state dict, from the hub's cache or fetched into it."""
        return hub.load_state_dict_from_url(self.url, *args, **kwargs)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}.{self.name}"

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return getattr, (type(self), self.name)

    @property
    def url(self) -> str:
        """Where the file is published; its name carries the start of its SHA-256."""
        return self.value.url

    @property
    def transforms(self) -> Callable[..., Any]:
        """Makes the preprocessing that these weights expect."""
        return self.value.transforms

    @property
    def meta(self) -> Mapping[str, Any]:
        """Facts: `num_params`, `min_size`, `categories`, …"""
        return self.value.meta


class _Meta(dict):
    """Facts about weights; the 1000 category names are read from disk when they are asked for."""

    def __missing__(self, key: str) -> Any:
        if key != "categories":
            raise KeyError(key)
        self["categories"] = category_names()
        return self["categories"]


@functools.cache
def _weights_table() -> dict[str, Any]:
    text = files("lampas.vision.models").joinpath("weights.json").read_text(encoding="utf-8")
    return json.loads(text)


def weights_enum(name: str, module: str) -> Any:
    """The enum called `name` with the members of its table, as an attribute of `module`."""
    table = _weights_table()[name]
    members = {key: _weights(row) for key, row in table["members"].items()}
    if table["default"]:
        members["DEFAULT"] = members[table["default"]]
    return WeightsEnum(name, members, module=module, qualname=name)  # pyright: ignore[reportCallIssue]


def _weights(row: dict[str, Any]) -> Weights:
    options = dict(row["transforms"])
    if "interpolation" in options:
        options["interpolation"] = InterpolationMode(options["interpolation"])
    preset = functools.partial(ImageClassification, **options)
    meta = _Meta(row["meta"], min_size=tuple(row["meta"]["min_size"]))
    return Weights(row["url"], preset, meta)


# Models -------------------------------------------------------------------------------------------


def register_model(weights: Any = None, name: str | None = None) -> Callable[[C], C]:
    """Enter a constructor under its name; its enum decodes `weights` and the older `pretrained`."""

    def register(constructor: Any) -> Any:
        key = name or constructor.__name__
        if key in CONSTRUCTORS:
            raise ValueError(f"An entry is already registered under the name '{key}'.")

        @functools.wraps(constructor)
        def construct(*args: Any, **kwargs: Any) -> Any:
            chosen = _chosen_weights(key, weights, args, kwargs)
            return constructor(weights=chosen, **kwargs)

        CONSTRUCTORS[key] = construct
        WEIGHTS_OF[key] = weights
        return construct

    return register


def _chosen_weights(
    model: str, choices: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> WeightsEnum | None:
    """Decode the weights that a call asks for, taking the words about them out of `kwargs`."""
    if len(args) > 2:
        raise TypeError(
            f"{model}() takes at most 2 positional arguments but {len(args)} were given"
        )
    if len(args) > 1:
        kwargs["progress"] = args[1]
    asked = args[0] if args else kwargs.pop("weights", None)
    if "pretrained" in kwargs:
        warnings.warn(
            f"The parameter 'pretrained' is deprecated since 0.13: {model}(weights=...) takes one of "
            "the model's published weights by name",
            UserWarning,
            stacklevel=3,
        )
        asked = kwargs.pop("pretrained")
    if isinstance(asked, bool):
        asked = _pretrained(choices, model) if asked else None
    if asked is not None and choices is None:
        raise ValueError(f"No checkpoint is available for model {model}.")
    return None if choices is None else choices.verify(asked)


def _pretrained(choices: Any, model: str) -> WeightsEnum:
    """What `pretrained=True` meant: the first weights that were published."""
    members = list(choices) if choices is not None else []
    if not members:
        raise ValueError(f"No checkpoint is available for model {model}.")
    return members[0]


def build(model: Callable[..., M], weights: Any, progress: bool, *args: Any, **kwargs: Any) -> M:
    """`model(*args, **kwargs)`, filled with `weights` if there are any.

    Raises ValueError if `num_classes` is given and is not the number of the weights' categories.
    """
    if weights is not None:
        overwrite_named_param(kwargs, "num_classes", weights.meta.get("num_classes", 1000))
    made = model(*args, **kwargs)
    if weights is not None:
        made.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return made


def overwrite_named_param(kwargs: dict[str, Any], name: str, value: Any) -> None:
    """Set a keyword; raise ValueError if the caller gave another value."""
    if kwargs.setdefault(name, value) != value:
        raise ValueError(
            f"The parameter '{name}' expected value {value} but got {kwargs[name]} instead."
        )


# Looking up ---------------------------------------------------------------------------------------


def list_models(
    module: ModuleType | None = None,
    include: Iterable[str] | str | None = None,
    exclude: Iterable[str] | str | None = None,
) -> list[str]:
    """The names of the models, sorted; of one module, or by shell patterns.

    >>> list_models(include="resnet1*")
    ['resnet101', 'resnet152', 'resnet18']
    """
    names = {
        name
        for name, constructor in CONSTRUCTORS.items()
        if module is None or constructor.__module__.rsplit(".", 1)[0] == module.__name__
    }
    if include:
        names = _matching(names, include)
    if exclude:
        names -= _matching(names, exclude)
    return sorted(names)


def _matching(names: set[str], patterns: Iterable[str] | str) -> set[str]:
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return {name for pattern in patterns for name in fnmatch.filter(names, pattern)}


def get_model_builder(name: str) -> Constructor:
    """The constructor registered under `name` (in any case). Raises ValueError if unknown."""
    try:
        return CONSTRUCTORS[name.lower()]
    except KeyError:
        raise ValueError(f"Unknown model {name}") from None


def get_model(name: str, **config: Any) -> nn.Module:
    """The model called `name`, made with the keywords `config`.

    Raises ValueError for an unknown name.
    """
    return get_model_builder(name)(**config)


def get_model_weights(name: Constructor | str) -> Any:
    """The enum of weights of a model, given by its name or constructor."""
    key = name.lower() if isinstance(name, str) else name.__name__
    if key not in WEIGHTS_OF:
        raise ValueError(f"Unknown model {name}")
    return WEIGHTS_OF[key]


def get_weight(name: str) -> WeightsEnum:
    """The weights called `name`: "ResNet18_Weights.DEFAULT". Raises ValueError if unknown."""
    try:
        enum_name, member = name.split(".")
    except ValueError:
        raise ValueError(f"Invalid weight name provided: '{name}'.") from None
    for constructor in CONSTRUCTORS.values():
        found = getattr(sys.modules[constructor.__module__], enum_name, None)
        if found is not None:
            return found[member]
    raise ValueError(
        f"The weight enum '{enum_name}' for the specific method couldn't be retrieved."
    )
