"""Graph to kernels: simplify, fuse, plan memory, lower."""
