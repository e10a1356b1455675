"""One file a signal: what can be found out about a draft or a place in the chain, and at what price."""
