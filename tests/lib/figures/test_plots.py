"""Every plot can be drawn, whatever a night has or lacks."""

import matplotlib
import numpy as np
import pyarrow as pa
import pytest

from tests.lib.figures.synthetic import NO_STARS, RADII, catalogue, true_stars
from ztf_in2p3.camera import TINY, ZTF
from ztf_in2p3.figures import night
from ztf_in2p3.figures.detrended import pixel_noise, plot_quadrant
from ztf_in2p3.figures.focal_plane import Panel, plot_mosaic, plot_quadrant_maps
from ztf_in2p3.figures.mosaic import shrink_ccds
from ztf_in2p3.figures.night_growth import ccd_growth, exposure_growth, plot_night_growth
from ztf_in2p3.figures.overview import plot_night
from ztf_in2p3.figures.residual_plots import plot_residuals
from ztf_in2p3.figures.residuals import residuals
from ztf_in2p3.figures.style import png, save_png
from ztf_in2p3.figures.summary import exposure_summary, join, quadrant_summary
from ztf_in2p3.image import Image, MaskBit

STARS = true_stars(200)
TABLE = catalogue(STARS)
SHAPE = (120, 110)


def quadrant_image(level: float = 300.0, seed: int = 3) -> Image:
    noise = np.random.default_rng(seed).normal(0, 7, SHAPE)
    return Image((level + noise).astype(np.float32), np.full(SHAPE, 49, np.float32), np.zeros(SHAPE, np.uint16))


def planes(value: float) -> dict[int, np.ndarray]:
    return {qid: np.full(TINY.shape, value + qid, np.float32) for qid in (1, 2, 3, 4)}


