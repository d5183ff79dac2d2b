"""How to compute: loop kernels and the hand-scheduled kernels."""
