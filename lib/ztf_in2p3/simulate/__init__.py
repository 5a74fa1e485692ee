"""Simulated nights with known truth, down to the files of a look-alike archive."""
