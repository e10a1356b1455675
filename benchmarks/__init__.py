"""Benchmarks: each a module with a make target; the last line printed is RESULT and one JSON object."""
