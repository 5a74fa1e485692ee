"""Fault x light curve: what comes of fluxes when an exposure of the series is spoilt."""

from dataclasses import replace

import numpy as np

from tests.lib.detrend.bad_frames import REFUSED, RIGHT, SILENT, Cell
from tests.lib.scene.reduce import with_noise
from ztf_in2p3.errors import BadData
from ztf_in2p3.scene.fit import fit_scene
from ztf_in2p3.scene.model import ExposureFlag, SceneFit, Series
from ztf_in2p3.simulate.series_faults import FLAGGED, SERIES_FAULTS, SeriesFault, Stamps
from ztf_in2p3.simulate.transient import TransientSeries

FIRST = 3
"""Exposures left out at the beginning: five quiet ones stay."""
MOST_MOVED = 1.5
"""Errors by which a flux may move: a spoilt exposure may take its information along, not more."""
LARGEST_CHI = 1.6
"""Rms of (flux - truth) / error over some eight fluxes: three of its standard deviations over 1."""
PARTS = ("mjd", "data", "bad", "variance", "gain", "origin", "matrix", "shift_error", "throughput", "throughput_error",
         "active", "flux_floor")  # fmt: skip


def noisy_series(clean: tuple[TransientSeries, Series], seed: int) -> tuple[np.ndarray, Series]:
    """True fluxes and stamps with noise."""
    simulated, series = clean
    noisy = with_noise(simulated, series, seed)
    kept = np.arange(FIRST, len(series))
    parts = {name: getattr(noisy, name)[kept] for name in PARTS}
    return simulated.flux[kept], replace(noisy, psf=tuple(noisy.psf[i] for i in kept), **parts)


def spoilt_series(series: Series, fault: SeriesFault, seed: int) -> tuple[Series, int]:
    """The series with the fault, and which exposure has it; -1 if all."""
    shape = (series.side, series.side)
    source = np.array([psf.draw(*place, shape)[0] for psf, place in zip(series.psf, series.origin, strict=True)])
    quiet, active = np.flatnonzero(~series.active), np.flatnonzero(series.active)
    stamps = Stamps(series.data.copy(), series.gain.copy(), series.variance, source, quiet, active)
    chosen = fault.change(stamps, np.random.default_rng([seed, 20190405]))
    return replace(series, data=stamps.data, gain=stamps.gain), chosen


def reasons(fit: SceneFit, chosen: int) -> str:
    """What the fit says of the exposure, or of itself."""
    flags = ExposureFlag(int(fit.exposure_flag[chosen])) & ~ExposureFlag.QUIET if chosen >= 0 else ExposureFlag(0)
    of_fit = fit.flag if fit.flag.fails or "INFLUENCED" in str(fit.flag) else ""
    rejected = int(fit.rejected[chosen].sum()) if chosen >= 0 else 0
    poor = int(np.count_nonzero(fit.exposure_flag & ExposureFlag.POOR_FIT)) if chosen < 0 else 0
    parts = [flags.name or "", of_fit.name or "" if of_fit else "", f"{rejected} pixels rejected" if rejected else "",
             f"{poor} exposures fit poorly" if poor else ""]  # fmt: skip
    return "; ".join(part for part in parts if part)


def series_cell(
    true: np.ndarray, series: Series, plain: SceneFit, name: str, fault: SeriesFault, seed: int = 1
) -> Cell:
    """Fluxes of the spoilt series beside those of the sound one, `plain`, and the truth."""
    spoilt, chosen = spoilt_series(series, fault, seed)
    try:
        fit = fit_scene(spoilt)
    except BadData as error:
        return Cell("scene", name, fault.truth, REFUSED, np.nan, str(error))
    text = reasons(fit, chosen)
    flagged = bool(chosen >= 0 and fit.exposure_flag[chosen] & ~ExposureFlag.QUIET) or fit.flag.fails
    serving = fit.measured & plain.measured
    if chosen >= 0 and flagged:
        serving[chosen] = False
    moved = np.abs(fit.flux - plain.flux)[serving] / fit.error[serving]
    chi = float(np.sqrt(np.mean(((fit.flux - true)[serving] / fit.error[serving]) ** 2)))
    ratio = fit.error[serving] / plain.error[serving]
    right = moved.max() < MOST_MOVED and chi < LARGEST_CHI and ratio.min() > 0.8
    found = FLAGGED if flagged else RIGHT
    return Cell("scene", name, fault.truth, found if right or (flagged and fit.flag.fails) else SILENT, chi, text)


def series_cells(clean: tuple[TransientSeries, Series], seed: int) -> list[Cell]:
    """All cells of one series."""
    true, series = noisy_series(clean, seed + 20)
    plain = fit_scene(series)
    return [series_cell(true, series, plain, name, fault, seed) for name, fault in SERIES_FAULTS.items()]
