"""The commands `specreason eval` and `specreason calibrate`: a module of work for each, imported when asked for."""