def words(figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


# --- bytes


def test_equal_figures_give_equal_bytes_without_a_date(tmp_path):
    for name in ("a.png", "b.png"):
        save_png(plot_residuals(residuals(TABLE, STARS, radius=6.0)), tmp_path / name)
    first = (tmp_path / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert not any(word in first for word in (b"tEXt", b"iTXt", b"tIME", b"Software"))


def test_the_settings_of_the_process_are_left_as_they_were():
    before = dict(matplotlib.rcParams)
    png(plot_residuals(residuals(TABLE, STARS, radius=6.0)))
    assert dict(matplotlib.rcParams) == before


# --- focal plane


def test_missing_ccds_are_hatched_and_present_ones_drawn():
    images = shrink_ccds([(3, planes(0)), (9, {1: np.full(TINY.shape, np.nan, np.float32)}), (16, planes(5))], TINY)
    axes = plot_mosaic(TINY, [Panel(images, "", "ADU")]).axes[0]
    assert len(axes.images) == 2  # CCD 9 holds nothing finite
    assert {text.get_text() for text in axes.texts} == {str(ccdid) for ccdid in range(1, 17)}


def test_masters_are_compared_with_truth_pixel_by_pixel(monkeypatch):
    shown = []
    monkeypatch.setattr(
        night, "plot_mosaic", lambda camera, panels: shown.append(panels) or plot_mosaic(camera, panels)
    )
    true = {qid: np.random.default_rng(qid).uniform(1, 2, TINY.shape).astype(np.float32) for qid in (1, 2, 3, 4)}
    truth = [(3, true)]
    night.plot_bias(TINY, [(3, {q: v + 0.5 for q, v in true.items()})], truth)
    night.plot_flat(TINY, [(3, {q: v * 1.01 for q, v in true.items()})], "zr", truth)
    (_, bias), (_, flat) = shown
    np.testing.assert_allclose(bias.values[3], 0.5, atol=1e-5)  # float32 has 7 digits
    np.testing.assert_allclose(flat.values[3], 10.0, atol=1e-3)
    with pytest.raises(ValueError, match="CCD 3 with the truth of CCD 4"):
        night.plot_bias(TINY, [(3, true)], [(4, true)])


def test_a_single_ccd_is_shown_alone():
    axes = plot_mosaic(ZTF, [Panel({11: np.ones((40, 40), np.float32)}, "", "ADU")]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["CCD 11"]
    assert axes.get_xlim()[1] - axes.get_xlim()[0] < 2.0  # degrees; the whole camera has 7.5


@pytest.mark.parametrize("values", [{}, {0: np.nan}, {5: 1.0}, {rcid: float(rcid) for rcid in range(64)}])
@pytest.mark.parametrize("n", [1, 3])
def test_quadrant_maps_of_any_completeness(values, n):
    figure = plot_quadrant_maps(TINY, [Panel(values, f"z{i}", "unit") for i in range(n)], number_format=".1f")
    drawn = sum(np.isfinite(value) for value in values.values())
    assert all(len(axes.images) == drawn for axes in figure.axes[:n])
    png(figure)


# --- one quadrant


def test_pixels_of_known_noise_have_unit_width():
    noise = pixel_noise(quadrant_image(), 300.0)
    n = SHAPE[0] * SHAPE[1]
    assert noise.n == n
    # Standard errors of a median, 1.2533/sqrt(n), and of a robust width, 1.17/sqrt(n): four of them.
    assert abs(noise.median) < 4 * 1.2533 / np.sqrt(n)
    assert abs(noise.width - 1) < 4 * 1.17 / np.sqrt(n)
    assert noise.density.sum() * 0.2 == pytest.approx(1, abs=1e-3)


def test_masked_pixels_do_not_count():
    image = quadrant_image()
    image.data[:60] = 1e5
    image.mask[:60] = MaskBit.SATURATED
    assert pixel_noise(image, 300.0).n == 60 * 110
    assert abs(pixel_noise(image, 300.0).median) < 0.1


@pytest.mark.parametrize("stars", [None, NO_STARS, catalogue(true_stars(600).filter(pa.array([True] * 600)))])
@pytest.mark.parametrize("truth", [None, np.full(SHAPE, 300.0)])
def test_a_quadrant_with_any_stars(stars, truth):
    figure = plot_quadrant(quadrant_image(), stars, truth, title="c05_q1")
    png(figure)
    label = figure.axes[1].get_xlabel()
    assert ("truth" in label) == (truth is not None)


def test_a_quadrant_without_data():
    empty = Image(*(np.full(SHAPE, np.nan, np.float32) for _ in range(2)), np.full(SHAPE, MaskBit.NAN, np.uint16))
    figure = plot_quadrant(empty, None, None, title="dead")
    png(figure)
    assert "no data" in words(figure)
    assert "no pixels" in words(figure)
    png(plot_quadrant(quadrant_image(level=0.0), title="no sky"))
    constant = Image(np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.uint16))
    png(plot_quadrant(constant, title="constant"))


# --- the night


@pytest.mark.parametrize(
    "tables",
    [
        [],
        [NO_STARS],
        [TABLE],
        [catalogue(STARS, exposure=e, mjd=58578 + e / 10, filter="zi", seeing=np.nan) for e in (1, 2, 3)],
        [catalogue(STARS, mjd=np.nan, airmass=np.nan, background=np.nan)],
    ],
)
def test_a_night_of_any_length(tables):
    quadrants = join(quadrant_summary(table) for table in tables)
    png(plot_night(exposure_summary(quadrants), TINY))
    for figure in (night.plot_background(TINY, quadrants), night.plot_stars(TINY, quadrants)):
        assert png(figure).startswith(b"\x89PNG")


def test_exposures_that_lack_quadrants_are_open_symbols():
    whole, half = catalogue(STARS, exposure=1, mjd=58578.1), catalogue(STARS, exposure=2, mjd=58578.2)
    half = half.filter(pa.array(half["qid"].to_numpy() < 3))
    figure = plot_night(exposure_summary(join([quadrant_summary(whole), quadrant_summary(half)])), TINY)
    filled, open_ = figure.axes[0].lines
    assert (len(filled.get_xdata()), len(open_.get_xdata())) == (1, 1)
    assert open_.get_markerfacecolor() == "none"


# --- growth curves


def test_the_curve_of_an_exposure_is_the_mean_of_its_ccds():
    lost = (0.9, 0.98, 1.0)
    tables = [
        catalogue(true_stars(400, ccdid), ccdid=ccdid, exposure=e, fractions=lost) for e in (1, 2) for ccdid in (5, 6)
    ]
    growth = exposure_growth(ccd_growth(table) for table in tables)
    assert [one.exposure for one in growth] == [1, 2]
    for one in growth:
        assert one.curve.n_star == sum(
            ccd_growth(table).curve.n_star for table in tables if table["exposure"][0].as_py() == one.exposure
        )
        # The noise of a star is the same in all apertures, so it leaves 1 - lost of itself in their ratio: a
        # star of signal to noise 50 errs by 0.002 at most, hundreds of stars by less than 0.0005.
        np.testing.assert_allclose(10 ** (-0.4 * one.curve.difference), lost, atol=5e-4)


def test_no_bright_star_gives_no_curve():
    assert ccd_growth(NO_STARS) is None
    assert ccd_growth(catalogue(STARS, isolated=False)) is None
    assert exposure_growth([None]) == []


def test_growth_curves_with_and_without_truth():
    growth = exposure_growth([ccd_growth(TABLE)])
    truth = {growth[0].exposure: (np.array(RADII), np.array([1.0, 1.0, 1.0]))}
    assert len(plot_night_growth(growth, TINY).axes) == 2  # curves, colour bar
    assert len(plot_night_growth(growth, TINY, truth).axes) == 3
    for figure in (
        plot_night_growth([], TINY),
        plot_night_growth([], TINY, truth),
        plot_night_growth(growth, TINY, {0: truth[growth[0].exposure]}),
        plot_night_growth(exposure_growth([ccd_growth(catalogue(STARS, seeing=np.nan))]), TINY, truth),
    ):
        png(figure)
    assert "no bright isolated stars" in words(plot_night_growth([], TINY))


# --- residuals


@pytest.mark.parametrize("n", [0, 1, 5, 200])
def test_residuals_of_few_stars(n):
    table = residuals(TABLE.slice(0, n), STARS, radius=6.0)
    figure = plot_residuals(table)
    png(figure)
    assert ("no stars" in words(figure)) == (n == 0)
    assert png(night.plot_residual_map(TINY, table).figure).startswith(b"\x89PNG")
