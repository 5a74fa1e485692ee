"""The point-spread function of an exposure, and stars measured with it."""
