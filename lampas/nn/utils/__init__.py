"""Utilities of modules: gradients, parametrisations, sequences, fusion.

The recurrent layers import `rnn` from here, so what is imported at once needs only the base class
and the convolutions; the parametrisations are imported when they are first read.
"""

from lampas import _lazy
from lampas.nn.utils import rnn
from lampas.nn.utils.clip_grad import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from lampas.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from lampas.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from lampas.nn.utils.init import skip_init
from lampas.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from lampas.nn.utils.weight_norm import remove_weight_norm, weight_norm

__getattr__, __dir__ = _lazy.attach(
    __name__, ["parametrizations", "parametrize", "prune", "stateless"]
)
