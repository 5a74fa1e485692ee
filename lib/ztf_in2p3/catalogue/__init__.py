"""Stars on images: reference catalogues, backgrounds, aperture photometry."""
