"""Work on arrays outside of kernels: NumPy over threads, and small compiled loops. Knows arrays, never graphs."""
