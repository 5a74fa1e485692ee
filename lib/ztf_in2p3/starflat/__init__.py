"""Response of the focal plane from dithered exposures."""
