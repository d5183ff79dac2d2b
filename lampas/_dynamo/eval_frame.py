"""PyTorch's `torch._dynamo.eval_frame`, for programs that ask whether a module is a compiled one."""

from lampas.compiler.optimized import OptimizedModule

__all__ = ["OptimizedModule"]
