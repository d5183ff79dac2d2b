"""Mathematical functions."""

from __future__ import annotations

from collections.abc import Callable

from lampas.engine.llvm.text import Builder, Value, element_of, lanes_of


def call_lanes(b: Builder, name: str, values: list[Value]) -> Value:
    """Call libm's scalar function once a lane."""
    kind = values[0].type
    element = element_of(kind)
    symbol = name + "f" if element == "float" else name
    if kind[0] != "<":
        return b.call(symbol, kind, values)
    result = Value("poison", kind)
    for lane in range(lanes_of(kind)):
        scalars = [b.extract(value, lane) for value in values]
        result = b.insert(result, b.call(symbol, element, scalars), lane)
    return result


def lib(name: str):
    return lambda b, values: call_lanes(b, name, values)


VECTOR_MATH: dict[str, Callable[[Builder, list[Value]], Value]] = {
    "exp": lib("exp"),
    "exp2": lib("exp2"),
    "expm1": lib("expm1"),
    "log": lib("log"),
    "log2": lib("log2"),
    "log10": lib("log10"),
    "log1p": lib("log1p"),
    "sin": lib("sin"),
    "cos": lib("cos"),
    "tan": lib("tan"),
    "asin": lib("asin"),
    "acos": lib("acos"),
    "atan": lib("atan"),
    "sinh": lib("sinh"),
    "cosh": lib("cosh"),
    "tanh": lib("tanh"),
    "asinh": lib("asinh"),
    "acosh": lib("acosh"),
    "atanh": lib("atanh"),
    "erf": lib("erf"),
    "erfc": lib("erfc"),
    "lgamma": lib("lgamma"),
    "atan2": lib("atan2"),
    "power": lib("pow"),
    "sigmoid": lambda b, v: b.divide(1.0, b.add(call_lanes(b, "exp", [b.negative(v[0])]), 1.0)),
    "erfinv": lib("erfinv"),
    "digamma": lib("digamma"),
}
