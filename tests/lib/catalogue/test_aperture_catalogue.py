"""From an image to a table of stars, end to end on small skies of known truth."""

import astropy.units
import numpy as np
import pyarrow as pa
import pytest
import sep

from tests.lib.catalogue.skies import SKY, expose, grid, header, reference, stars_without_sky
from ztf_in2p3.camera import TINY
from ztf_in2p3.catalogue.aperture_catalogue import DETECTED, aperture_catalogue, file_metadata, join_quadrants, summary
from ztf_in2p3.catalogue.stars import wcs_of
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import CcdExposure, Quadrant
from ztf_in2p3.image import Image, MaskBit
from ztf_in2p3.recipes import PhotometryRecipe
from ztf_in2p3.tables import catalogue_schema

CCD = CcdExposure.parse("ztf_20200924431759_000655_zr_c13_o")
RECIPE = PhotometryRecipe(radii=(3.0, 5.0, 8.0))
NAME = "ztf_20200924431759_000655_zr_c13_o_q3"


class Sky:
    """Stars on a grid of 30 pixels, hence isolated, of rising brightness; the last two make a close pair."""

    def __init__(self, seed=1, faintest=300.0):
        rng = np.random.default_rng(seed)
        self.x, self.y = grid(TINY.shape, 30, rng)
        self.flux = np.geomspace(faintest, 60_000, len(self.x))
        self.x[-2], self.y[-2] = self.x[-1] - 9, self.y[-1]
        self.header = header(TINY.shape, CCDID=13, QID=3)
        self.stars = stars_without_sky(TINY.shape, self.x, self.y, self.flux)
        self.image = expose(SKY + self.stars, rng)
        ra, dec = wcs_of(self.header, "sky").all_pix2world(self.x, self.y, 0)
        self.reference = reference(ra, dec, g_mag=20 - 2.5 * np.log10(self.flux), first_id=100)

    def catalogue(self, image=None, stars="reference", **how):
        stars = self.reference if isinstance(stars, str) else stars
        given = {"header": self.header, "qid": 3, "recipe": RECIPE} | how
        return aperture_catalogue(image or self.image, given["header"], stars, CCD, given["qid"], TINY, given["recipe"])


@pytest.fixture(scope="module")
def sky():
    return Sky()


@pytest.fixture(scope="module")
def table(sky):
    return sky.catalogue()


def numbers(table, name):
    return table[name].to_numpy()


def test_columns_are_those_agreed_and_rows_are_sorted(sky, table):
    assert table.schema.equals(catalogue_schema(RECIPE.radii), check_metadata=True)
    assert table.num_rows == len(sky.x)
    assert (np.diff(numbers(table, "star_id")) > 0).all()
    for field in table.schema:
        astropy.units.Unit(field.metadata[b"unit"].decode())


def test_every_column_says_the_truth(sky, table):
    np.testing.assert_array_equal(numbers(table, "star_id"), np.arange(100, 100 + len(sky.x)))
    np.testing.assert_allclose(numbers(table, "x"), sky.x, atol=1e-6)
    np.testing.assert_allclose(numbers(table, "y"), sky.y, atol=1e-6)
    np.testing.assert_allclose(numbers(table, "ra"), numbers(sky.reference, "ra"), atol=1e-12)
    np.testing.assert_allclose(numbers(table, "u"), TINY.focal_plane(Quadrant(13, 3), sky.x, sky.y)[0], rtol=1e-6)
    isolated = np.ones(len(sky.x), dtype=bool)
    isolated[-2:] = False
    np.testing.assert_array_equal(numbers(table, "isolated"), isolated)
    once = {"exposure": 20200924431759, "field": 655, "ccd": 13, "qid": 3, "rcid": 50, "mjd": 59116.4317708}
    for name, value in once.items():
        assert set(numbers(table, name)) == {value}
    assert set(table["filter"].to_pylist()) == {"zr"}
    assert [table[f"r_{k}"][0].as_py() for k in range(3)] == list(RECIPE.radii)
    assert numbers(table, "background").mean() == pytest.approx(SKY, abs=0.3)  # two cells of 128: 0.05, and the wings
    assert ((numbers(table, "airmass") > 1.01) & (numbers(table, "airmass") < 1.05)).all()


