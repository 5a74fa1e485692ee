"""Light curves of transients on their host galaxies, by scene modelling."""
