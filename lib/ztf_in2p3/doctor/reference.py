"""Partitions of the reference catalogue: whether their stars can be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ztf_in2p3.doctor.findings import Check, Result, differs, ok
from ztf_in2p3.tables.column import numbers

_SEND = "is this Gaia DR3, in degrees and magnitudes, each star once? Send us the JSON report"


def positions(table: pa.Table) -> Result:
    """Positions of the stars of a partition: finite, and within their ranges."""
    ra, dec = numbers(table, "ra"), numbers(table, "dec")
    expected = "right ascensions of 0 to 360 and declinations of -90 to 90 deg, all known"
    right = np.isfinite(ra).all() and np.isfinite(dec).all() and ra.min() >= 0 and ra.max() <= 360
    text = f"RA {np.nanmin(ra):.3f} to {np.nanmax(ra):.3f}, Dec {np.nanmin(dec):.3f} to {np.nanmax(dec):.3f}"
    return ok(text, expected) if right and np.abs(dec).max() <= 90 else differs(text, expected, _SEND)


def magnitudes(table: pa.Table) -> Result:
    """G between those of bright and of the faintest stars, and a colour for most."""
    g, colour = numbers(table, "phot_g_mean_mag"), numbers(table, "phot_bp_mean_mag")
    colour = colour - numbers(table, "phot_rp_mean_mag")
    text = f"G {np.nanmedian(g):.1f}, BP - RP {np.nanmedian(colour):.2f} in the median"
    expected = "G of 10 to 22, BP - RP of 0 to 3"
    right = 10 < np.nanmedian(g) < 22 and 0 < np.nanmedian(colour) < 3
    return ok(text, expected) if right else differs(text, expected, _SEND)


def motions(table: pa.Table) -> Result:
    """Proper motions in mas / yr: known for most, a few to some tens."""
    motion = np.hypot(numbers(table, "pmra"), numbers(table, "pmdec"))
    text = f"{np.nanmedian(motion):.1f} mas / yr in the median, {np.isfinite(motion).mean():.0%} known"
    expected = "0.1 to 100 mas / yr, known for most"
    right = 0.1 < np.nanmedian(motion) < 100 and np.isfinite(motion).mean() > 0.5
    return ok(text, expected) if right else differs(text, expected, _SEND)


def identifiers(table: pa.Table) -> Result:
    """Identifiers of the stars of a partition: each star once."""
    number = np.asarray(table["source_id"].to_numpy())
    twice = len(number) - len(np.unique(number))
    expected = "each star once, by source_id"
    if twice:
        return differs(f"{twice} of {len(number)} rows are there twice", expected, "no star would count as isolated")
    return ok(f"{len(number)} stars", expected)


CHECKS = (
    Check("identifiers", identifiers),
    Check("positions", positions),
    Check("magnitudes", magnitudes),
    Check("proper motions", motions),
)
