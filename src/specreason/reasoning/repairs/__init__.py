"""One file a repair: what replaces a rejected draft."""
