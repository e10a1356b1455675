"""Whether to draft the next steps, and how: the same for all, or as it pays."""
