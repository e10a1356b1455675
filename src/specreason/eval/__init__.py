"""Studies: tasks, grading, the grid of runs, store, statistics, reports. An extra: `specreason[eval]`."""
