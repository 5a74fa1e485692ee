"""What a reduction of the simulated night must find.

Made from the plan alone, by other means than any reduction: nothing is subtracted or fitted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from lib.errors import MissingProduct
from lib.identifiers import N_QUADRANT, CcdExposure, Exposure, Filter, Quadrant
from lib.simulate import chain, flats, psf
from lib.simulate.exposures import NightPlan, ObjectFrame
from lib.tables import Column, schema_of

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
    """Truth of one night.  Images are (row, column) as stored; NaN in dead pixels where they are divided by a flat."""

    plan: NightPlan

    @classmethod
    def load(cls, tree: Path) -> Self:
        """Of the tree that `simulate_night` wrote."""
        path = tree / PLAN
        if not path.exists():
            raise MissingProduct(f"{path} is not there: {tree} is no simulated night; make it with simulate_night")
        return cls(NightPlan.from_json(path.read_text()))

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
        return _levels(self.plan, filter)

    def offset_drift(self, ccd: CcdExposure, qid: int) -> NDArray[np.float64]:
        """Offset of each row over the amplifier's constant one, ADU; (row,) as stored."""
        return chain.offset_drift(self.plan, self.plan.frame(ccd.exposure), Quadrant(ccd.ccdid, qid))

    # --- images

    def detrended(self, ccd: CcdExposure, qid: int) -> NDArray[np.float32]:
        """(raw - bias) / flat * FLTNORM_FP / FLTNORM without noise: sky and stars, ADU."""
        adu, factor = self._adu_and_factor(ccd, qid)
        return adu * factor

    def variance(self, ccd: CcdExposure, qid: int) -> NDArray[np.float32]:
        """Of the noise of `detrended` in one exposure, that of its calibrations left out: ADU^2.

        Photons and read noise; linearisation changes the latter by less than 1 % and is left out.
        """
        adu, factor = self._adu_and_factor(ccd, qid)
        stage, effects = chain.amplifier(self.plan, Quadrant(ccd.ccdid, qid)), self.plan.effects
        variance = adu / np.float32(stage.gain) if effects.photon_noise else np.zeros_like(adu)
        if effects.read_noise:
            variance += np.float32((stage.read_noise / stage.gain) ** 2)
        elif effects.digitisation:
            variance += np.float32(1 / 12)
        return variance * factor**2

    def _adu_and_factor(self, ccd: CcdExposure, qid: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Signal over the bias, ADU, and what detrending multiplies it with."""
        frame, quadrant = self._object(ccd.exposure), Quadrant(ccd.ccdid, qid)
        charge = chain.expected_charge(self.plan, frame, quadrant)
        if self.plan.effects.saturation:
            charge = chain.detector.saturate(charge, chain.full_well(self.plan))
        levels = self.levels(frame.exposure.filter)
        flat = flats.combined_flat(self.plan, frame.exposure.filter, quadrant, levels)
        factor = np.float32(levels.factor(ccd.ccdid)) / flat
        return charge / np.float32(chain.amplifier(self.plan, quadrant).gain), factor

    def sky(self, ccd: CcdExposure, qid: int) -> NDArray[np.float64]:
        """Detrended sky without stars, fringes or dark current, ADU: smooth, not flat."""
        frame, quadrant = self._object(ccd.exposure), Quadrant(ccd.ccdid, qid)
        rows, columns = self.plan.camera.shape
        x, y = np.arange(columns)[None, :], np.arange(rows)[:, None]
        levels = self.levels(frame.exposure.filter)
        return frame.sky_adu * flats.star_scale(self.plan, frame.exposure.filter, quadrant, levels, x, y)

    def fringes(self, ccd: CcdExposure, qid: int) -> NDArray[np.float64]:
        """Of the sky's lines in the detrended image, ADU; the groups' strengths are in the plan's exposure."""
        relative = chain.fringes(self.plan, self._object(ccd.exposure), Quadrant(ccd.ccdid, qid))
        return self.sky(ccd, qid) * relative

    # --- stars

    def stars(self, ccd: CcdExposure) -> pa.Table:
        """Stars whose centre falls on a pixel of the CCD, columns of `STAR_TRUTH`."""
        return star_table(self.plan, ccd, self.levels(ccd.exposure.filter))

    def enclosed(self, exposure: Exposure, radius: ArrayLike) -> NDArray:
        """Fraction of a star's flux within radii (pixels), as the profile has it before pixels blur it."""
        return psf.enclosed(radius, self._object(exposure).seeing)

    def aperture_fractions(self, exposure: Exposure, x: NDArray, y: NDArray, radii: ArrayLike) -> NDArray:
        """Fraction of the flux of stars at (x, y) that exact circular apertures sum: (star, aperture)."""
        return psf.aperture_fractions(x, y, radii, self._object(exposure).seeing)

    def _object(self, exposure: Exposure) -> ObjectFrame:
        frame = self.plan.frame(exposure)
        if not isinstance(frame, ObjectFrame):
            raise ValueError(f"{exposure} looked at no sky: there is nothing to detrend")
        return frame


@lru_cache(maxsize=16)
def _levels(plan: NightPlan, filter: Filter) -> flats.FlatLevels:
    return flats.flat_levels(plan, filter)


def star_table(plan: NightPlan, ccd: CcdExposure, levels: flats.FlatLevels) -> pa.Table:
    """As `Truth.stars`, with the levels of the flats at hand."""
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
                "star_id": placed.stars.source_id[on], "qid": np.full(on.sum(), qid, np.int8), "x": x, "y": y,
                "u": u, "v": v, "ra": placed.ra[on], "dec": placed.dec[on], "airmass": placed.airmass[on],
                "magnitude": placed.stars.magnitude(filter)[on], "scale": scale, "flux": adu * scale,
                "saturated": _overflows(plan, frame, quadrant, x, y, adu),
            }
        )  # fmt: skip
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
