"""A transient on its host galaxy, and the stars around, exposure by exposure, all known exactly.

Every image is a sum of Gaussians integrated over the pixels: PSFs are six of them, displaced and of very unequal
widths, so that they have wings, an ellipse and a coma; galaxies are Gaussians too, so that galaxy times PSF is again
a sum and no image is ever sampled.  No profile of that kind is a Moffat.

The sky is a plane measured in pixels, (0, 0) the catalogue position of the transient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ztf_in2p3.directions import JULIAN_YEAR
from ztf_in2p3.simulate.seeds import generator

ZERO_POINT = 26.2
"""Magnitude of 1 ADU; a 30 s exposure of a 1.2 m telescope, nearly."""
QUADRANT = 3072

PSF_COMPONENTS = np.array(
    [
        # weight, along, across (displacement), sigma; in units of a Gaussian of the same FWHM
        [0.28, 0.22, 0.00, 0.86],
        [0.28, -0.22, 0.03, 0.86],
        [0.22, 0.12, 0.15, 1.25],
        [0.13, -0.20, -0.10, 1.70],
        [0.07, 0.10, -0.20, 2.80],
        [0.02, 0.00, 0.30, 5.00],
    ]
)

TRAIL_STEPS = 7
"""Images of a trailed source."""

HOST_COMPONENTS = np.array(
    [
        # share of the flux, x, y, sigma (pixels), relative to the galaxy's centre
        [0.25, 0.0, 0.0, 1.1],
        [0.35, 0.2, -0.1, 2.6],
        [0.25, -0.3, 0.4, 4.5],
        [0.06, 2.4, 1.1, 0.9],
        [0.05, -2.0, -1.9, 1.0],
        [0.04, -0.9, 3.0, 0.8],
    ]
)


@dataclass(frozen=True, slots=True)
class TransientPlan:
    """What is simulated; pixels, magnitudes, ADU."""

    n_exposure: int = 60
    n_quiet: int = 30
    """Exposures before the transient."""
    side: int = 19
    """Pixels along a side of the transient's stamps; odd."""
    star_margin: int = 4
    """Pixels by which the stars' stamps are wider at each edge."""
    host_mag: float | None = 16.5
    nucleus: float = 0.0
    """Share of the host's light that comes from a point 0.4 pixels beside the transient."""
    peak_mag: float | None = 19.0
    offset: tuple[float, float] = (0.15, -0.1)
    """True position of the transient from the catalogue's."""
    host_centre: tuple[float, float] = (-1.3, 0.9)
    n_star: int = 60
    star_mags: tuple[float, float] = (14.5, 19.5)
    star_slope: float = 0.0
    """d log10(number) / d magnitude of the stars; 0.25 near the Galactic poles."""
    motion: float = 0.02
    """Proper motion of the stars along each axis, pixels a year (rms)."""
    seeing: tuple[float, float] = (1.8, 3.2)
    """FWHM before pixels blur it."""
    gradient: float = 0.03
    """Relative change of the PSF's width from the middle of the quadrant to its edge."""
    curvature: float = 0.0
    """Change of the PSF that grows with the square of the distance from the middle."""
    sky: tuple[float, float] = (200.0, 900.0)
    gain: float = 6.0
    """Electrons per ADU."""
    read_noise: float = 9.0
    """Electrons."""
    wcs_error: float = 0.1
    """Pixels by which the given WCS is displaced in each exposure (rms)."""
    hot: int = 0
    """Pixels per exposure hit at random within the transient's stamp; the first near its centre."""
    brighter_fatter: float = 0.0
    """Relative change of a star's width per ADU of its flux; 1.6e-7 makes a star of 13 mag 3 % wider."""
    width_scatter: float = 0.0
    """Relative, from star to star and exposure to exposure (rms), the transient too: turbulence of short exposures."""
    trail: float = 0.0
    """Pixels by which all sources move during an exposure, in a direction of its own."""
    whole_counts: bool = False
    """Pixels are whole numbers."""
    noise: bool = True
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class TransientSeries:
    """Stamps and truth; pixel (x, y) of a stamp is pixel corner + (x, y) of the quadrant."""

    plan: TransientPlan
    mjd: NDArray[np.float64]
    data: NDArray[np.float64]
    """(exposure, row, column), ADU: around the transient."""
    corner: NDArray[np.int64]
    """(exposure, 2): x, y."""
    star_data: NDArray[np.float64]
    """(exposure, star, row, column)."""
    star_corner: NDArray[np.int64]
    """(exposure, star, 2)."""
    star_u: NDArray[np.float64]
    """(star, 2): sky position at the first exposure."""
    star_motion: NDArray[np.float64]
    """(star, 2): pixels a year."""
    star_flux: NDArray[np.float64]
    """(star,): ADU at a throughput of 1."""
    place: NDArray[np.float64]
    """(exposure, 2): pixel of the quadrant at u = 0, as the given WCS says."""
    matrix: NDArray[np.float64]
    """(exposure, 2, 2): d pixel / d u, as the given WCS says."""
    true_place: NDArray[np.float64]
    true_matrix: NDArray[np.float64]
    throughput: NDArray[np.float64]
    sky: NDArray[np.float64]
    seeing: NDArray[np.float64]
    variance: NDArray[np.float64]
    """(exposure,): of a pixel of sky, ADU^2."""
    active: NDArray[np.bool_]
    flux: NDArray[np.float64]
    """(exposure,): of the transient, at a throughput of 1."""

    @property
    def years(self) -> NDArray[np.float64]:
        """Years since the first exposure (exposure,)."""
        return (self.mjd - self.mjd[0]) / JULIAN_YEAR


