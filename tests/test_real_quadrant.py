"""Real pixels: one quadrant of the archive, measured blindly, against what the archive says of it."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from ztf_in2p3.camera import ZTF
from ztf_in2p3.catalogue.aperture_catalogue import aperture_catalogue, summary
from ztf_in2p3.catalogue.science_image import science_image
from ztf_in2p3.catalogue.stars import wcs_of
from ztf_in2p3.detrend.radiation_hits import mark_radiation_hits
from ztf_in2p3.figures.growth import growth_curve, published_growth_curve
from ztf_in2p3.identifiers import CcdExposure
from ztf_in2p3.image import Image, MaskBit
from ztf_in2p3.recipes import PhotometryRecipe

FOLDER = Path(__file__).parent / "data" / "sci" / "2020" / "0924" / "431759"
CCD, QID = CcdExposure.parse("ztf_20200924431759_000655_zr_c13_o"), 3
RECIPE = PhotometryRecipe(radii=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


@pytest.fixture(scope="module")
def quadrant():
    return science_image(*(FOLDER / f"{CCD}_q{QID}_{kind}.fits.fz" for kind in ("sciimg", "mskimg")))


@pytest.fixture(scope="module")
def table(quadrant):
    image, header = quadrant
    blind = header.copy()
    for card in [card for card in blind if card.startswith(("APCOR", "FIXAPERS"))]:
        del blind[card]
    return aperture_catalogue(image, blind, None, CCD, QID, ZTF, RECIPE)


def test_the_repository_carries_less_than_ten_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.parents[3].rglob("*") if path.is_file()) < 10e6


def test_the_image_is_the_one_observed(quadrant):
    image, header = quadrant
    assert image.data.shape == ZTF.shape
    assert header["APCOR1"] == -0.68324399  # full headers, to the last card
    assert header["DBPIPEID"] == 15
    # Figures of the files before compression.
    assert float(np.median(image.data)) == pytest.approx(157.719, abs=0.01)
    assert [int(np.count_nonzero(image.mask & bit)) for bit in (MaskBit.SATURATED, MaskBit.SOURCE)] == [1794, 18745]


def test_growth_curve_is_the_archive_s(quadrant, table):
    _, header = quadrant
    published = published_growth_curve(header)
    curve = growth_curve(table, zero_point=header["MAGZP"], magnitudes=(15.0, 18.0))
    left_mmag = {d: 1e3 * (found - published[d]) for d, found in zip(curve.diameter, curve.difference, strict=True)}
    assert curve.n_star > 900
    for diameter, allowed in {2: 10, 3: 7, 4: 5, 6: 3, 14: 3}.items():
        assert abs(left_mmag[diameter]) < allowed, f"{diameter} pixels: {left_mmag}"


def test_the_noise_of_the_sky_is_that_of_neighbouring_pixels(quadrant, table):
    """Differences of neighbours know no gradient and no star; the header's gain and read noise foretell less."""
    image, header = quadrant
    empty = image.mask == 0
    both = empty[:, 5:] & empty[:, :-5]  # 5 pixels apart, beyond the correlation of the nearest
    differences = (image.data[:, 5:] - image.data[:, :-5])[both]
    noise = 1.4826 * np.median(np.abs(differences)) / np.sqrt(2)
    assert summary(table)["background_rms"] == pytest.approx(noise, rel=0.03)
    foretold = np.sqrt(np.median(image.data) / header["GAIN"] + (header["READNOI"] / header["GAIN"]) ** 2)
    assert summary(table)["background_rms"] > 1.05 * foretold


def test_saturated_stars_are_flagged_and_sources_lie_on_the_sky_of_the_header(quadrant, table):
    image, header = quadrant
    x, y = table["x"].to_numpy(), table["y"].to_numpy()
    saturated = (table["flags"].to_numpy() & np.uint16(MaskBit.SATURATED)) != 0
    # Each group of saturated pixels, a star with its trail, holds a source that says so.
    labels, n_group = ndimage.label(image.mask & np.uint16(MaskBit.SATURATED), structure=np.ones((3, 3)))
    j, i = np.rint(y[saturated]).astype(int), np.rint(x[saturated]).astype(int)
    around = ndimage.grey_dilation(labels, size=(7, 7))
    found = set(around[np.clip(j, 0, len(labels) - 1), np.clip(i, 0, labels.shape[1] - 1)]) - {0}
    assert n_group > 50
    assert len(found) > 0.95 * n_group, f"{len(found)} of {n_group}"
    back = wcs_of(header, "real").all_world2pix(table["ra"].to_numpy(), table["dec"].to_numpy(), 0)
    np.testing.assert_allclose(back, [x, y], atol=1e-5)
    # The archive's own count of sources with a PSF is of the same order (mask bit 11 marks their pixels, several each).
    assert 5000 < table.num_rows < 12000


def test_radiation_hits_are_those_that_muons_make_and_no_star(quadrant):
    image, _ = quadrant
    unknown = Image(image.data, image.variance, image.mask & ~np.uint16(MaskBit.RADIATION_HIT))
    mark_radiation_hits(unknown)
    groups, n = ndimage.label((unknown.mask & np.uint16(MaskBit.RADIATION_HIT)) != 0, np.ones((3, 3)))
    # 21 square centimetres in half a minute: 10 muons at sea level, half as many again on the mountain, what gamma
    # rays add, less the fainter half, which is not recognised among stars as narrow as 1.24 pixels.
    assert 5 <= n <= 30
    # No star ends within a pixel: the neighbours of a hit's brightest have, in the median, a quarter of its light.
    sky = np.median(image.data)
    for row, column in ndimage.maximum_position(image.data, groups, np.arange(1, n + 1)):
        square = image.data[row - 1 : row + 2, column - 1 : column + 2] - sky
        assert np.median(square) < 0.25 * square[1, 1]
