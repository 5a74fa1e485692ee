"""Small raw files of a detector whose every number is known."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from astropy.io import fits

from ztf_in2p3.camera import TINY, Camera, flip_readout
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.sensor.linearity import linearity_of

QIDS = (1, 2, 3, 4)
FLOOR = 1000.0
"""ADU: the amplifiers' offset at the middle row."""
MJD = 58578.4
NIGHT = date(2019, 4, 5)


def write_raw(path, quadrants, overscans, *, ccdid=3, keywords=(), quadrant_keywords=()):
    """The nine HDUs of one CCD: planes by qid as stored, RICE compressed in rows."""
    primary = fits.PrimaryHDU()
    primary.header.update({"OBSMJD": MJD, "IMGTYPE": "object", **dict(keywords)})
    hdus = [primary]
    for planes in (quadrants, overscans):
        for qid in QIDS:
            pixels = planes[qid].astype(np.float32)
            # Steps of a 64th of the noise: their own noise of 1/220 of it is not seen in any test.
            hdu = fits.CompImageHDU(
                pixels, compression_type="RICE_1", tile_shape=(1, pixels.shape[1]), quantize_level=64
            )
            own = {"CCD_ID": ccdid, "AMP_ID": qid - 1, "GAIN": 6.0, "READNOI": 9.0, **dict(quadrant_keywords)}
            hdu.header.update({key: value for key, value in own.items() if value is not None})
            hdus.append(hdu)
    fits.HDUList(hdus).writeto(path)
    return path


def bent(true, response):
    """What a chain of that response records of linear ADU: the inverse of x / (a x^2 + b x + 1)."""
    slope = 1 - response.b * true
    return 2 * true / (slope + np.sqrt(slope**2 - 4 * response.a * true**2))


@dataclass
class Detector:
    """Bias pattern, response and noise of one CCD; each exposure drifts in its own way."""

    camera: Camera = TINY
    ccdid: int = 3
    seed: int = 20190405
    read_noise: float = 1.5
    """ADU."""
    gain: float = 6.0
    cosmic: tuple = ()
    """(qid, row, column, ADU) added to the next exposures."""

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.linearity = {q: linearity_of(Quadrant(self.ccdid, q).rcid, NIGHT) for q in QIDS}
        row, column = (np.linspace(-1, 1, n) for n in self.camera.shape)
        self.bias = {q: 60 + 20 * row[:, None] + rng.normal(0, 5, self.camera.shape[1]) + 0 * column for q in QIDS}
        pattern = {q: rng.normal(1, 0.01, self.camera.shape) for q in QIDS}
        self.shapes = {
            led: {q: pattern[q] * (1 - 0.1 * q / 4 + tilt * column + 0.05 * row[:, None]) for q in QIDS}
            for led, tilt in ((2, 0.1), (3, -0.15))
        }
        self.leds = {led: normalised(shape) for led, shape in self.shapes.items()}
        self.flat = {q: 0.5 * (self.leds[2][q] + self.leds[3][q]) for q in QIDS}

    def expose(self, path, seed, light=None, *, keywords=(), drift=3.0, **how):
        """Write one raw file.  `light`: linear ADU by qid that reach the pixels on average."""
        rng = np.random.default_rng([self.seed, seed])
        n_row = self.camera.shape[0]
        along = np.linspace(-1, 1, n_row)[:, None]
        quadrants, overscans = {}, {}
        for q in QIDS:
            offset = FLOOR + np.polynomial.Polynomial(drift * rng.uniform(-1, 1, 4))(along)
            charge = 0 if light is None else rng.poisson(np.maximum(light[q], 0) * self.gain) / self.gain
            true = self.bias[q] + charge
            quadrants[q] = offset + bent(true, self.linearity[q]) + rng.normal(0, self.read_noise, true.shape)
            deferred = 50 * np.exp(-np.arange(self.camera.overscan_columns) / 2.0)  # gone in the last five columns
            noise = rng.normal(0, self.read_noise, (n_row, self.camera.overscan_columns))
            overscans[q] = offset + flip_readout(np.broadcast_to(deferred, noise.shape), q) + noise
        for q, row, column, adu in self.cosmic:
            quadrants[q][row, column] += adu
        return write_raw(path, quadrants, overscans, ccdid=self.ccdid, keywords=keywords, **how)

    def name(self, number, letter="b", filter="bi"):
        return f"ztf_20190405{number:06d}_000000_{filter}_c{self.ccdid:02d}_{letter}.fits.fz"

    def biases(self, folder, n, first=100):
        return [self.expose(folder / self.name(i), i) for i in range(first, first + n)]

    def flats(self, folder, led, n, adu=20_000.0, lamp=0.01):
        """Flats of one LED, whose lamp varies by a relative `lamp` from frame to frame."""
        factors = 1 + lamp * np.random.default_rng(led).normal(size=n)
        return [
            self.expose(
                folder / self.name(1000 * led + i, "f", "zg"),
                1000 * led + i,
                {q: adu * factor * self.leds[led][q] for q in QIDS},
                keywords={"ILUM_LED": led},
            )
            for i, factor in enumerate(factors)
        ]


def normalised(planes):
    middle = np.median(np.stack(list(planes.values())))
    return {q: plane / middle for q, plane in planes.items()}