def test_isolated_stars_have_their_flux_within_errors():
    pulls, bright = [], []
    for seed in range(12):
        sky = Sky(seed)
        table = sky.catalogue()
        # Apertures on pixels without noise; slow sums prove those elsewhere.
        truth = np.stack([sep.sum_circle(sky.stars, sky.x, sky.y, r, subpix=0)[0] for r in RECIPE.radii], axis=1)
        flux, error = (np.stack([numbers(table, f"f_{k}{e}") for k in range(3)], axis=1) for e in ("", "_e"))
        alone = numbers(table, "isolated")
        pulls.append(((flux - truth) / error)[alone])
        bright.append((flux / truth - 1)[alone][-20:])
    pulls = np.concatenate(pulls)
    # The stars of one image share the error of one sky: 12 of those, each below 0.3 of a star's own error.
    mean = 4 * np.hypot(1 / np.sqrt(len(pulls)), 0.3 / np.sqrt(12))
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=4 / np.sqrt(2 * len(pulls)))
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=mean)
    assert len(pulls) > 600
    assert np.abs(np.mean(bright, axis=(0, 1))).max() < 1e-3


def test_stars_beyond_the_border_leave_no_light_in_the_sky():
    along = np.arange(10.0, 240.0, 20.0)
    x = np.concatenate([[100.0], along, along, np.full(12, -4.0), np.full(12, 244.0)])
    y = np.concatenate([[90.0], np.full(12, -4.0), np.full(12, 260.0), along, along])
    head = header(TINY.shape, CCDID=13, QID=3)
    ra, dec = wcs_of(head, "sky").all_pix2world(x, y, 0)

    def level(beyond):
        flux = np.concatenate([[9000.0], np.full(48, beyond)])
        stars = reference(ra, dec, g_mag=20 - 2.5 * np.log10(flux + 1))
        image = expose(SKY + stars_without_sky(TINY.shape, x, y, flux), np.random.default_rng(4))
        table = aperture_catalogue(image, head, stars, CCD, 3, TINY, RECIPE)
        assert table.num_rows == 1
        return numbers(table, "background")[0]

    # The same noise twice, but for the photons and the pixels under the masks, a tenth of all: 4 sigma are 0.03 ADU,
    # and 0.01 of the wings is left beyond the masks.  Unmasked, the stars add 0.13.
    assert level(2e4) == pytest.approx(level(0.0), abs=0.04)


def test_mask_bits_reach_the_stars_they_touch(sky):
    mask = sky.image.mask.copy()
    j, i = round(sky.y[10]), round(sky.x[10])
    mask[j + 6, i] = MaskBit.DEAD
    mask[j, i] |= MaskBit.SOURCE
    data = sky.image.data.copy()
    data[j + 6, i] = -1e6
    table = sky.catalogue(Image(data, sky.image.variance, mask))
    flags = numbers(table, "flags")
    assert flags[10] == MaskBit.DEAD | MaskBit.SOURCE
    assert np.count_nonzero(flags) == 1
    assert [table[f"f_{k}_f"][10].as_py() for k in range(3)] == [0, 0, 0x20]
    # The filled pixel is in the wings: the flux stays within its error.
    clean = sky.catalogue()
    assert abs(table["f_2"][10].as_py() - clean["f_2"][10].as_py()) < clean["f_2_e"][10].as_py()


def test_byte_order_is_of_no_account(sky, table):
    swapped = Image(sky.image.data.astype(">f4"), sky.image.variance.astype(">f4"), sky.image.mask.astype(">u2"))
    assert sky.catalogue(swapped).equals(table)


def test_a_shuffled_reference_gives_the_same_table(sky, table):
    order = np.random.default_rng(0).permutation(sky.reference.num_rows)
    assert sky.catalogue(stars=sky.reference.take(order)).equals(table)


def test_without_any_reference_star_the_table_is_empty_but_whole(sky):
    table = sky.catalogue(stars=sky.reference.slice(0, 0))
    assert table.num_rows == 0
    assert table.schema.equals(catalogue_schema(RECIPE.radii))
    assert summary(table)["background"] is None


def test_stars_that_cover_the_image_leave_a_sky_all_the_same(sky):
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, 240, 6.0), np.arange(0, 256, 6.0)))
    ra, dec = wcs_of(sky.header, "sky").all_pix2world(x, y, 0)
    table = sky.catalogue(stars=reference(ra, dec))
    assert table.num_rows == x.size
    assert np.median(numbers(table, "background")) == pytest.approx(SKY, abs=2)  # stars are in it


# --- detected sources


