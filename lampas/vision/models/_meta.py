"""The names of the 1000 classes of ImageNet's challenge of 2012, in the order of the models' outputs.

The names are WordNet's synonyms in the short form that is in general use; `categories.json` holds
them as one list.
"""

import functools
import json
from importlib.resources import files


@functools.cache
def _categories() -> tuple[str, ...]:
    text = files("lampas.vision.models").joinpath("categories.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def category_names() -> list[str]:
    """A fresh list of the 1000 names.

    >>> category_names()[:2]
    ['tench', 'goldfish']
    """
    return list(_categories())
