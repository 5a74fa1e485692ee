"""Way from the sky to the numbers in a file: the effects of `detector` in the order in which they happen.

Images are (row, column) as stored.  Electrons until the amplifier, ADU after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ztf_in2p3.camera import Camera, flip_readout
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.simulate import detector, hits
from ztf_in2p3.simulate.airmass import airmass
from ztf_in2p3.simulate.exposures import BiasFrame, FlatFrame, Frame, NightPlan, ObjectFrame
from ztf_in2p3.simulate.fringe import fringe_light
from ztf_in2p3.simulate.headers import temperatures
from ztf_in2p3.simulate.pocket import pocket_of
from ztf_in2p3.simulate.psf import draw_stars, stamp_radius
from ztf_in2p3.simulate.seeds import generator
from ztf_in2p3.simulate.sky import Stars, separation
from ztf_in2p3.simulate.wcs import centre_pixel, quadrant_wcs


@dataclass(frozen=True, slots=True)
class Amplifier:
    """Output stage of a quadrant."""

    gain: float
    """Electrons per ADU."""
    read_noise: float
    """Electrons, as measured in files: rounding to whole ADU included."""
    offset: float
    """ADU."""


def amplifier(plan: NightPlan, quadrant: Quadrant) -> Amplifier:
    """Gain, noise and offset of a quadrant's amplifier."""
    draw = generator(plan.seed, "amplifier", quadrant.rcid)
    spread, noise, offset = draw.uniform(-1, 1), draw.uniform(-1, 1), draw.uniform(900, 1500)
    if not plan.effects.gain_spread:
        spread = noise = 0.0
    camera = plan.camera
    return Amplifier(
        gain=round(camera.gain * (1 + 0.03 * spread), 3),
        read_noise=round(camera.read_noise * (1 + 0.05 * noise), 2),
        offset=round(offset),
    )


# --- what the focal plane does to light


def field_radius(camera: Camera) -> float:
    """Distance of the outermost pixel from the axis, pixels."""
    rows, columns = camera.shape
    return float(np.hypot(4 * rows + 1.5 * camera.gap[0], 4 * columns + 1.5 * camera.gap[1]))


def _grid(camera: Camera, quadrant: Quadrant) -> tuple[NDArray, NDArray]:
    """u of the columns as (1, column) and v of the rows as (row, 1)."""
    rows, columns = camera.shape
    u, v = camera.focal_plane(quadrant, np.arange(columns), np.arange(rows))
    return u[None, :], v[:, None]


def optics(plan: NightPlan, u: NDArray, v: NDArray) -> NDArray:
    """Share of the sky's light that arrives at a place of the focal plane.  Any shape."""
    if not plan.effects.vignetting:
        return np.ones(np.broadcast(u, v).shape)
    return detector.vignetting(u, v, field_radius(plan.camera))


def lamp(plan: NightPlan, led: int, u: NDArray, v: NDArray) -> NDArray:
    """Light of an LED at a place of the focal plane, relative to that of an even sky, 1 on the axis.  Any shape."""
    if not plan.effects.led_gradients:
        return np.ones(np.broadcast(u, v).shape)
    return detector.led_gradient(u, v, field_radius(plan.camera), generator(plan.seed, "led", led))


@lru_cache(maxsize=4)
def pixel_response(plan: NightPlan, quadrant: Quadrant) -> NDArray[np.float32]:
    """Electrons of a pixel per photon, 1 on average over the focal plane; 0 in dead pixels.  Do not write into it."""
    shape, effects, seed = plan.camera.shape, plan.effects, plan.seed
    response = np.ones(shape, np.float32)
    if effects.pixel_response:
        response = detector.pixel_response(shape, generator(seed, "pixel response", quadrant.rcid))
        response *= np.float32(1 + 0.05 * generator(seed, "ccd response", quadrant.ccdid).uniform(-1, 1))
    response[dead_pixels(plan, quadrant)] = 0
    response.flags.writeable = False
    return response


def dead_pixels(plan: NightPlan, quadrant: Quadrant) -> NDArray[np.bool_]:
    """Pixels (row, column) of a quadrant that do not respond."""
    if not plan.effects.dead_pixels:
        return np.zeros(plan.camera.shape, bool)
    return detector.dead_pixels(plan.camera.shape, generator(plan.seed, "dead", quadrant.rcid))


def dark_rate(plan: NightPlan, quadrant: Quadrant) -> NDArray[np.float32]:
    """Electrons per second that pixels make in the dark, hot ones included."""
    rate = np.zeros(plan.camera.shape, np.float32)
    if plan.effects.dark_current:
        rate += np.float32(detector.DARK_RATE_E)
    return rate + _rate_of_bad_pixels(plan, quadrant)


def _rate_of_bad_pixels(plan: NightPlan, quadrant: Quadrant) -> NDArray[np.float32]:
    rate = np.zeros(plan.camera.shape, np.float32)
    if plan.effects.hot_pixels:
        rate += detector.hot_pixels(plan.camera.shape, generator(plan.seed, "hot", quadrant.rcid))
    if plan.effects.warm_pixels:
        rate += detector.warm_pixels(plan.camera.shape, generator(plan.seed, "warm", quadrant.rcid))
    return rate


