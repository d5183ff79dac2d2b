"""Special functions (PyTorch's `torch.special`)."""

from lampas.engine.tensor import PUBLIC

# Names under which functions of the main namespace are known here.
_SHARED = {
    "digamma": "digamma",
    "erf": "erf",
    "erfc": "erfc",
    "erfinv": "erfinv",
    "exp2": "exp2",
    "expit": "sigmoid",
    "expm1": "expm1",
    "gammaln": "lgamma",
    "log1p": "log1p",
    "log_softmax": "log_softmax",
    "logit": "logit",
    "logsumexp": "logsumexp",
    "psi": "digamma",
    "round": "round",
    "sinc": "sinc",
    "softmax": "softmax",
    "xlogy": "xlogy",
}

_own = {entry.name: entry.function for entry in PUBLIC.values() if entry.namespace == "special"}
_shared = {name: PUBLIC[source].function for name, source in _SHARED.items() if source in PUBLIC}
_own.pop("mvlgamma", None)
globals().update({**_shared, **_own})

__all__ = sorted({**_shared, **_own})
