"""Master calibrations, and the detrending of quadrants with them."""
