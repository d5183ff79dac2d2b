"""Memory, threads and the native program runner. Knows bytes and dtypes, never graphs."""
