"""Static pages of a store: calendar of nights, each night's exposures, trends over time, fits and light curves.

The pages need no server and no network: `vendored` holds uPlot 1.6.32 (MIT, its licence beside it) for the trends.
"""
