"""A night in a few numbers, and whether they are as they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from ztf_in2p3.camera import Camera
from ztf_in2p3.figures.completeness import Completeness, Share, worst
from ztf_in2p3.figures.residuals import OUTLIER, Scatter, bright_and_faint, residual_map, scatter
from ztf_in2p3.figures.summary import exposure_summary
from ztf_in2p3.robust_statistics import finite_median
from ztf_in2p3.tables.column import numbers

# --- limits: the only place where they are written

MAX_SEEING_ARCSEC = 5.0
MAX_BACKGROUND_ADU = 4000.0
MAX_NOISE_ADU = 100.0
"""Limits of the medians over the night.  The archive flags a quadrant beyond any of these three (INFOBITS 3, 0 and 1 of
the ZTF Science Data System's explanatory supplement)."""
MIN_STARS = 10
"""Per quadrant and exposure, median: fewer do not tell whether the pointing or the astrometry is right."""
MAX_SET_ASIDE = 0.2
"""Largest fraction of the CCD exposures without catalogue, in all, of a CCD, of a filter; the flows' default."""
MAX_BIAS_MMAG = 1.0
"""Limit of the mean flux residual of bright stars, or 4 standard errors where that is more: a calibration for
cosmology must not lose a millimagnitude here."""
PULL_TOLERANCE = 0.02
"""Limit of the pulls' standard deviation from 1, beside 4 / sqrt(2 n) of statistics: errors need no better."""
MAX_OUTLIERS = 0.005
"""Fraction of the residuals beyond `OUTLIER` standard deviations: cosmic rays and blends hit a few in a thousand."""


@dataclass(frozen=True, slots=True)
class NightSummary:
    """Quality figures of a night.  NaN: not known."""

    night: date
    n_exposure: int
    n_quadrant: int
    """Quadrants measured, over all exposures."""
    seeing_arcsec: float
    background_adu: float
    noise_adu: float
    stars_per_quadrant: float
    set_aside: float
    """Fraction of products that could not be made."""
    bright: Scatter | None
    """Flux residuals against truth; None where there is no truth."""
    faint: Scatter | None
    map_chi2: float
    """Chi2 of the residuals over the focal plane, per cell."""
    completeness: Completeness | None = None
    """Which CCD exposures have a catalogue; None where it is not known which should."""
    tolerated: float = MAX_SET_ASIDE
    """Fraction of them that may lack it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table at the top of a report."""

    name: str
    value: str
    limit: str
    """Empty: only shown."""
    ok: bool | None
    """Whether the check is passed; None: nothing to compare, or nothing to compare with."""

    @property
    def word(self) -> str:
        """OK, FAIL, or a dash for a number without a limit."""
        return "-" if self.ok is None else "OK" if self.ok else "FAIL"


def summarise_night(
    night: date,
    camera: Camera,
    quadrants: pa.Table,
    residuals: pa.Table | None = None,
    *,
    n_made: int = 0,
    n_set_aside: int = 0,
    completeness: Completeness | None = None,
    tolerated: float = MAX_SET_ASIDE,
) -> NightSummary:
    """Quality figures of a night.

    Parameters
    ----------
    quadrants
        Columns of `ztf_in2p3.figures.summary.QUADRANT_SUMMARY`.
    residuals
        Columns of `ztf_in2p3.figures.residuals.RESIDUALS`, where the truth is known.
    n_made, n_set_aside
        Products there are (made or found), and inputs set aside.
    completeness
        CCD exposures that should have a catalogue, and how many have none.
    tolerated
        Fraction of them that may have none.
    """
    exposures = exposure_summary(quadrants)
    bright, faint = (scatter(part) for part in bright_and_faint(residuals)) if residuals is not None else (None, None)
    everything = n_made + n_set_aside
    return NightSummary(
        night=night,
        n_exposure=exposures.num_rows,
        n_quadrant=quadrants.num_rows,
        seeing_arcsec=finite_median(numbers(exposures, "seeing")) * camera.pixel_scale,
        background_adu=finite_median(numbers(exposures, "background")),
        noise_adu=finite_median(numbers(exposures, "background_rms")),
        stars_per_quadrant=finite_median(numbers(quadrants, "n_star")),
        set_aside=n_set_aside / everything if everything else float("nan"),
        bright=bright,
        faint=faint,
        map_chi2=residual_map(residuals, camera).chi2_per_cell if residuals is not None else float("nan"),
        completeness=completeness,
        tolerated=tolerated,
    )


def quality_checks(night: NightSummary) -> list[Check]:
    """The numbers with their limits, in the order in which they are shown."""
    checks = [
        Check("exposures measured", str(night.n_exposure), "at least 1", night.n_exposure > 0),
        Check("quadrants measured", str(night.n_quadrant), "", None),
        _below("seeing, median", night.seeing_arcsec, MAX_SEEING_ARCSEC, "arcsec", ".2f"),
        _below("background, median", night.background_adu, MAX_BACKGROUND_ADU, "ADU", ".0f"),
        _below("noise of the background, median", night.noise_adu, MAX_NOISE_ADU, "ADU", ".1f"),
        Check(
            "stars per quadrant, median",
            _text(night.stars_per_quadrant, "", ".0f"),
            f"at least {MIN_STARS}",
            _known(night.stars_per_quadrant, night.stars_per_quadrant >= MIN_STARS),
        ),
        *_completeness_checks(night),
    ]
    if night.bright is not None and night.faint is not None:
        checks += _truth_checks(night.bright, night.faint, night.map_chi2)
    return checks


# --- small parts


def _completeness_checks(night: NightSummary) -> list[Check]:
    """What was asked for decides where it is known: a lost CCD is few of the inputs, and a whole CCD."""
    if night.completeness is None:
        return [_below("inputs set aside", 100 * night.set_aside, 100 * night.tolerated, "%", ".1f")]
    known = night.completeness
    return [
        _lacking("CCD exposures without catalogue", known.all, night.tolerated),
        _lacking("the same, worst CCD", _failing(known.ccds, night.tolerated), night.tolerated),
        _lacking("the same, worst filter", _failing(known.filters, night.tolerated), night.tolerated),
        Check("inputs set aside", _text(100 * night.set_aside, "%", ".1f"), "", None),
    ]


def _failing(shares: Sequence[Share], tolerated: float) -> Share | None:
    return worst([share for share in shares if share.exceeds(tolerated)] or shares)


def _lacking(name: str, share: Share | None, tolerated: float) -> Check:
    if share is None or not share.n_asked:
        return Check(name, "-", f"at most {100 * tolerated:g} %", None)
    return Check(name, str(share), f"at most {100 * tolerated:g} %", not share.exceeds(tolerated))


def _truth_checks(bright: Scatter, faint: Scatter, map_chi2: float) -> list[Check]:
    limit = max(MAX_BIAS_MMAG, 4 * bright.bias_error_mmag)
    n = bright.n + faint.n
    outliers = bright.n_outlier + faint.n_outlier
    fraction = outliers / (n + outliers) if n + outliers else float("nan")
    return [
        Check(
            "flux residual of bright stars, mean",
            "-" if not bright.n else f"{bright.bias_mmag:+.2f} ± {bright.bias_error_mmag:.2f} mmag",
            f"within {limit:.1f} mmag",
            _known(bright.bias_mmag, abs(bright.bias_mmag) <= limit),
        ),
        Check("flux residual, rms: bright", _text(bright.rms_mmag, "mmag", ".2f"), "", None),
        Check("flux residual, rms: faint", _text(faint.rms_mmag, "mmag", ".1f"), "", None),
        _pull("bright", bright),
        _pull("faint", faint),
        _below(f"residuals beyond {OUTLIER:g} standard deviations", 100 * fraction, 100 * MAX_OUTLIERS, "%", ".2f"),
        Check("residuals over the focal plane, chi-squared per cell", _text(map_chi2, "", ".2f"), "", None),
    ]


def _pull(which: str, of: Scatter) -> Check:
    tolerance = PULL_TOLERANCE + (4 / np.sqrt(2 * of.n) if of.n else 0.0)
    return Check(
        f"(flux - truth) / error, standard deviation: {which}",
        _text(of.pull_std, "", ".3f") + (f" ({of.n} stars)" if of.n else ""),
        f"within {tolerance:.3f} of 1",
        _known(of.pull_std, abs(of.pull_std - 1) <= tolerance),
    )


def _below(name: str, value: float, limit: float, unit: str, form: str) -> Check:
    return Check(name, _text(value, unit, form), f"at most {limit:g} {unit}", _known(value, value <= limit))


def _known(value: float, ok: bool) -> bool | None:
    return bool(ok) if np.isfinite(value) else None


def _text(value: float, unit: str, form: str) -> str:
    return f"{value:{form}} {unit}".rstrip() if np.isfinite(value) else "-"
