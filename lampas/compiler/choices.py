"""The backends, modes and options that `lampas.compile` takes: PyTorch's names, checked as PyTorch checks them.

There is one compiler here, so none of them changes what is computed; a name that PyTorch does not have is an error
all the same, since it is a mistake in the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lampas.compiler.errors import InvalidBackend

# Backends that compile, and those that PyTorch has for finding faults: these leave everything as it is.
COMPILING = ("cudagraphs", "inductor")
DEBUGGING = ("aot_eager", "aot_eager_decomp_partition", "eager", "eager_debug", "eager_noexcept")
MODES = ("default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")
SWITCHES = (
    "aggressive_fusion benchmark_kernel combo_kernels comprehensive_padding conv_1x1_as_mm "
    "coordinate_descent_check_all_directions coordinate_descent_tuning cpp.weight_prepack cpp_wrapper "
    "dce debug disable_progress emulate_precision_casts epilogue_fusion fallback_random "
    "force_fuse_int_mm_with_mul force_same_precision freezing fx_graph_cache group_fusion "
    "joint_graph_constant_folding keep_output_stride layout_optimization max_autotune "
    "max_autotune_gemm max_autotune_pointwise memory_planning nan_asserts pad_channels_last "
    "pattern_matcher permute_fusion pick_loop_orders reorder_for_locality scalar_asserts "
    "shape_padding size_asserts split_reductions trace.enabled trace.graph_diagram "
    "triton.cudagraph_trees triton.cudagraphs triton.dense_indexing triton.unique_kernel_names "
    "use_aoti verbose_progress"
).split()
NUMBERS = "compile_threads cpp.simdlen cpp.threads max_fusion_size realize_opcount_threshold realize_reads_threshold".split()
NAMES = (
    "max_autotune_gemm_backends",
    "max_autotune_conv_backends",
    "max_autotune_gemm_search_space",
)
OPTIONS: dict[str, type | None] = {
    **dict.fromkeys(SWITCHES, bool),
    **dict.fromkeys(NUMBERS, int),
    **dict.fromkeys(NAMES, str),
    "cpp.simdlen": None,
    "guard_filter_fn": None,
}

Backend = str | Callable[..., Any] | None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a call of `compile` asked for, checked."""

    backend: str = "inductor"
    mode: str | None = None
    fullgraph: bool = False
    dynamic: bool | None = None

    @property
    def at_once(self) -> bool:
        """Whether structures are compiled when they are first met."""
        return self.backend in COMPILING


def checked_choice(
    fullgraph: bool, dynamic: bool | None, backend: Backend, mode: str | None, options: Any
) -> Choice:
    """The choice, or PyTorch's exception for one that there is not."""
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    name = checked_backend(backend)
    if name == "inductor":
        if mode is not None and mode not in MODES:
            raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(MODES)}")
        check_options(options or {})
    return Choice(name, mode, fullgraph, dynamic)


def checked_backend(backend: Backend) -> str:
    """The backend's name; a function cannot be one, for there is no FX graph that it could be given."""
    if backend is None:
        return "inductor"
    if not isinstance(backend, str):
        name = getattr(backend, "__qualname__", None) or repr(backend)
        raise NotImplementedError(
            f"the backend {name} is a function of an FX graph, and Lampas makes none: its own compiler is the only "
            "one. Leave `backend` out, and look at what is computed with lampas.explain()"
        )
    if backend not in COMPILING + DEBUGGING:
        raise InvalidBackend(backend)
    return backend


def check_options(options: Mapping[str, Any]) -> None:
    """Raise RuntimeError for an option that is not known, or whose value is of another type."""
    for name, value in options.items():
        key = name.replace("-", "_")
        if key not in OPTIONS:
            raise RuntimeError(
                f"Unexpected optimization option {name}, known options are {sorted(OPTIONS)}"
            )
        kind = OPTIONS[key]
        if kind is not None and type(value) is not kind:
            raise RuntimeError(
                f"Unexpected type of attr {name}, got {type(value).__name__} should be {kind.__name__}"
            )
