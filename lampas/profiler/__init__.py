"""Profiling: `torch.profiler`. Where the time goes, operator by operator and kernel by kernel.

See `profiler.profile`, and docs/profiling.md for a tour.
"""

from lampas.profiler import itt, profiler
from lampas.profiler.annotation import record_function
from lampas.profiler.kinds import (
    DeviceType,
    ProfilerAction,
    ProfilerActivity,
    kineto_available,
    schedule,
    supported_activities,
)
from lampas.profiler.profiler import (
    ExecutionTraceObserver,
    _KinetoProfile,
    profile,
    tensorboard_trace_handler,
)

__all__ = [
    "DeviceType",
    "ExecutionTraceObserver",
    "ProfilerAction",
    "ProfilerActivity",
    "kineto_available",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]
