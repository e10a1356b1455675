"""Named models: where their weights come from, and the cache that holds them."""
