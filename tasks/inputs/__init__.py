"""Which products of the store are the inputs of a task."""
