"""One file a policy, with all its knobs: who writes the next step, and whether a draft is accepted."""
