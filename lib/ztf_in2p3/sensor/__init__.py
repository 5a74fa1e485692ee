"""Effects of the detector on its pixels: overscan, linearity, deferred charge, fringes."""
