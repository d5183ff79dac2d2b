"""`torch.backends.cuda`: not built in; its switches hold what programs put into them."""


class _MatmulSwitches:
    """What `torch.backends.cuda.matmul` offers."""

    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True


matmul = _MatmulSwitches()


def is_built() -> bool:
    """False: Lampas has no CUDA kernels."""
    return False
