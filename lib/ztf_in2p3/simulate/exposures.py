"""The plan of a night: everything that makes its files, as one frozen value that can be written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any, Self

import numpy as np

from ztf_in2p3.camera import TINY, ZTF, Camera
from ztf_in2p3.identifiers import N_CCD, CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.simulate.airmass import airmass, sidereal_time
from ztf_in2p3.simulate.detector import USUAL, Effects
from ztf_in2p3.simulate.fringe import amplitudes
from ztf_in2p3.simulate.seeds import generator
from ztf_in2p3.simulate.sky import Sky

VERSION = 3
"""Version of the simulator: raised by hand when the same plan makes other pixels."""
FIRST_NIGHT = date(2017, 1, 1)
"""Night number 0 of the archive."""
ODD_SHARE = 0.05
"""Share of the files of a night that are odd, as `NightPlan.odd_share`."""


@dataclass(frozen=True, slots=True)
class BiasFrame:
    """A bias frame."""

    exposure: Exposure
    mjd: float
    """UTC of the start."""

    @property
    def exptime(self) -> float:
        """Exposure time, seconds: none."""
        return 0.0


@dataclass(frozen=True, slots=True)
class FlatFrame:
    """A flat frame under one LED."""

    exposure: Exposure
    mjd: float
    led: int
    level_adu: float
    """Level on the optical axis, at the camera's nominal gain."""
    exptime: float = 10.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class ObjectFrame:
    """An exposure of the sky."""

    exposure: Exposure
    mjd: float
    ra: float
    dec: float
    """Direction in which the telescope was sent, degrees."""
    seeing: float
    """Full width at half maximum, pixels."""
    sky_adu: float
    """Sky on the optical axis, per pixel, at the camera's nominal gain."""
    zero_point: float
    """Magnitude that makes 1 ADU in the exposure on the optical axis at airmass 1, at the camera's nominal gain."""
    extinction: float
    """Magnitudes per airmass."""
    exptime: float = 30.0
    fringes: tuple[float, ...] = ()
    """Strength of each group of the sky's lines in the fringes, as fractions of the sky."""

    @property
    def airmass(self) -> float:
        """Air mass at the pointing."""
        return float(airmass(self.ra, self.dec, self.mjd))


Frame = BiasFrame | FlatFrame | ObjectFrame


