"""Lampas: PyTorch programs, unchanged, with the same numbers, on a CPU.

The names here are PyTorch's. Submodules are imported when they are first read, so that
`import lampas` stays quick.
"""

import math
from typing import Any

from lampas import _lazy
from lampas.engine import tensor as _tensor
from lampas.engine.device.pool import get_num_threads, set_num_threads
from lampas.engine.dtype import (
    ALIASES as _ALIASES,
)
from lampas.engine.dtype import (
    DTYPES as _DTYPES,
)
from lampas.engine.dtype import (
    can_cast,
    dtype,
    get_default_dtype,
    promote_types,
    set_default_dtype,
)
from lampas.engine.numeric_limits import finfo, iinfo
from lampas.engine.promises import PUBLIC as _PROMISES
from lampas.engine.shape import Size, broadcast_shapes
from lampas.engine.tensor import Tensor, device, is_grad_enabled, is_inference_mode_enabled
from lampas.engine.tensor.autocast import (
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_cache_enabled,
    is_autocast_cpu_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
)
from lampas.engine.tensor.construction import typed_constructors
from lampas.engine.tensor.device import get_default_device, set_default_device
from lampas.engine.tensor.generator import Generator, default_generator
from lampas.engine.tensor.grad_switches import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from lampas.engine.tensor.layouts import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    jagged,
    layout,
    memory_format,
    preserve_format,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from lampas.engine.tensor.printing import set_printoptions
from lampas.version import __version__

globals().update(_DTYPES)
globals().update(_ALIASES)
globals().update(_PROMISES)
globals().update(
    {name: entry.function for name, entry in _tensor.PUBLIC.items() if not entry.namespace}
)

inf = math.inf
nan = math.nan
pi = 3.141592653589793
e = 2.718281828459045
newaxis = None

globals().update(typed_constructors())

LAZY_MODULES = (
    "_dynamo amp autograd backends compiler cpu cuda distributed distributions export fft func futures fx "
    "hub jit library linalg masked mps multiprocessing nested nn onnx optim overrides package "
    "profiler quantization random return_types serialization signal sparse special storage testing "
    "torch_version types utils version vision xpu"
).split()
NEURAL_NAMES = (
    "adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d batch_norm bilinear "
    "binary_cross_entropy_with_logits celu celu_ channel_shuffle conv1d conv2d conv3d "
    "conv_transpose1d conv_transpose2d conv_transpose3d cosine_embedding_loss cosine_similarity "
    "ctc_loss dropout dropout_ embedding_bag feature_alpha_dropout feature_dropout group_norm "
    "hinge_embedding_loss instance_norm kl_div layer_norm margin_ranking_loss max_pool1d "
    "max_pool1d_with_indices max_pool2d max_pool3d native_channel_shuffle pairwise_distance pdist "
    "pixel_shuffle pixel_unshuffle poisson_nll_loss prelu rms_norm rrelu rrelu_ selu selu_ "
    "threshold threshold_ triplet_margin_loss"
).split()
LAZY_NAMES = {
    **dict.fromkeys(NEURAL_NAMES, "lampas.nn.functional.toplevel"),
    "GradScaler": "lampas.amp",
    "autocast": "lampas.amp",
    "compile": "lampas.compiler",
    "explain": "lampas.compiler",
    "install_alias": "lampas.alias",
    "uninstall_alias": "lampas.alias",
    "load": "lampas.serialization",
    "save": "lampas.serialization",
}

__getattr__, __dir__ = _lazy.attach(__name__, LAZY_MODULES, LAZY_NAMES)


def is_storage(obj: Any) -> bool:
    """Whether `obj` is a storage object."""
    return type(obj).__name__.endswith("Storage")


def typename(obj: Any) -> str:
    """The name of an object's type, as PyTorch writes it ("torch.FloatTensor")."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) else type(obj)
    return f"{kind.__module__}.{kind.__qualname__}"


__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "__version__",
    "broadcast_shapes",
    "clear_autocast_cache",
    "get_autocast_dtype",
    "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_dtype",
    "can_cast",
    "default_generator",
    "device",
    "dtype",
    "enable_grad",
    "finfo",
    "get_default_device",
    "get_default_dtype",
    "get_num_threads",
    "iinfo",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "is_storage",
    "no_grad",
    "promote_types",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "jagged",
    "layout",
    "memory_format",
    "preserve_format",
    "sparse_bsc",
    "sparse_bsr",
    "sparse_coo",
    "sparse_csc",
    "sparse_csr",
    "strided",
    "set_printoptions",
    "typename",
]
