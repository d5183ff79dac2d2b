"""Utilities of modules: gradients, parametrisations, sequences, fusion.

What builds on the layers themselves is imported when it is first read, since the recurrent layers
need `rnn` from here.
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

__getattr__, __dir__ = _lazy.attach(
    __name__,
    ["fusion", "init", "parametrizations", "parametrize", "prune", "stateless"],
    {
        "fuse_conv_bn_eval": "lampas.nn.utils.fusion",
        "fuse_conv_bn_weights": "lampas.nn.utils.fusion",
        "fuse_linear_bn_eval": "lampas.nn.utils.fusion",
        "fuse_linear_bn_weights": "lampas.nn.utils.fusion",
        "remove_spectral_norm": "lampas.nn.utils.spectral_norm",
        "remove_weight_norm": "lampas.nn.utils.weight_norm",
        "skip_init": "lampas.nn.utils.init",
        "spectral_norm": "lampas.nn.utils.spectral_norm",
        "weight_norm": "lampas.nn.utils.weight_norm",
    },
)