def gaussian_stamps(x: NDArray, y: NDArray, sigma: NDArray, weight: NDArray, side: int) -> NDArray[np.float64]:
    """(source, side, side): sums of Gaussians (source, component), integrated over the pixels."""
    edge = np.arange(side + 1) - 0.5
    across = np.diff(ndtr((edge - x[..., None]) / sigma[..., None]), axis=-1)
    down = np.diff(ndtr((edge - y[..., None]) / sigma[..., None]), axis=-1)
    return np.einsum("skr,skc->src", weight[..., None] * down, across)


def psf_components(seeing: float, angle: float, trail: float = 0.0) -> NDArray[np.float64]:
    """(component, 4): weight, x, y, sigma of a PSF, elongated along `angle`; trailed by so many pixels across it."""
    weight, along, across, width = PSF_COMPONENTS.T
    unit = seeing / 2.3548
    c, s = np.cos(angle), np.sin(angle)
    parts = np.column_stack([weight, unit * (c * along - s * across), unit * (s * along + c * across), unit * width])
    if not trail:
        return parts
    steps = (np.arange(TRAIL_STEPS) + 0.5) / TRAIL_STEPS - 0.5
    moved = [parts + trail * step * np.array([0, -s, c, 0]) for step in steps]
    return np.concatenate(moved) / np.array([TRAIL_STEPS, 1, 1, 1])


def light_curve(days: NDArray) -> NDArray[np.float64]:
    """Flux of a supernova, 1 at maximum, at `days` (epoch,) from the explosion."""
    t = np.maximum(days, 0)
    shape = t**2 / (1 + (t / 18) ** 2) * np.exp(-t / 25)
    grid = np.arange(0, 200, 0.1)
    return shape / np.max(grid**2 / (1 + (grid / 18) ** 2) * np.exp(-grid / 25))


def simulate_transient(plan: TransientPlan) -> TransientSeries:
    """Draw the series; without noise the pixels are exact."""
    n, m = plan.n_exposure, plan.n_star
    rng = generator(plan.seed, "transient series")
    active = np.arange(n) >= plan.n_quiet
    mjd = np.where(active, 59000.0, 58990 - 2.0 * (plan.n_quiet - np.arange(n)))
    mjd[active] += 3 + 95 * (np.arange(active.sum()) + 0.5) / max(active.sum(), 1)
    peak = 0.0 if plan.peak_mag is None else 10 ** (0.4 * (ZERO_POINT - plan.peak_mag))
    flux = peak * light_curve(mjd - 59000) * active

    seeing, sky = rng.uniform(*plan.seeing, n), rng.uniform(*plan.sky, n)
    throughput, angle = rng.uniform(0.75, 1.05, n), rng.uniform(0, np.pi, n)
    place = QUADRANT / 2 - 200 + rng.uniform(-12, 12, (n, 2))
    turn, stretch = rng.normal(0, 2e-4, n), rng.normal(0, 1e-4, (n, 2))
    matrix = np.empty((n, 2, 2))
    matrix[:, 0, 0], matrix[:, 1, 1] = 1 + stretch[:, 0], 1 + stretch[:, 1]
    matrix[:, 0, 1], matrix[:, 1, 0] = -turn, turn

    star_u = rng.uniform(-1200, 1400, (m, 2))
    star_motion = rng.normal(0, plan.motion, (m, 2))
    star_flux = 10 ** (0.4 * (ZERO_POINT - _magnitudes(plan, rng.uniform(0, 1, m))))
    years = (mjd - mjd[0]) / JULIAN_YEAR

    scatter = generator(plan.seed, "transient widths").normal(size=(n, m + 1))
    side = plan.side
    data, corner = np.empty((n, side, side)), np.empty((n, 2), int)
    wide = side + 2 * plan.star_margin
    star_data, star_corner = np.empty((n, m, wide, wide)), np.empty((n, m, 2), int)
    for i in range(n):
        at = place[i] + (star_u + years[i] * star_motion) @ matrix[i].T
        wider = 1 + plan.brighter_fatter * throughput[i] * star_flux + plan.width_scatter * scatter[i, 1:]
        star_corner[i], star_data[i] = _stars(plan, at, seeing[i], angle[i], wider)
        star_data[i] = sky[i] + throughput[i] * star_flux[:, None, None] * star_data[i]
        seen = seeing[i] * (1 + plan.width_scatter * scatter[i, 0])
        corner[i], data[i] = _scene(plan, flux[i], place[i], matrix[i], seen, angle[i])
        data[i] = sky[i] + throughput[i] * data[i]
    if plan.noise:
        for pixels in (data, star_data):
            spread = np.sqrt(np.maximum(pixels, 0) / plan.gain + (plan.read_noise / plan.gain) ** 2)
            pixels += spread * rng.standard_normal(pixels.shape)
    _hit(plan, data, active)
    if plan.whole_counts:
        data, star_data = np.rint(data), np.rint(star_data)

    given = place + rng.normal(0, plan.wcs_error, (n, 2))
    return TransientSeries(
        plan,
        mjd,
        data,
        corner,
        star_data,
        star_corner,
        star_u,
        star_motion,
        star_flux,
        given,
        matrix + rng.normal(0, 1e-5, (n, 2, 2)) * (plan.wcs_error > 0),
        place,
        matrix,
        throughput,
        sky,
        seeing,
        sky / plan.gain + (plan.read_noise / plan.gain) ** 2 + plan.whole_counts / 12,
        active,
        flux,
    )


