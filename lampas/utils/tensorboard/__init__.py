"""Event files for TensorBoard, written through the tensorboardX package (an extra)."""

try:
    import tensorboardX as _tensorboardX
except ImportError as error:
    raise ImportError(
        "lampas.utils.tensorboard writes event files through the tensorboardX package, which is not "
        "installed; install it with: pip install 'lampas[tensorboard]'",
        name="tensorboardX",
    ) from error

from lampas.utils.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
