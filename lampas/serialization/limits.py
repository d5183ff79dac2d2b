"""Limits for what a file may ask of the reader. None of them is near what a real checkpoint needs."""

INTEGER_BYTES = 4096
TEXT_SHOWN = 100
KEY_DEPTH = 4  # nesting of tuples in dict keys and sets: hashing recurses
DIMENSIONS = 64
ELEMENTS = 1 << 62
RECORDS = 1 << 24
