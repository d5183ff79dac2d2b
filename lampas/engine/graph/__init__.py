"""What to compute: primitives, immutable nodes, shape rules, the NumPy reference, text."""
