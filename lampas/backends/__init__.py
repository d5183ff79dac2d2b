"""`torch.backends`: which back ends there are, and the switches that programs set on them.

Lampas has one back end, its own CPU kernels. The switches of others can be read and set, keep what
they were given, and change nothing. `backends.convolution` is its own.
"""

from lampas.backends import convolution, cuda, cudnn, mps
