"""The commands `specreason eval` and `specreason calibrate`: `app` is the surface, the rest their work."""
