"""PyTorch's `torch._dynamo.config`: switches that programs set. They are kept, and nothing reads them."""

suppress_errors = False
cache_size_limit = 8
recompile_limit = 8
accumulated_cache_size_limit = 256
accumulated_recompile_limit = 256
automatic_dynamic_shapes = True
assume_static_by_default = True
capture_scalar_outputs = False
capture_dynamic_output_shape_ops = False
inline_inbuilt_nn_modules = True
allow_unspec_int_on_nn_module = False
optimize_ddp = True
verbose = False
