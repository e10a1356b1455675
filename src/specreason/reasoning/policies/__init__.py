"""One file a rule; all knobs of a rule are in its file."""
