"""From graphs to results: programs, their cache and their statistics."""
