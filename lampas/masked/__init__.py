"""Reductions and normalisations that leave out masked elements (PyTorch's `torch.masked`).

Functions take ``mask``: elements where it is false do not take part.  Where nothing takes part a result
is the reduction's identity (0 for `sum`, NaN for `mean`).
"""

from lampas.masked.reductions import (
    amax,
    amin,
    argmax,
    argmin,
    logaddexp,
    logsumexp,
    mean,
    median,
    norm,
    prod,
    std,
    sum,
    var,
)
from lampas.masked.scans import cumprod, cumsum, log_softmax, normalize, softmax, softmin

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "cumprod",
    "cumsum",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "mean",
    "median",
    "norm",
    "normalize",
    "prod",
    "softmax",
    "softmin",
    "std",
    "sum",
    "var",
]
