"""Several nights of one survey: what a calibration needs that one night with its flats does not hold.

The nights of a survey share camera, seed (so the detector and its lamps) and sky, and differ in dates, pointings,
weather and in the CCDs that are simulated.  A night may go without flats: it names the one that detrends it.
Whoever needs further nights makes them with `sky_night` and adds them to those that `simulate_survey` is given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from ztf_in2p3.identifiers import Exposure, Filter, ImageType
from ztf_in2p3.simulate.airmass import sidereal_time
from ztf_in2p3.simulate.chain import field_radius
from ztf_in2p3.simulate.exposures import LIGHT, NightPlan, ObjectFrame, mjd_of
from ztf_in2p3.simulate.seeds import generator

GOLDEN_ANGLE = 2.399963
"""Radians; turned by it again and again, no two directions are alike."""


@dataclass(frozen=True, slots=True)
class Pointing:
    """One exposure to be made."""

    field: int
    """Number in the survey's grid."""
    ra: float
    dec: float
    """Degrees."""
    time: float
    """Time as a fraction of the UT day."""
    extinction: float = 0.0
    """Extinction by clouds, magnitudes: a grey exposure."""


def sky_night(
    calibration: NightPlan,
    night: date,
    filter: Filter,
    pointings: Sequence[Pointing],
    *,
    ccdids: tuple[int, ...] | None = None,
) -> NightPlan:
    """A night of exposures of the sky, detrended with the flats of another.

    Parameters
    ----------
    ccdids
        Those that are simulated; all of the other night's if None.
    """
    draw = generator(calibration.seed, "sky night", night.toordinal())
    zero_point, extinction, sky_range = LIGHT[filter]
    objects = []
    for pointing in pointings:
        named = Exposure(f"{night:%Y%m%d}{round(pointing.time * 1e6):06d}", pointing.field, filter, ImageType.OBJECT)
        objects.append(
            ObjectFrame(
                exposure=named,
                mjd=mjd_of(named.filefracday),
                ra=round(pointing.ra % 360, 6),
                dec=round(pointing.dec, 6),
                seeing=float(np.round(draw.uniform(1.8, 2.6), 3)),
                sky_adu=float(np.round(draw.uniform(*sky_range), 1)),
                zero_point=float(np.round(zero_point + draw.normal(0, 0.02) - pointing.extinction, 4)),
                extinction=extinction,
            )
        )
    return NightPlan(
        calibration.camera,
        night,
        calibration.seed,
        ccdids or calibration.ccdids,
        (),
        (),
        tuple(objects),
        sky=calibration.sky,
        effects=calibration.effects,
        calibration=calibration,
        odd_share=calibration.odd_share,
    )


def dithered_night(
    calibration: NightPlan,
    night: date,
    filter: Filter,
    *,
    n_exposure: int = 14,
    spread: float = 1.0,
    ccdids: tuple[int, ...] | None = None,
    hours: float = 1.0,
    hour_angle: float = 0.0,
    dec: float = 33.0,
    field: int = 1,
) -> NightPlan:
    """One field, exposed while the telescope is moved by up to `spread` of the focal plane's half diagonal.

    By small and large steps, in all directions.

    Parameters
    ----------
    hours
        From the first exposure to the last.
    hour_angle
        Hour angle of the field in the middle of it, degrees.  As it stands, the field crosses the meridian near the
        zenith, where the air is the same over the whole camera; further west its thickness changes with time.
    """
    draw = generator(calibration.seed, "dither", night.toordinal())
    max_offset = spread * field_radius(calibration.camera) * calibration.camera.pixel_scale / 3600
    start, step = 0.25, hours / 24 / max(n_exposure - 1, 1)
    ra = np.round(sidereal_time(mjd_of(_name(night, start + hours / 48))) - hour_angle)
    turn, distance = draw.uniform(0, 2 * np.pi), max_offset * (np.arange(n_exposure) + 0.5) / n_exposure
    angle = turn + GOLDEN_ANGLE * np.arange(n_exposure)
    east, north = distance * np.cos(angle) / np.cos(np.deg2rad(dec)), distance * np.sin(angle)
    pointings = [
        Pointing(field, float(ra + east[i]), float(dec + north[i]), start + k * step)
        for k, i in enumerate(draw.permutation(n_exposure))
    ]
    return sky_night(calibration, night, filter, pointings, ccdids=ccdids)


def survey_nights(
    calibration: NightPlan,
    nights: Iterable[date],
    filter: Filter,
    *,
    side: int = 2,
    overlap: float = 0.5,
    ccdids: tuple[int, ...] | None = None,
    grey: float = 0.25,
    dec: float = 25.0,
    first_field: int = 701,
) -> list[NightPlan]:
    """A square of overlapping fields, each exposed once a night, through clouds now and then.

    Parameters
    ----------
    side
        Side of the square, in fields.
    overlap
        Overlap of neighbouring fields, as a fraction of the field; from night to night they move by up to a quarter of
        that.
    ccdids
        Those that are simulated; the field is then as wide as the CCDs are.
    grey
        Fraction of the exposures that a cloud of 0.2 to 0.6 magnitudes dims.
    """
    nights, camera = list(nights), calibration.camera
    ccdids = ccdids or calibration.ccdids
    centres = np.array([camera.focal_plane(q, *_middle(camera.shape)) for q in camera.quadrants if q.ccdid in ccdids])
    extent = np.ptp(centres, axis=0) + np.array([camera.shape[1], camera.shape[0]])
    step = extent * (1 - overlap) * camera.pixel_scale / 3600
    ra0 = np.round(sidereal_time(mjd_of(_name(nights[len(nights) // 2], 0.27))) + 5.0)
    plans = []
    for night in nights:
        draw = generator(calibration.seed, "survey night", night.toordinal())
        jitter = draw.uniform(-0.25, 0.25, (side**2, 2)) * step * overlap
        clouds = np.where(draw.random(side**2) < grey, draw.uniform(0.2, 0.6, side**2), 0)
        pointings = []
        for k in range(side**2):
            east, north = (np.array([k % side, k // side]) - (side - 1) / 2) * step + jitter[k]
            ra, time = float(ra0 + east / np.cos(np.deg2rad(dec))), 0.25 + 0.04 * k / side**2
            pointings.append(Pointing(first_field + k, ra, float(dec + north), time, float(clouds[k])))
        plans.append(sky_night(calibration, night, filter, pointings, ccdids=ccdids))
    return plans


def _middle(shape: tuple[int, int]) -> tuple[float, float]:
    return (shape[1] - 1) / 2, (shape[0] - 1) / 2


def _name(night: date, time: float) -> str:
    return f"{night:%Y%m%d}{round(time * 1e6):06d}"


# --- several plans in one file


def plans_to_json(plans: Sequence[NightPlan]) -> str:
    """Readable, and the same for equal plans; `plans_from_json` is the inverse.

    Raises
    ------
    ValueError
        There is none, or they are not of one camera, seed and sky, or two are of one date.
    """
    if not plans:
        raise ValueError("no night to simulate")
    if len({(plan.camera, plan.seed, plan.sky) for plan in plans}) > 1:
        raise ValueError("nights of different cameras, seeds or skies make no survey")
    dates = [plan.night for plan in plans]
    if len(set(dates)) != len(dates):
        raise ValueError(f"two plans of one night: {', '.join(map(str, sorted(dates)))}")
    return json.dumps([plan.to_values() for plan in plans], indent=1) + "\n"


def plans_from_json(text: str) -> list[NightPlan]:
    """Plans from their JSON text."""
    return [NightPlan.from_values(values) for values in json.loads(text)]
