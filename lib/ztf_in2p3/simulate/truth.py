"""What a reduction of the simulated night must find.

Made from the plan alone, by other means than any reduction: nothing is subtracted or fitted here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.identifiers import N_QUADRANT, CcdExposure, Exposure, Filter, Quadrant
from ztf_in2p3.simulate import chain, flats, psf
from ztf_in2p3.simulate.exposures import NightPlan, ObjectFrame
from ztf_in2p3.simulate.nights import plans_from_json
from ztf_in2p3.tables import Column, schema_of

PLAN = "truth/plan.json"

STAR_TRUTH = (
    Column("star_id", pa.int64(), "", "identifier in the reference catalogue"),
    Column("qid", pa.int8(), "", "quadrant of the CCD, 1 to 4"),
    Column("x", pa.float64(), "pix", "column in the quadrant as stored; 0 is the centre of the first"),
    Column("y", pa.float64(), "pix", "row in the quadrant as stored; 0 is the centre of the first"),
    Column("u", pa.float64(), "pix", "focal plane, east of the optical axis"),
    Column("v", pa.float64(), "pix", "focal plane, north of the optical axis"),
    Column("ra", pa.float64(), "deg", "ICRS right ascension at the exposure's epoch"),
    Column("dec", pa.float64(), "deg", "ICRS declination at the exposure's epoch"),
    Column("airmass", pa.float64(), "", "at the star"),
    Column("magnitude", pa.float64(), "mag", "in the exposure's filter, above the atmosphere"),
    Column("scale", pa.float64(), "", "flux in the detrended image over the flux on the optical axis"),
    Column("flux", pa.float64(), "adu", "in the detrended image, within any radius"),
    Column("saturated", pa.bool_(), "", "a pixel of the star is expected to overflow"),
)


@dataclass(frozen=True, slots=True)
class Truth:
    """Truth of a survey.  Images are (row, column) as stored; NaN in dead pixels where they are divided by a flat."""

    plan: NightPlan
    """Plan of the first night, whose calibrations are asked for."""
    others: tuple[NightPlan, ...] = ()
    """Further nights, of the same camera, seed and sky."""

    @classmethod
    def load(cls, tree: Path) -> Self:
        """Truth of the tree that `simulate_night` or `simulate_survey` wrote."""
        path = tree / PLAN
        if not path.exists():
            raise MissingProduct(f"{path} is not there: {tree} is no simulated night; make it with simulate_night")
        first, *observations = plans_from_json(path.read_text())
        return cls(first, tuple(observations))

    @property
    def nights(self) -> tuple[NightPlan, ...]:
        """Plans of all nights of the survey."""
        return (self.plan, *self.others)

    def plan_of(self, exposure: Exposure) -> NightPlan:
        """The night of an exposure.  ValueError if the survey has none of that date."""
        for plan in self.nights:
            if plan.night == exposure.night:
                return plan
        raise ValueError(f"{exposure} is of no night of the survey: {', '.join(str(p.night) for p in self.nights)}")

    # --- calibrations

    def bias(self, ccdid: int, qid: int) -> NDArray[np.float32]:
        """Master bias over the amplifier's offset, linearised: ADU."""
        return chain.bias_pattern(self.plan, Quadrant(ccdid, qid))

    def led_flat(self, filter: Filter, led: int, ccdid: int, qid: int) -> NDArray[np.float32]:
        """Flat of an LED over its CCD median."""
        median = self.levels(filter).led_medians[ccdid][led]
        return flats.led_flat_adu(self.plan, filter, led, Quadrant(ccdid, qid)) / np.float32(median)

    def flat(self, filter: Filter, ccdid: int, qid: int) -> NDArray[np.float32]:
        """Mean of the LEDs' normalised flats."""
        return flats.combined_flat(self.plan, filter, Quadrant(ccdid, qid), self.levels(filter))

    def levels(self, filter: Filter) -> flats.FlatLevels:
        """FLTNORM of each CCD (`.fltnorm(ccdid)`) and FLTNORM_FP (`.focal_plane`), ADU."""
        return _levels(self.plan.lamp_night(filter), filter)

    def offset_drift(self, ccd: CcdExposure, qid: int) -> NDArray[np.float64]:
        """Offset of each row over the amplifier's constant one, ADU; (row,) as stored."""
        plan = self.plan_of(ccd.exposure)
        return chain.offset_drift(plan, plan.frame(ccd.exposure), Quadrant(ccd.ccdid, qid))

    # --- images

    def detrended(self, ccd: CcdExposure, qid: int) -> NDArray[np.float32]:
        """(raw - bias) / flat * FLTNORM_FP / FLTNORM without noise: sky and stars, ADU."""
        adu, factor = self._adu_and_factor(ccd, qid)
        return adu * factor

    def variance(self, ccd: CcdExposure, qid: int) -> NDArray[np.float32]:
        """(row, column), ADU^2: variance of `detrended` in one exposure, the noise of its calibrations left out.

        Photons and read noise; linearisation changes the latter by less than 1 % and is left out.
        """
        adu, factor = self._adu_and_factor(ccd, qid)
        stage, effects = chain.amplifier(self.plan, Quadrant(ccd.ccdid, qid)), self.plan_of(ccd.exposure).effects
        variance = adu / np.float32(stage.gain) if effects.photon_noise else np.zeros_like(adu)
        if effects.read_noise:
            variance += np.float32((stage.read_noise / stage.gain) ** 2)
        elif effects.digitisation:
            variance += np.float32(1 / 12)
        return variance * factor**2

    def _adu_and_factor(self, ccd: CcdExposure, qid: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Signal over the bias, ADU, and what detrending multiplies it with."""
        plan, frame, quadrant, levels = self._parts(ccd, qid)
        charge = chain.expected_charge(plan, frame, quadrant)
        if plan.effects.saturation:
            charge = chain.detector.saturate(charge, chain.full_well(plan))
        flat = flats.combined_flat(plan, frame.exposure.filter, quadrant, levels)
        factor = np.float32(levels.factor(ccd.ccdid)) / flat
        return charge / np.float32(chain.amplifier(self.plan, quadrant).gain), factor

    def sky(self, ccd: CcdExposure, qid: int) -> NDArray[np.float64]:
        """Detrended sky without stars, fringes or dark current, ADU: smooth, not flat."""
        plan, frame, quadrant, levels = self._parts(ccd, qid)
        rows, columns = plan.camera.shape
        x, y = np.arange(columns)[None, :], np.arange(rows)[:, None]
        return frame.sky_adu * flats.star_scale(plan, frame.exposure.filter, quadrant, levels, x, y)

    def fringes(self, ccd: CcdExposure, qid: int) -> NDArray[np.float64]:
        """(row, column), ADU: fringes of the sky's lines in the detrended image.

        The strengths of the groups of lines are in the plan's exposure.
        """
        plan, frame, quadrant, _ = self._parts(ccd, qid)
        relative = chain.fringes(plan, frame, quadrant)
        return self.sky(ccd, qid) * relative

    # --- stars

    def stars(self, ccd: CcdExposure) -> pa.Table:
        """Stars whose centre falls on a pixel of the CCD, columns of `STAR_TRUTH`."""
        plan, filter = self.plan_of(ccd.exposure), ccd.exposure.filter
        return star_table(plan, ccd, _levels(plan.lamp_night(filter), filter))

    def response(self, filter: Filter, rcid: int, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Magnitudes by which stars at pixels of a quadrant look fainter in a detrended image than on the axis.

        `x`, `y` and result have one shape.

        What a starflat must find: the light of the lamps over that of the sky.
        """
        quadrant, levels = Quadrant.of_rcid(rcid), self.levels(filter)
        place = np.asarray(x, float), np.asarray(y, float)
        return np.asarray(-2.5 * np.log10(flats.star_scale(self.plan, filter, quadrant, levels, *place)))

    def zero_point(self, exposure: Exposure, radius: float) -> float:
        """Measured minus true magnitude of a star on the axis at airmass 1, in an aperture (radius in pixels).

        Measured is -2.5 log10 of the ADU; the wings beyond the aperture are lost, more or less of them as the star
        is placed within its pixel: 1 mmag at 3 pixels, 0.1 at 5, and the mean is told.
        """
        places = (np.arange(8) + 0.5) / 8 - 0.5
        x, y = (place.ravel() for place in np.meshgrid(places, places))
        fraction = self.aperture_fractions(exposure, x, y, [radius])[:, 0].mean()
        return float(-self._object(exposure).zero_point - 2.5 * np.log10(fraction))

    def enclosed(self, exposure: Exposure, radius: ArrayLike) -> NDArray:
        """Fraction of a star's flux within radii (pixels), as the profile has it before pixels blur it.  Any shape."""
        return psf.enclosed(radius, self._object(exposure).seeing)

    def aperture_fractions(self, exposure: Exposure, x: NDArray, y: NDArray, radii: ArrayLike) -> NDArray:
        """Fraction of the flux of stars at (x, y) that exact circular apertures sum: (star, aperture)."""
        return psf.aperture_fractions(x, y, radii, self._object(exposure).seeing)

    def _parts(self, ccd: CcdExposure, qid: int) -> tuple[NightPlan, ObjectFrame, Quadrant, flats.FlatLevels]:
        plan, frame, filter = self.plan_of(ccd.exposure), self._object(ccd.exposure), ccd.exposure.filter
        return plan, frame, Quadrant(ccd.ccdid, qid), _levels(plan.lamp_night(filter), filter)

    def _object(self, exposure: Exposure) -> ObjectFrame:
        frame = self.plan_of(exposure).frame(exposure)
        if not isinstance(frame, ObjectFrame):
            raise ValueError(f"{exposure} looked at no sky: there is nothing to detrend")
        return frame


@lru_cache(maxsize=16)
def _levels(plan: NightPlan, filter: Filter) -> flats.FlatLevels:
    return flats.flat_levels(plan, filter)


def star_table(plan: NightPlan, ccd: CcdExposure, levels: flats.FlatLevels) -> pa.Table:
    """Table of true stars as `Truth.stars`, with the levels of the flats at hand."""
    frame = plan.frame(ccd.exposure)
    if not isinstance(frame, ObjectFrame):
        raise ValueError(f"{ccd} looked at no sky: it has no stars")
    filter = frame.exposure.filter
    rows, columns = plan.camera.shape
    parts: list[dict[str, NDArray]] = []
    for qid in range(1, N_QUADRANT + 1):
        quadrant = Quadrant(ccd.ccdid, qid)
        placed = chain.placed_stars(plan, frame, quadrant)
        on = (placed.x >= -0.5) & (placed.x < columns - 0.5) & (placed.y >= -0.5) & (placed.y < rows - 0.5)
        x, y, adu = placed.x[on], placed.y[on], placed.adu[on]
        u, v = plan.camera.focal_plane(quadrant, x, y)
        scale = flats.star_scale(plan, filter, quadrant, levels, x, y)
        parts.append(
            {
                "star_id": placed.stars.source_id[on],
                "qid": np.full(on.sum(), qid, np.int8),
                "x": x,
                "y": y,
                "u": u,
                "v": v,
                "ra": placed.ra[on],
                "dec": placed.dec[on],
                "airmass": placed.airmass[on],
                "magnitude": placed.stars.magnitude(filter)[on],
                "scale": scale,
                "flux": adu * scale,
                "saturated": _overflows(plan, frame, quadrant, x, y, adu),
            }
        )
    return pa.table(
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, schema=schema_of(STAR_TRUTH)
    )


def _overflows(
    plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant, x: NDArray, y: NDArray, adu: NDArray
) -> NDArray[np.bool_]:
    """True where a star's brightest pixel, with the sky, is expected over 98 % of the full well."""
    if not (plan.effects.saturation and len(x)):
        return np.zeros(len(x), bool)
    peak = psf.pixel_fluxes(x - np.rint(x), y - np.rint(y), frame.seeing, 1).max(axis=(1, 2))
    column = np.clip(np.rint(x).astype(int), 0, plan.camera.shape[1] - 1)
    row = np.clip(np.rint(y).astype(int), 0, plan.camera.shape[0] - 1)
    response = chain.pixel_response(plan, quadrant)[row, column]
    return (adu * peak + frame.sky_adu) * response > 0.98 * plan.camera.saturation


def truth_digest(folder: str | None) -> str:
    """Digest of the plan of the simulated survey in a folder; empty for none."""
    return hashlib.sha256((Path(folder) / PLAN).read_bytes()).hexdigest()[:10] if folder else ""
