"""One file a schedule: what runs at the same time."""
