"""An emulated pair of model servers for timing work: a script says what they say, a profile how fast.

No model runs here, so nothing that comes out says anything about a model's accuracy or a machine's speed.
"""
