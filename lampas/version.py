"""Version numbers: this release's own, and those of the libraries whose programs it runs.

`__version__` is this release's own number, except while the alias is installed: then it is the
number of the PyTorch release that Lampas answers for, since programs compare `torch.__version__`
(`lampas.alias` rebinds it and puts it back).
"""

lampas = "0.1.0"
torch = "2.13.0"
torchvision = "0.28.0"

__version__ = lampas
debug = False
cuda: str | None = None
hip: str | None = None
xpu: str | None = None
git_version: str | None = None
