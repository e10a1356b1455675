"""Rules and parts for specreason, as somebody else would write them."""
