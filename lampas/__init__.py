"""Lampas: PyTorch programs, unchanged, with the same numbers, on a CPU.

The names here are PyTorch's. Submodules are imported when they are first read, so that
`import lampas` stays quick.
"""

from lampas import _lazy
from lampas.version import __version__

LAZY_MODULES = (
    "amp autograd backends compiler cpu cuda distributed distributions export fft func futures fx "
    "hub jit library linalg masked mps multiprocessing nested nn onnx optim overrides package "
    "profiler quantization random return_types serialization sparse special storage testing "
    "torch_version types utils version vision xpu"
).split()
LAZY_NAMES = {"install_alias": "lampas.alias", "uninstall_alias": "lampas.alias"}

__getattr__, __dir__ = _lazy.attach(__name__, LAZY_MODULES, LAZY_NAMES)