@dataclass(frozen=True, slots=True)
class NightPlan:
    """A night of a camera, or of some of its CCDs."""

    camera: Camera
    night: date
    seed: int
    ccdids: tuple[int, ...]
    biases: tuple[BiasFrame, ...]
    flats: tuple[FlatFrame, ...]
    objects: tuple[ObjectFrame, ...]
    sky: Sky = field(default_factory=Sky)
    effects: Effects = USUAL
    calibration: NightPlan | None = None
    """The night whose flats detrend the exposures, where this one has none of their filter."""
    odd_share: float = ODD_SHARE
    """Fraction of the files that each harmless oddity of real headers strikes; see `ztf_in2p3.simulate.oddities`."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed {self.seed}: a number from 0 to 2^32 - 1 is expected")
        if not all(1 <= ccdid <= N_CCD for ccdid in self.ccdids) or len(set(self.ccdids)) != len(self.ccdids):
            raise ValueError(f"ccdids {self.ccdids}: different numbers from 1 to {N_CCD} are expected")
        if not 0 <= self.odd_share <= 1:
            raise ValueError(f"odd_share {self.odd_share}: a fraction from 0 to 1 is expected")
        expected: Mapping[type[Frame], ImageType] = {
            BiasFrame: ImageType.BIAS,
            FlatFrame: ImageType.FLAT,
            ObjectFrame: ImageType.OBJECT,
        }
        for frame in self.frames:
            exposure = frame.exposure
            if exposure.night != self.night or exposure.image_type != expected[type(frame)]:
                raise ValueError(f"{exposure} is no {type(frame).__name__} of the night {self.night}")
            if isinstance(frame, FlatFrame) and frame.led not in exposure.filter.leds:
                raise ValueError(f"{exposure}: LED {frame.led} is none of {exposure.filter.leds}, those of the filter")
            if isinstance(frame, ObjectFrame) and not np.isfinite(frame.airmass):
                raise ValueError(
                    f"{exposure}: the field at ra {frame.ra}, dec {frame.dec} is not 10 degrees above the horizon"
                )
        days = [frame.exposure.filefracday for frame in self.frames]
        if len(set(days)) != len(days):
            raise ValueError("two exposures of the night have one filefracday: their files would have one name")

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All frames: biases, flats, exposures of the sky."""
        return (*self.biases, *self.flats, *self.objects)

    def frame(self, exposure: Exposure) -> Frame:
        """The frame of an exposure; ValueError if the plan has none."""
        for frame in self.frames:
            if frame.exposure == exposure:
                return frame
        raise ValueError(f"{exposure} is not in the plan of the night {self.night}")

    def lamp_night(self, filter: Filter) -> NightPlan:
        """The night whose flats of a filter detrend this one's exposures."""
        has_flats = any(frame.exposure.filter == filter for frame in self.flats)
        return self if has_flats or self.calibration is None else self.calibration

    @property
    def ccd_exposures(self) -> tuple[CcdExposure, ...]:
        """CCD exposures of all frames."""
        return tuple(CcdExposure(frame.exposure, ccdid) for frame in self.frames for ccdid in self.ccdids)

    def to_json(self) -> str:
        """Readable, and the same for equal plans; `from_json` is the inverse."""
        return json.dumps(self.to_values(), indent=1) + "\n"

    def to_values(self) -> dict[str, Any]:
        """The plan in values that JSON has."""
        plan: dict[str, Any] = asdict(self) | {"version": VERSION, "night": self.night.isoformat()}
        for kind in ("biases", "flats", "objects"):
            plan[kind] = [asdict(frame) | {"exposure": str(frame.exposure)} for frame in getattr(self, kind)]
        return plan | {"calibration": self.calibration and self.calibration.to_values()}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of `to_json`."""
        return cls.from_values(json.loads(text))

    @classmethod
    def from_values(cls, plan: dict[str, Any]) -> Self:
        """Plan from the values of its JSON text."""
        version = plan.pop("version", None)
        if version != VERSION:
            raise ValueError(
                f"the plan is of version {version} of the simulator, this one is {VERSION}: simulate the night again"
            )
        camera = plan["camera"]
        plan["camera"] = Camera(**camera | {"shape": tuple(camera["shape"]), "gap": tuple(camera["gap"])})
        plan["night"] = date.fromisoformat(plan["night"])
        plan["ccdids"] = tuple(plan["ccdids"])
        for values in plan["objects"]:
            values["fringes"] = tuple(values["fringes"])
        for kind, frame in (("biases", BiasFrame), ("flats", FlatFrame), ("objects", ObjectFrame)):
            plan[kind] = tuple(
                frame(**values | {"exposure": Exposure.parse(values["exposure"])}) for values in plan[kind]
            )
        if plan["calibration"] is not None:
            plan["calibration"] = cls.from_values(plan["calibration"])
        return cls(**plan | {"sky": Sky(**plan["sky"]), "effects": Effects(**plan["effects"])})


def mjd_of(filefracday: str) -> float:
    """MJD of an exposure.  A second after the time in its name, as in the archive: nobody shall read it from there."""
    days = (date.fromisoformat(filefracday[:8]) - date(1858, 11, 17)) / timedelta(days=1)
    return days + int(filefracday[8:]) / 1e6 + 1.0 / 86400


def night_number(mjd: float) -> int:
    """The archive's `nid`."""
    return int(mjd) - (FIRST_NIGHT - date(1858, 11, 17)).days


def exposure_number(mjd: float) -> int:
    """The archive's `expid`: night number and hundred-thousandth of the day."""
    return night_number(mjd) * 100_000 + int(mjd % 1 * 100_000)


# --- nights to begin with

LIGHT = {Filter.ZG: (26.2, 0.18, (150, 300)), Filter.ZR: (26.3, 0.10, (300, 500)), Filter.ZI: (25.7, 0.06, (400, 700))}
"""Zero point, extinction, and range of the sky (ADU) in 30 s, about those of the survey."""
_BIAS_TIME, _FLAT_TIME, _OBJECT_TIME = 0.05, 0.09, 0.25
_CADENCE = 0.0006
"""Start of each kind of exposure, and time between two, days."""
_FIELDS = ((601, -15.0, 25.0), (602, 30.0, 10.0), (603, 0.0, 45.0))
"""Number, hour angle when the first object is exposed, and declination, degrees."""
_DITHER_DEG = 40 / 3600
LAMP_SCATTER = 0.005
"""Scatter of the lamps' light from frame to frame: about the photons' noise of a pixel."""


