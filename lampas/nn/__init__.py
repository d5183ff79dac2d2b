"""Neural networks: modules, their functions, initialisation and utilities (PyTorch's `torch.nn`)."""

from lampas.nn import (
    _reduction,
    attention,
    common_types,
    functional,
    init,
    modules,
    parallel,
    parameter,
    utils,
)
from lampas.nn.functional import LinearCrossEntropyOptions
from lampas.nn.modules import *  # noqa: F403
from lampas.nn.parallel import DataParallel
from lampas.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
