"""Optimizers and learning-rate schedulers: PyTorch's `torch.optim`."""

from lampas import _lazy
from lampas.optim import lr_scheduler
from lampas.optim.adadelta import Adadelta
from lampas.optim.adafactor import Adafactor
from lampas.optim.adagrad import Adagrad
from lampas.optim.adam import Adam
from lampas.optim.adamax import Adamax
from lampas.optim.adamw import AdamW
from lampas.optim.asgd import ASGD
from lampas.optim.lbfgs import LBFGS
from lampas.optim.muon import Muon
from lampas.optim.nadam import NAdam
from lampas.optim.optimizer import Optimizer
from lampas.optim.radam import RAdam
from lampas.optim.rmsprop import RMSprop
from lampas.optim.rprop import Rprop
from lampas.optim.sgd import SGD
from lampas.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
]

# swa_utils needs lampas.nn, which optimizers do not.
__getattr__, __dir__ = _lazy.attach(__name__, ["swa_utils"])
