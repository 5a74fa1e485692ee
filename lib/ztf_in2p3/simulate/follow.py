"""Nights that follow a supernova on one quadrant: some before it explodes, the others while it shines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from ztf_in2p3.identifiers import Filter, Quadrant
from ztf_in2p3.simulate.airmass import sidereal_time
from ztf_in2p3.simulate.exposures import NightPlan, mjd_of
from ztf_in2p3.simulate.host import ARCSEC, Supernova
from ztf_in2p3.simulate.nights import Pointing, sky_night
from ztf_in2p3.simulate.seeds import generator
from ztf_in2p3.simulate.wcs import centre_pixel, deproject, project

TARGETS = Path(__file__).with_name("targets.toml")
"""File of the demonstration's target, as an operator would write it."""
FIELD = 801
"""Number of the field, which no other survey of the simulator uses."""
DEC = 33.0
"""Degrees: near the zenith of Palomar."""
TRANSIT = 0.33
"""Fraction of the UT day: when the supernova is highest in the middle of the time it is followed."""
DITHER_ARCSEC = 25.0
QUADRANT = Quadrant(6, 1)


def follow(
    calibration: NightPlan,
    first: date,
    *,
    quadrant: Quadrant = QUADRANT,
    filters: Iterable[Filter] = (Filter.ZR,),
    n_quiet: int = 8,
    n_active: int = 12,
    peak: float = 19.0,
    host: float = 17.5,
) -> tuple[NightPlan, list[NightPlan], Supernova]:
    """Plan it: the night of the calibrations with the supernova in its sky, the nights that follow it, and itself.

    Parameters
    ----------
    calibration
        Its flats detrend all nights.
    first
        Night of the first exposure; every second night has one, in each filter in turn.
    n_quiet, n_active
        Exposures a filter before the explosion, and after it (these spread over 80 days).
    peak, host
        Magnitudes of the supernova at maximum, and of its galaxy.
    """
    filters = list(filters)
    quiet = [first + timedelta(days=2 * k) for k in range(n_quiet * len(filters))]
    burst = quiet[-1] + timedelta(days=2)
    # From day 2, when it begins to show, to day 80, when a tenth of the peak is left.
    days = np.linspace(2, 80, n_active * len(filters))
    active = [burst + timedelta(days=round(float(day))) for day in days]
    # The night of the calibrations is spoken for.
    nights = [night + timedelta(days=night == calibration.night) for night in (*quiet, *active)]
    if len(set(nights)) < len(nights):
        raise ValueError(f"{len(active)} exposures in 80 days: two of one night; ask for fewer")
    middle = nights[len(nights) // 2]
    ra = round(float(sidereal_time(mjd_of(_name(middle, TRANSIT)))), 4) % 360
    supernova = Supernova(ra, DEC, explosion=mjd_of(_name(burst, 0.0)), peak=peak, host=host)
    calibration = replace(
        calibration, sky=replace(calibration.sky, supernovae=(*calibration.sky.supernovae, supernova))
    )
    plans = [
        sky_night(
            calibration,
            night,
            filters[k % len(filters)],
            [_pointing(calibration, supernova, night, quadrant)],
            ccdids=(quadrant.ccdid,),
        )
        for k, night in enumerate(nights)
    ]
    return calibration, plans, supernova


def _pointing(calibration: NightPlan, supernova: Supernova, night: date, quadrant: Quadrant) -> Pointing:
    """Pointing that brings the supernova near the middle of the quadrant, when it is highest."""
    camera = calibration.camera
    u, v = (float(w) for w in camera.focal_plane(quadrant, *centre_pixel(camera)))
    xi, eta = (w * camera.pixel_scale * ARCSEC for w in (u, v))
    dx, dy = generator(calibration.seed, "follow", night.toordinal()).uniform(-DITHER_ARCSEC, DITHER_ARCSEC, 2) * ARCSEC
    ra, dec = supernova.ra, supernova.dec
    for _ in range(3):  # move the axis until the quadrant looks at the supernova
        position = deproject(xi, eta, ra, dec)
        off = project(supernova.ra, supernova.dec, *position)
        ra, dec = ra + float(off[0]) / np.cos(np.deg2rad(dec)), dec + float(off[1])
    late = ((supernova.ra - sidereal_time(mjd_of(_name(night, TRANSIT)))) + 180) % 360 - 180
    time = float(np.clip(TRANSIT + late / 360.9856, 0.12, 0.53))
    return Pointing(FIELD, ra + dx / np.cos(np.deg2rad(dec)), dec + dy, time)


def _name(night: date, time: float) -> str:
    return f"{night:%Y%m%d}{round(time * 1e6):06d}"
