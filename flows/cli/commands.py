"""What commands there are: a table that costs nothing to read, since only the command asked for is imported."""

from __future__ import annotations

FLOWS = {
    "download": "Bring a period's frames, science headers, masks and reference stars into the store.",
    "pocket": "Measure what the pocket of each amplifier holds behind each level, on the exposures of a period.",
    "calibrate": "Make the master bias and flats of every CCD for one period, from the frames in the store.",
    "linearity": "Measure the non-linearity of every readout channel, and compare it with the dated table.",
    "fringes": "Make the fringe maps of every CCD from the zi exposures of a period.",
    "detrend": "Detrend every quadrant of a period and keep the images.",
    "catalogue": "Measure the reference stars on every exposure of a period; the detrended images are not kept.",
    "science": "Measure the stars, or the sources found, on the archive's own science images of a period.",
    "detector": "Look at the detector over a period: what is left of its effects, and what its calibrations say.",
    "report": "Draw the report of a night.",
    "nightly": "Reduce a night, and those before it that were missed or of which the archive has more by now.",
    "stars": "Turn the catalogues of a period, by apertures or the PSF, into one table of measurements a filter, "
    "for the fits.",
    "import_table": "Take measurements of stars that another program made into the store, for starflat and ubercal.",
    "starflat": "Fit the response of the camera to each night's exposures of a period, filter by filter.",
    "psf": "Fit the PSF of every quadrant exposure of a period, and measure its stars with it.",
    "scene": "Measure the light curves of targets on their galaxies.",
    "ubercal": "Fit the zero point of every quadrant of every exposure of a period, filter by filter, and its mean "
    "stars.",
    "light_curves": "Calibrate every measurement of every star of a period with the zero points of ubercal.",
    "demo": "Reduce a simulated survey and compare every product with the truth.",
    "real": "Measure the sources of real science images, and compare their growth curves with the archive's.",
}
"""Flows that are commands of the same name and parameters, each with the first line of its docstring."""

TOOLS = {
    "doctor": (
        "flows.cli.doctor:doctor",
        "Check archive, files, reference stars, store, server and cluster against what the reduction believes of them.",
    ),
    "serve": ("flows.cli.serve:serve", "Run Prefect's server, a worker and all deployments, until interrupted."),
    "ls": ("flows.cli.audit:ls", "List what a store holds: by kind, night or CCD, or product by product."),
    "explain": (
        "flows.cli.audit:explain",
        "Say what a product is made of, down to the raw files, by which recipes and which code.",
    ),
    "verify": ("flows.cli.audit:verify", "Look for everything that can be wrong with the products of a store."),
    "diff": ("flows.cli.audit:diff", "Compare two products or files: headers, tables and pixels, with figures."),
    "retract": (
        "flows.cli.audit:retract",
        "List what was made of a product that turned out bad; mark it all, or take it away to be made again.",
    ),
    "gc": ("flows.cli.audit:gc", "List the products that no release refers to; take them away if told to."),
    "release": ("flows.cli.release:app", "Plan a release of years: what is there, what is to be made, what cannot be."),
    "site": (
        "flows.cli.website:site",
        "Write static pages of a store: calendar of nights, exposures, trends, fits and light curves; needs no server.",
    ),
    "reference": ("flows.cli.reference:app", "Lay out tables of stars as reference catalogues."),
}
"""Commands that are no flows.

The place is a function, or a `cyclopts.App` of the command's name that holds commands of its own
(``ztf reference import``); it is imported when its command is asked for, and needs no server.
What it returns, if it is a number, is the exit code.
"""