def _magnitudes(plan: TransientPlan, quantile: NDArray) -> NDArray[np.float64]:
    """Magnitudes of stars at quantiles (star,) of their distribution."""
    bright, faint = plan.star_mags
    rise = np.log(10) * plan.star_slope * (faint - bright)
    share = np.log1p(quantile * np.expm1(rise)) / rise if rise else quantile
    return bright + (faint - bright) * share


def _local_seeing(plan: TransientPlan, seeing: float, at: NDArray) -> NDArray[np.float64]:
    x, y = np.moveaxis(at / (QUADRANT / 2) - 1, -1, 0)
    return seeing * (1 + plan.gradient * (x - 0.5 * y) + plan.curvature * (x**2 + y**2))


def _stars(plan: TransientPlan, at: NDArray, seeing: float, angle: float, wider: NDArray) -> tuple[NDArray, NDArray]:
    """Corners (star, 2) and images (star, row, column) of stars of unit flux at pixels `at` (star, 2)."""
    side = plan.side + 2 * plan.star_margin
    corner = np.rint(at).astype(int) - side // 2
    unit = psf_components(1.0, angle, plan.trail / seeing)
    width = (_local_seeing(plan, seeing, at) * wider)[:, None]
    centre = (at - corner)[:, None, :]
    x, y = centre[..., 0] + width * unit[:, 1], centre[..., 1] + width * unit[:, 2]
    weight = np.broadcast_to(unit[:, 0], x.shape)
    return corner, gaussian_stamps(x, y, width * unit[:, 3], weight, side)


def _scene(
    plan: TransientPlan, flux: float, place: NDArray, matrix: NDArray, seeing: float, angle: float
) -> tuple[NDArray, NDArray]:
    """Corner and image of the host and the transient, for a throughput of 1."""
    corner = np.rint(place).astype(int) - plan.side // 2
    transient = np.array([[flux, *plan.offset, 0.0]])
    parts = [transient]
    if plan.host_mag is not None:
        total = 10 ** (0.4 * (ZERO_POINT - plan.host_mag))
        host = HOST_COMPONENTS.copy()
        host[:, 0] *= total * (1 - plan.nucleus)
        host[:, 1:3] += plan.host_centre
        parts += [host, np.array([[total * plan.nucleus, plan.offset[0] + 0.4, plan.offset[1], 0.0]])]
    sources = np.concatenate(parts)
    centre = place - corner + sources[:, 1:3] @ matrix.T
    psf = psf_components(float(_local_seeing(plan, seeing, place)), angle, plan.trail)
    size = sources[:, 3] * np.sqrt(np.abs(np.linalg.det(matrix)))  # round: a turn leaves it, a stretch scales it
    x, y = (centre[:, None, k] + psf[:, 1 + k] for k in (0, 1))
    sigma = np.hypot(size[:, None], psf[:, 3])
    weight = sources[:, :1] * psf[:, 0]
    return corner, gaussian_stamps(
        x.reshape(1, -1), y.reshape(1, -1), sigma.reshape(1, -1), weight.reshape(1, -1), plan.side
    )[0]


def _hit(plan: TransientPlan, data: NDArray, active: NDArray) -> None:
    """Radiation: pixels 200 to 5000 ADU too bright."""
    rng = generator(plan.seed, "transient hits")
    for i in range(len(data)) if plan.hot else ():
        place = rng.integers(0, plan.side, (plan.hot, 2))
        place[0] = plan.side // 2 + rng.integers(-1, 2, 2)
        data[i, place[:, 1], place[:, 0]] += 10 ** rng.uniform(2.3, 3.7, plan.hot)
