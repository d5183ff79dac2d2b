"""Automatic differentiation: `backward`, `grad`, `Function`, grad modes, checks of derivatives."""

from lampas import _lazy
from lampas.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from lampas.autograd.gradcheck import gradcheck, gradgradcheck
from lampas.engine.tensor import Tensor as Variable
from lampas.engine.tensor.backward import backward, grad
from lampas.engine.tensor.custom_function import Function
from lampas.engine.tensor.grad_switches import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)

__getattr__, __dir__ = _lazy.attach(
    __name__,
    "anomaly_mode forward_ad function functional grad_mode gradcheck graph profiler profiler_util variable".split(),
)

__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
