"""Layers, containers and losses, one file for each family."""

from lampas import _lazy
from lampas.nn.modules import (
    activation,
    activation_smooth,
    adaptive,
    attention,
    batchnorm,
    channelshuffle,
    container,
    conv,
    conv_lazy,
    distance,
    dropout,
    flatten,
    fold,
    instancenorm,
    loss,
    normalization,
    padding,
    pixelshuffle,
    pooling,
    rnn,
    sparse,
    transformer,
    upsampling,
)
from lampas.nn.modules.activation import *  # noqa: F403
from lampas.nn.modules.activation_smooth import *  # noqa: F403
from lampas.nn.modules.adaptive import *  # noqa: F403
from lampas.nn.modules.attention import *  # noqa: F403
from lampas.nn.modules.batchnorm import *  # noqa: F403
from lampas.nn.modules.channelshuffle import *  # noqa: F403
from lampas.nn.modules.container import *  # noqa: F403
from lampas.nn.modules.conv import *  # noqa: F403
from lampas.nn.modules.conv_lazy import *  # noqa: F403
from lampas.nn.modules.distance import *  # noqa: F403
from lampas.nn.modules.dropout import *  # noqa: F403
from lampas.nn.modules.flatten import *  # noqa: F403
from lampas.nn.modules.fold import *  # noqa: F403
from lampas.nn.modules.instancenorm import *  # noqa: F403
from lampas.nn.modules.linear import Bilinear, Identity, LazyLinear, Linear
from lampas.nn.modules.loss import *  # noqa: F403
from lampas.nn.modules.module import Module
from lampas.nn.modules.normalization import *  # noqa: F403
from lampas.nn.modules.padding import *  # noqa: F403
from lampas.nn.modules.pixelshuffle import *  # noqa: F403
from lampas.nn.modules.pooling import *  # noqa: F403
from lampas.nn.modules.rnn import *  # noqa: F403
from lampas.nn.modules.sparse import *  # noqa: F403
from lampas.nn.modules.transformer import *  # noqa: F403
from lampas.nn.modules.upsampling import *  # noqa: F403

__all__ = [
    "Bilinear",
    "Identity",
    "LazyLinear",
    "Linear",
    "Module",
    *activation.__all__,
    *activation_smooth.__all__,
    *adaptive.__all__,
    *attention.__all__,
    *batchnorm.__all__,
    *channelshuffle.__all__,
    *container.__all__,
    *conv.__all__,
    *conv_lazy.__all__,
    *distance.__all__,
    *dropout.__all__,
    *flatten.__all__,
    *fold.__all__,
    *instancenorm.__all__,
    *loss.__all__,
    *normalization.__all__,
    *padding.__all__,
    *pixelshuffle.__all__,
    *pooling.__all__,
    *rnn.__all__,
    *sparse.__all__,
    *transformer.__all__,
    *upsampling.__all__,
]

__getattr__, __dir__ = _lazy.attach(__name__, ["utils"])
