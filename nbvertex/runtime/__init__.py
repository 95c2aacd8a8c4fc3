"""What runs inside a step's process: the standard library and IPython only, so that it travels."""
