"""The HTTP side of an emulated model: requests, replies, and the connection that carries them."""