def test_sources_are_detected_where_they_are(sky):
    table = sky.catalogue(stars=None)
    bright = sky.flux > 1000  # 20 times the error within 3 pixels: certain
    x, y = numbers(table, "x"), numbers(table, "y")
    away = np.hypot(x - sky.x[bright, None], y - sky.y[bright, None]).min(axis=1)
    # A centroid errs by about seeing / 2.35 / (signal to noise): 0.05 pixel at 20.
    assert away.max() < 0.25
    assert np.median(away) < 0.03
    assert set(numbers(table, "star_id")) == {DETECTED}
    assert np.isnan(numbers(table, "g_mag")).all()
    back = wcs_of(sky.header, "sky").all_world2pix(numbers(table, "ra"), numbers(table, "dec"), 0)
    np.testing.assert_allclose(back, [x, y], atol=1e-6)
    # 5 sigma over 3 connected pixels: less than one false source in 6e4 pixels of noise.
    assert table.num_rows <= len(sky.x) + 1
    assert numbers(table, "isolated").sum() >= bright.sum() - 2


def test_a_saturated_star_is_one_source_and_flagged(sky):
    data, mask = sky.image.data.copy(), sky.image.mask.copy()
    j, i = round(sky.y[-10]), round(sky.x[-10])
    data[j - 1 : j + 2, i - 1 : i + 2] = 58_600
    mask[j - 1 : j + 2, i - 1 : i + 2] |= np.uint16(MaskBit.SATURATED)
    table = sky.catalogue(Image(data, sky.image.variance, mask), stars=None)
    here = np.hypot(numbers(table, "x") - i, numbers(table, "y") - j) < 8
    assert here.sum() == 1
    assert numbers(table, "flags")[here][0] & MaskBit.SATURATED
    assert table["f_0_f"].to_numpy()[here][0] == 0x20
    assert np.count_nonzero(numbers(table, "flags") & MaskBit.SATURATED) == 1


def test_a_pixel_that_is_not_finite_is_no_source_and_spoils_none(sky):
    data, variance = sky.image.data.copy(), sky.image.variance.copy()
    data[100:110] = variance[100:110] = np.nan
    table = sky.catalogue(Image(data, variance, sky.image.mask), stars=None)
    assert np.isfinite(numbers(table, "f_2")).all()
    assert not ((numbers(table, "y") > 99.5) & (numbers(table, "y") < 109.5)).any()


# --- the file


def test_quadrants_join_into_one_sorted_table(sky, table):
    other = sky.catalogue(qid=2, header=header(TINY.shape, CCDID=13, QID=2), stars=reference(
        numbers(sky.reference, "ra"), numbers(sky.reference, "dec"), first_id=50))  # fmt: skip
    both = join_quadrants([table, other])
    assert both.num_rows == 2 * table.num_rows
    assert both.schema.equals(table.schema, check_metadata=True)
    assert (np.diff(numbers(both, "star_id")) >= 0).all()
    assert both.filter(pa.compute.equal(both["qid"], 3)).sort_by("star_id")["f_1"].equals(table["f_1"])
    assert join_quadrants([other, table]).equals(both)
    with pytest.raises(ValueError, match="no quadrant"):
        join_quadrants([])


def test_what_the_file_and_the_manifest_say(table):
    about = summary(table)
    assert about["n_stars"] == table.num_rows
    assert about["n_isolated"] == table.num_rows - 2
    assert about["background"] == pytest.approx(SKY, abs=0.3)
    assert about["seeing"] == 2.2
    said = file_metadata(CCD, RECIPE, {"sep": "1.4"})
    assert said["filter"] == "zr"
    assert said["radii"] == "3 5 8"
    assert said["version.sep"] == "1.4"
    assert all(isinstance(value, str) for value in said.values())


# --- bad input


@pytest.mark.parametrize(
    ("cards", "says"),
    [
        ({"CTYPE1": None}, "no world coordinates"),
        ({"OBSMJD": None}, "no OBSMJD"),
        ({"QID": 2}, "the header is that of CCD 13 qid 2; expected CCD 13 qid 3"),
        ({"OBSMJD": 59116.9}, "check the date"),
    ],
)
def test_a_wrong_header_names_the_quadrant(sky, cards, says):
    made = sky.header.copy()
    for key, value in cards.items():
        if value is None:
            del made[key]
        else:
            made[key] = value
    with pytest.raises(BadData, match=f"{NAME}: .*{says}"):
        sky.catalogue(header=made)


def test_an_image_that_cannot_be_measured_names_the_quadrant(sky):
    dead = np.full(TINY.shape, MaskBit.DEAD, dtype=np.uint16)
    with pytest.raises(BadData, match=f"{NAME}: none of the 61440 pixels is usable"):
        sky.catalogue(Image(sky.image.data, sky.image.variance, dead))
    small = Image(*(plane[:100] for plane in (sky.image.data, sky.image.variance, sky.image.mask)))
    with pytest.raises(BadData, match=f"{NAME}: the image has .100, 240. pixels, .* .256, 240."):
        sky.catalogue(small)