def noise_factor(plan: NightPlan, quadrant: Quadrant) -> NDArray[np.float32]:
    """Read noise of the pixels over that of their amplifier."""
    if not plan.effects.noisy_pixels:
        return np.ones(plan.camera.shape, np.float32)
    return detector.noisy_pixels(plan.camera.shape, generator(plan.seed, "noisy", quadrant.rcid))


# --- what is there to see


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Stars on a quadrant, or near enough to send it some light."""

    stars: Stars
    ra: NDArray
    dec: NDArray
    """Declination at the exposure's epoch, degrees."""
    x: NDArray
    y: NDArray
    """Column and row, counted from 0."""
    airmass: NDArray
    adu: NDArray
    """Flux of the exposure at the camera's nominal gain, on the optical axis."""


@lru_cache(maxsize=8)
def placed_stars(plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant) -> Placed:
    """Do not write into its arrays: they are shared by those who ask for the same."""
    camera = plan.camera
    rows, columns = camera.shape
    margin = stamp_radius(frame.seeing)
    wcs = quadrant_wcs(plan, frame, quadrant)
    ra0, dec0 = (float(w) for w in wcs.all_pix2world(*centre_pixel(camera), 0))
    radius = (np.hypot(rows, columns) / 2 + 2 * margin) * camera.pixel_scale / 3600
    stars = plan.sky.around(ra0, dec0, radius)
    ra, dec = stars.positions(frame.mjd)
    x, y = wcs.all_world2pix(ra, dec, 0) if len(stars) else (ra, dec)
    near = (np.abs(x - (columns - 1) / 2) < columns / 2 + margin) & (np.abs(y - (rows - 1) / 2) < rows / 2 + margin)
    stars, ra, dec, x, y = stars.take(near), ra[near], dec[near], x[near], y[near]
    air = airmass(ra, dec, frame.mjd)
    zero_point = frame.zero_point - frame.extinction * (air - 1)
    adu = 10 ** (-0.4 * (stars.magnitude(frame.exposure.filter) - zero_point))
    return Placed(stars, ra, dec, x, y, air, adu)


