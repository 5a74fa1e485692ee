"""The sparse least-squares solver that starflat and ubercal use."""