def tiny_night(
    night: date = date(2019, 4, 5),
    seed: int = 20190405,
    *,
    ccdids: tuple[int, ...] = tuple(range(1, N_CCD + 1)),
    filters: tuple[Filter, ...] = (Filter.ZG, Filter.ZR),
    n_bias: int = 10,
    n_led: int = 2,
    n_flat: int = 4,
    n_object: int = 8,
    n_field: int = 2,
    sky: Sky | None = None,
    effects: Effects = USUAL,
) -> NightPlan:
    """A night of the tiny camera: bias frames, `n_flat` flats of `n_led` LEDs a filter, dithered exposures of fields.

    Nights of one seed share detector and sky, and differ in noise and weather.
    """
    return _night(TINY, night, seed, ccdids, filters, n_bias, n_led, n_flat, n_object, n_field, sky, effects)


def real_size_night(
    ccdid: int,
    night: date = date(2019, 4, 5),
    seed: int = 20190405,
    *,
    filter: Filter = Filter.ZR,
    n_bias: int = 10,
    n_led: int = 2,
    n_flat: int = 4,
    n_object: int = 4,
    sky: Sky | None = None,
    effects: Effects = USUAL,
) -> NightPlan:
    """A night of one CCD of the real camera, in one filter and field."""
    return _night(ZTF, night, seed, (ccdid,), (filter,), n_bias, n_led, n_flat, n_object, 1, sky, effects)


def _night(
    camera: Camera,
    night: date,
    seed: int,
    ccdids: tuple[int, ...],
    filters: tuple[Filter, ...],
    n_bias: int,
    n_led: int,
    n_flat: int,
    n_object: int,
    n_field: int,
    sky: Sky | None,
    effects: Effects,
) -> NightPlan:
    draw = generator(seed, "night", night.toordinal())
    if not 1 <= n_field <= len(_FIELDS):
        raise ValueError(f"{n_field} fields: 1 to {len(_FIELDS)} are known")

    def exposure(start: float, index: int, number: int, filter: Filter, kind: ImageType) -> Exposure:
        fraction = round((start + index * _CADENCE) * 1e6)
        return Exposure(f"{night:%Y%m%d}{fraction:06d}", number, filter, kind)

    biases, flats, objects = [], [], []
    for i in range(n_bias):
        # As in the archive, the odd bias frame bears the number of a field.
        named = exposure(_BIAS_TIME, i, _FIELDS[0][0] if i == n_bias - 1 else 0, Filter.BIAS, ImageType.BIAS)
        biases.append(BiasFrame(named, mjd_of(named.filefracday)))

    lamps = [(filter, led) for filter in filters for led in filter.leds[:n_led]]
    levels = {lamp: float(np.round(draw.uniform(22_000, 36_000))) for lamp in lamps}
    for i, (filter, led) in enumerate(lamp for lamp in lamps for _ in range(n_flat)):
        named = exposure(_FLAT_TIME, i, 0, filter, ImageType.FLAT)
        level = levels[filter, led] * (1 + LAMP_SCATTER * draw.normal())
        flats.append(FlatFrame(named, mjd_of(named.filefracday), led, float(np.round(level, 1))))

    meridian = sidereal_time(mjd_of(f"{night:%Y%m%d}{round(_OBJECT_TIME * 1e6):06d}"))
    for i in range(n_object):
        filter = filters[i * len(filters) // n_object]
        number, hour_angle, dec = _FIELDS[i % n_field]
        zero_point, extinction, sky_range = LIGHT[filter]
        named = exposure(_OBJECT_TIME, i, number, filter, ImageType.OBJECT)
        dither_ra, dither_dec = draw.uniform(-_DITHER_DEG, _DITHER_DEG, 2)
        ra = (np.round(meridian - hour_angle) + dither_ra / np.cos(np.deg2rad(dec))) % 360
        objects.append(
            ObjectFrame(
                exposure=named,
                mjd=mjd_of(named.filefracday),
                ra=float(np.round(ra, 6)),
                dec=float(np.round(dec + dither_dec, 6)),
                seeing=float(np.round(draw.uniform(1.8, 2.6), 3)),
                sky_adu=float(np.round(draw.uniform(*sky_range), 1)),
                zero_point=float(np.round(zero_point + draw.normal(0, 0.02), 4)),
                extinction=extinction,
                fringes=amplitudes(seed, int(named.filefracday)) if filter is Filter.ZI else (),
            )
        )
    plan_sky = Sky(seed=seed) if sky is None else sky
    return NightPlan(
        camera, night, seed, ccdids, tuple(biases), tuple(flats), tuple(objects), sky=plan_sky, effects=effects
    )
