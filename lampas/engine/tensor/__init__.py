"""Tensor, storage, the door, and the families of operations."""
