"""Makes `import torch` mean Lampas: the import alias of torch and torchvision.

`install_alias` puts a finder before all others. It answers for `torch` and `torchvision` and for
everything below them with the very modules of Lampas: `torch.nn` and `lampas.nn` are one object, so
a class has one identity and pickles under its `lampas.` path whichever name it was reached by,
while a path that real PyTorch wrote (`torch.nn.modules.linear.Linear`) resolves through the alias.

While the alias is installed `importlib.metadata` answers for both distributions, and
`torch.__version__`, which is `lampas.__version__`, reads as the PyTorch release that Lampas answers
for; `uninstall_alias` gives it Lampas's own number back. Nothing else of Lampas changes.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import CodeType, ModuleType

import lampas
from lampas import version
from lampas.torch_version import TorchVersion

ROOTS = {"torch": "lampas", "torchvision": "lampas.vision"}
VERSIONS = {"torch": version.torch, "torchvision": version.torchvision}
# Parts of the package that are not PyTorch's tree and must not show up as if they were.
OWN = frozenset("_lazy alias cli command data demo engine show vision __main__".split())


def install_alias() -> None:
    """Make `import torch` and `import torchvision` resolve to Lampas from here on.

    Raises ImportError if the real torch or torchvision has been imported already: objects of both
    would then meet in one program. Calling it again changes nothing.

    >>> import lampas
    >>> lampas.install_alias()
    >>> import torch
    >>> torch is lampas
    True
    >>> lampas.uninstall_alias()
    """
    if _FINDER in sys.meta_path:
        return
    for root in ROOTS:
        if root in sys.modules:
            raise ImportError(
                f"the real {root} is already imported (from "
                f"{getattr(sys.modules[root], '__file__', 'an unknown place')}); install the alias "
                f"before the first import of {root}, or start the program with `lampas run`",
                name=root,
            )
    sys.meta_path.insert(0, _FINDER)
    sys.modules["torch"] = lampas
    lampas.__version__ = version.__version__ = TorchVersion(version.torch)


def uninstall_alias() -> None:
    """Undo `install_alias`: `import torch` finds the real one again, if there is any.

    Modules that imported torch in the meantime keep Lampas.
    """
    if _FINDER not in sys.meta_path:
        return
    sys.meta_path.remove(_FINDER)
    for name in list(sys.modules):
        if name.partition(".")[0] in ROOTS:
            del sys.modules[name]
    lampas.__version__ = version.__version__ = version.lampas


def real_name(name: str) -> str | None:
    """The name in Lampas of a module of torch or torchvision; None for any other module.

    >>> real_name("torch.nn.functional"), real_name("torchvision.io"), real_name("torchaudio")
    ('lampas.nn.functional', 'lampas.vision.io', None)
    """
    root, _, rest = name.partition(".")
    if root not in ROOTS:
        return None
    return f"{ROOTS[root]}.{rest}" if rest else ROOTS[root]


class _AliasLoader(Loader):
    """Hands out the module that already stands under its Lampas name."""

    def __init__(self, spec: ModuleSpec) -> None:
        self.real_spec = spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.real_spec.name)
        self.own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written the alias's spec over the module's own.
        module.__spec__ = self.own_spec

    def get_code(self, name: str) -> CodeType | None:
        """The code object, for `lampas run -m torch.…`."""
        get_code = getattr(self.real_spec.loader, "get_code", None)
        return get_code(self.real_spec.name) if get_code else None

    def is_package(self, name: str) -> bool:
        return self.real_spec.submodule_search_locations is not None


class _AliasFinder(MetaPathFinder):
    """Finds torch's and torchvision's modules, and their distributions, in Lampas."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = real_name(fullname)
        if name is None:
            return None
        spec = None if _is_own(fullname) else _find(name)
        if spec is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: `{fullname.partition('.')[0]}` means Lampas here, "
                f"and Lampas {version.lampas} has no {name}",
                name=fullname,
            )
        found = ModuleSpec(fullname, _AliasLoader(spec), origin=spec.origin)
        found.submodule_search_locations = spec.submodule_search_locations
        return found

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[Distribution]:
        """Distributions named torch and torchvision, for importlib.metadata."""
        wanted = getattr(context, "name", None)
        for name in VERSIONS:
            if wanted is None or re.sub(r"[-_.]+", "-", wanted).lower() == name:
                yield _AliasDistribution(name)


class _AliasDistribution(Distribution):
    """What importlib.metadata may know of torch under the alias: its name and its version."""

    def __init__(self, name: str) -> None:
        self._metadata = (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSIONS[name]}\n"
            f"Summary: Lampas {version.lampas} under the name of {name}\n"
        )

    def read_text(self, filename: str) -> str | None:
        return self._metadata if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Path(version.__file__).parent.parent / str(path)


def _is_own(fullname: str) -> bool:
    parts = fullname.split(".")
    return parts[0] == "torch" and len(parts) > 1 and parts[1] in OWN


def _find(name: str) -> ModuleSpec | None:
    """The spec of a module of Lampas; None where it or a parent of it does not exist."""
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            return None
        raise


_FINDER = _AliasFinder()