def supernovae(
    plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Column, row, flux (as `Placed`) of the points of each supernova near a quadrant: its galaxy and, last, itself."""
    camera = plan.camera
    wcs = quadrant_wcs(plan, frame, quadrant)
    ra0, dec0 = (float(w) for w in wcs.all_pix2world(*centre_pixel(camera), 0))
    radius = (np.hypot(*camera.shape) / 2 + 2 * stamp_radius(frame.seeing)) * camera.pixel_scale / 3600
    for supernova in plan.sky.supernovae:
        if separation(ra0, dec0, np.array([supernova.ra]), np.array([supernova.dec]))[0] < radius:
            ra, dec, magnitude = supernova.points()
            ra, dec = np.append(ra, supernova.ra), np.append(dec, supernova.dec)
            x, y = wcs.all_world2pix(ra, dec, 0)
            zero_point = frame.zero_point - frame.extinction * (airmass(ra, dec, frame.mjd) - 1)
            yield x, y, 10 ** (-0.4 * (np.append(magnitude, supernova.magnitude(frame.mjd)) - zero_point))


def light(plan: NightPlan, frame: Frame, quadrant: Quadrant) -> NDArray[np.float32]:
    """Photons that would be counted by perfect pixels on the optical axis, vignetting and lamps included."""
    u, v = _grid(plan.camera, quadrant)
    gain = plan.camera.gain
    match frame:
        case BiasFrame():
            return np.zeros(plan.camera.shape, np.float32)
        case FlatFrame():
            return (gain * frame.level_adu * lamp(plan, frame.led, u, v) * optics(plan, u, v)).astype(np.float32)
        case ObjectFrame():
            placed = placed_stars(plan, frame, quadrant)
            image = draw_stars(plan.camera.shape, placed.x, placed.y, gain * placed.adu, frame.seeing)
            for x, y, adu in supernovae(plan, frame, quadrant):
                image += draw_stars(plan.camera.shape, x, y, gain * adu, frame.seeing)
            image += np.float32(gain * frame.sky_adu) * (1 + fringes(plan, frame, quadrant))
            return image * optics(plan, u, v).astype(np.float32)


def fringes(plan: NightPlan, frame: ObjectFrame, quadrant: Quadrant) -> NDArray[np.float32] | np.float32:
    """Light of the fringes over that of the even sky; 0 where there are none."""
    if not (plan.effects.fringes and any(frame.fringes)):
        return np.float32(0)
    return fringe_light(plan.seed, quadrant.rcid, plan.camera.shape, frame.fringes)


def expected_charge(plan: NightPlan, frame: Frame, quadrant: Quadrant) -> NDArray[np.float32]:
    """Electrons that each pixel holds on average at the end of the exposure, before it overflows."""
    charge = light(plan, frame, quadrant) * pixel_response(plan, quadrant)
    if frame.exptime:
        charge += dark_rate(plan, quadrant) * np.float32(frame.exptime)
    return charge


# --- what is made of it


def cosmic_charge(plan: NightPlan, frame: Frame, quadrant: Quadrant) -> NDArray[np.float32]:
    """Charge of radiation hits in a quadrant exposure (row, column), electrons."""
    if not plan.effects.cosmic_rays:
        return np.zeros(plan.camera.shape, np.float32)
    draw = generator(plan.seed, "cosmic rays", *_file(frame, quadrant))
    return hits.radiation_charge(plan.camera.shape, frame.exptime, draw)


def collected_charge(
    plan: NightPlan, frame: Frame, quadrant: Quadrant, expected: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Electrons in the pixels when readout begins.  (row, column) both."""
    charge = expected
    if plan.effects.photon_noise and frame.exptime:
        charge = detector.photon_noise(expected, generator(plan.seed, "photons", *_file(frame, quadrant)))
    if plan.effects.cosmic_rays:
        charge = charge + cosmic_charge(plan, frame, quadrant)
    return detector.saturate(charge, full_well(plan)) if plan.effects.saturation else charge


def full_well(plan: NightPlan) -> float:
    """Electrons."""
    return plan.camera.saturation * plan.camera.gain


def bias_pattern(plan: NightPlan, quadrant: Quadrant) -> NDArray[np.float32]:
    """ADU over the amplifier's offset in every frame; hot pixels stand out of it, without a noise of their own."""
    pattern = np.zeros(plan.camera.shape, np.float32)
    if plan.effects.bias_pattern:
        draw = generator(plan.seed, "bias pattern", quadrant.rcid)
        pattern = flip_readout(detector.bias_pattern(plan.camera.shape, draw), quadrant.qid)
    idle = np.float32(detector.IDLE_S / amplifier(plan, quadrant).gain)
    return pattern + idle * _rate_of_bad_pixels(plan, quadrant)


def offset_drift(plan: NightPlan, frame: Frame, quadrant: Quadrant) -> NDArray[np.float64]:
    """Wandering of the offset, ADU; (row,) as stored."""
    rows = plan.camera.shape[0]
    if not plan.effects.overscan_drift:
        return np.zeros(rows)
    drift = detector.overscan_drift(rows, generator(plan.seed, "drift", *_file(frame, quadrant)))
    return flip_readout(drift[:, None], quadrant.qid)[:, 0]


def read_noise(
    plan: NightPlan, frame: Frame, quadrant: Quadrant, part: str, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Noise of the amplifier, ADU; that of the digitisation (1/12 of an ADU squared) is left for it to add."""
    if not plan.effects.read_noise:
        return np.zeros(shape, np.float32)
    stage = amplifier(plan, quadrant)
    variance = (stage.read_noise / stage.gain) ** 2 - (1 / 12 if plan.effects.digitisation else 0)
    draw = generator(plan.seed, part, *_file(frame, quadrant))
    return draw.standard_normal(shape, np.float32) * np.float32(np.sqrt(variance))


def read_out(
    plan: NightPlan, frame: Frame, quadrant: Quadrant, charge: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Image and overscan of a quadrant as they are stored, ADU.  `charge`: (row, column), electrons."""
    effects, qid = plan.effects, quadrant.qid
    stage = amplifier(plan, quadrant)
    rows, columns = plan.camera.shape[0], plan.camera.overscan_columns
    true, overscan = charge / np.float32(stage.gain), np.zeros((rows, columns))
    pocket = pocket_of(effects.pocket, plan.night, quadrant, temperatures(plan, frame)[1][quadrant.ccdid - 1])
    if pocket is not None:
        true, overscan = (flip_readout(part, qid) for part in pocket.read(flip_readout(true, qid), columns))
    true = true + bias_pattern(plan, quadrant)  # no charge: it comes into being behind the register
    if effects.deferred_charge and pocket is None:
        last_read = flip_readout(true, qid)[:, -1]
        overscan = flip_readout(detector.deferred_charge(last_read, columns), qid)
    if effects.nonlinearity:
        a, b = detector.linearity_constants(quadrant, plan.night)
        true, overscan = detector.measured(true, a, b), detector.measured(overscan, a, b)
    level = (stage.offset + offset_drift(plan, frame, quadrant))[:, None].astype(np.float32)
    noise = read_noise(plan, frame, quadrant, "read noise", true.shape) * noise_factor(plan, quadrant)
    image = true + level + noise
    overscan = overscan + level + read_noise(plan, frame, quadrant, "overscan noise", overscan.shape)
    if effects.digitisation:
        return detector.digitise(image), detector.digitise(overscan)
    return image.astype(np.float32), overscan.astype(np.float32)


def _file(frame: Frame, quadrant: Quadrant) -> tuple[int, int]:
    return int(frame.exposure.filefracday), quadrant.rcid
