"""Helpers that stand beside the library: data loading, checkpointing, hook handles."""
