"""Functions of neural networks under PyTorch's names, one file for each family."""

from lampas.engine.tensor.autocast import wrap as _wrap_for_autocast
from lampas.nn.functional import padding as _padding
from lampas.nn.functional.activation import *  # noqa: F403
from lampas.nn.functional.attention import *  # noqa: F403
from lampas.nn.functional.convolution import *  # noqa: F403
from lampas.nn.functional.ctc import *  # noqa: F403
from lampas.nn.functional.distance import *  # noqa: F403
from lampas.nn.functional.dropout import *  # noqa: F403
from lampas.nn.functional.linear import *  # noqa: F403
from lampas.nn.functional.linear_cross_entropy import *  # noqa: F403
from lampas.nn.functional.loss import *  # noqa: F403
from lampas.nn.functional.loss_margin import *  # noqa: F403
from lampas.nn.functional.normalization import *  # noqa: F403
from lampas.nn.functional.padding import *  # noqa: F403
from lampas.nn.functional.pooling import *  # noqa: F403
from lampas.nn.functional.pooling_fractional import *  # noqa: F403
from lampas.nn.functional.sampling import *  # noqa: F403
from lampas.nn.functional.vision import *  # noqa: F403

pad = _padding.pad

for _name, _function in list(globals().items()):
    if callable(_function):
        globals()[_name] = _wrap_for_autocast(_name, _function)
