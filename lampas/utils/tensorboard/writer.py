"""`SummaryWriter`: PyTorch's interface to event files, over tensorboardX.

Tensors become NumPy arrays here; everything else is passed on. The graph of a model is read from the
tape of one run (`lampas.utils.tensorboard.model_graph`).
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import tensorboardX
from tensorboardX.proto import event_pb2
from tensorboardX.writer import FileWriter

from lampas.engine.tensor.core import Tensor
from lampas.nn.modules.module import Module
from lampas.utils.tensorboard.model_graph import describe_model

__all__ = ["FileWriter", "SummaryWriter"]

PASSED_ON = (
    "add_audio add_custom_scalars add_custom_scalars_marginchart "
    "add_custom_scalars_multilinechart add_embedding add_figure add_histogram "
    "add_histogram_raw add_hparams add_image add_image_with_boxes add_images add_mesh "
    "add_pr_curve add_pr_curve_raw add_scalar add_scalars add_text add_video"
).split()


def to_plain(value: Any) -> Any:
    """The value with NumPy arrays, or numbers, in place of tensors."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        if value.dtype.is_floating_point and value.dtype.itemsize == 2:
            value = value.float()
        return value.numpy() if value.ndim else value.item()
    if isinstance(value, Mapping):
        return {key: to_plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(to_plain(each) for each in value)
    return value


class SummaryWriter:
    """Writes scalars, images, histograms, texts, graphs, ... for TensorBoard.

    `log_dir` is by default runs/DATE_HOST and `comment`. Every `add_*` method of PyTorch's writer is
    here with its arguments; arrays may be tensors. Usable in a `with` statement.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        self._writer = tensorboardX.SummaryWriter(
            logdir=None if log_dir is None else os.fspath(log_dir),
            comment=comment,
            purge_step=purge_step,
            max_queue=max_queue,
            flush_secs=flush_secs,
            filename_suffix=filename_suffix,
        )
        self.log_dir = self._writer.logdir

    def get_logdir(self) -> str:
        """The folder that the event files are in."""
        return self.log_dir

    def add_graph(
        self,
        model: Module,
        input_to_model: Any = None,
        verbose: bool = False,
        use_strict_trace: bool = True,
    ) -> None:
        """Write the graph of one run of `model` on `input_to_model` (a tensor or a tuple).

        The operations are those of the tape, grouped by the modules that ran them. ValueError
        without an input, and for a model whose result needs no gradient.
        """
        if input_to_model is None:
            raise ValueError("add_graph() needs input_to_model, a tensor or a tuple of arguments")
        single = not isinstance(input_to_model, tuple | list)
        arguments = (input_to_model,) if single else tuple(input_to_model)
        graph = describe_model(model, arguments)
        if verbose:
            print(graph)
        events: Any = event_pb2  # makes its classes out of sight of a type checker
        event = events.Event(graph_def=graph.SerializeToString())
        self._writer._get_file_writer().add_event(event, None, None)

    def add_tensor(self, *args: Any, **kwargs: Any) -> None:
        """Not written: tensorboardX has no such summary."""
        raise NotImplementedError("SummaryWriter.add_tensor: tensorboardX cannot write tensors")

    def add_onnx_graph(self, prototxt: Any) -> None:
        """Write the graph of an ONNX file (needs the onnx package)."""
        self._writer.add_onnx_graph(prototxt)

    def flush(self) -> None:
        """Have everything written to disk."""
        self._writer.flush()

    def close(self) -> None:
        """Write everything and close the files; closing again changes nothing."""
        self._writer.close()

    def __enter__(self) -> "SummaryWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _passing_on(name: str) -> Callable[..., None]:
    inner = getattr(tensorboardX.SummaryWriter, name)

    @functools.wraps(inner)
    def add(self: SummaryWriter, *args: Any, **kwargs: Any) -> None:
        plain = {key: to_plain(value) for key, value in kwargs.items()}
        getattr(self._writer, name)(*map(to_plain, args), **plain)

    return add


for _name in PASSED_ON:
    setattr(SummaryWriter, _name, _passing_on(_name))
