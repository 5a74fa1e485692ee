"""All drawings of all pages: what each shows, what draws it, and its words.

A row here is all that a new drawing takes: `tasks.pages.drawing` finds it by its name, gives it the products of the
kinds that it needs, and keeps its title and caption beside the figure.
"""

from __future__ import annotations

from collections.abc import Collection

from ztf_in2p3.figures import (
    curves,
    detector,
    fringes,
    growth,
    halves,
    linearity,
    night,
    pocket,
    psf,
    starflat,
    starflat_truth,
    survey_truth,
    ubercal,
)
from ztf_in2p3.figures.drawing import Drawing
from ztf_in2p3.figures.overview import plot_night
from ztf_in2p3.figures.residual_plots import plot_residuals
from ztf_in2p3.figures.starflat_plots import plot_residuals_against
from ztf_in2p3.figures.summary import exposure_summary
from ztf_in2p3.products import Kind, period_of


def drawings_of(page: str, *, truth: object = None, without: Collection[str] = ()) -> list[Drawing]:
    """Drawings of a page in its order; without those that need a truth, if there is none, and some others by name."""
    return [
        drawing
        for drawing in DRAWINGS.values()
        if drawing.page == page and drawing.stem not in without and (truth or not drawing.needs_truth)
    ]


_TABLE = (
    Drawing(
        "night/bias", (Kind.BIAS,), night.draw_bias, "Master bias, {sheet.period}",
        "Offset over the overscan, medians of blocks of pixels. Each amplifier has its own faint pattern; nothing "
        "should be larger than some tens of ADU over its neighbours. A whole quadrant apart from the others: its "
        "overscan was read wrongly. Stripes: interference during readout. Hatched: no master.",
        beside_truth=" Minus truth: noise around zero. Rows and quadrants differ by a tenth of an ADU, the noise of "
        "their overscan; more is wrong.",
    ),
    Drawing(
        "night/flat", (Kind.FLAT,), night.draw_flat, "Master flat {sheet.filter}, {sheet.period}",
        "Response to the lamps, each CCD divided by its median: smooth within a quadrant, with the lamps' "
        "illumination and the vignetting at the corners; amplifiers of a CCD, whose gains differ, are some "
        "percent apart. Rings and spots are dust. A CCD that is grainy or dark all over was badly exposed. "
        "Hatched: no master.",
        beside_truth=" Over truth: noise around zero. A pattern that follows the flat itself tells of a wrong bias or "
        "linearity.",
    ),
    Drawing(
        "night/quadrant", (Kind.CATALOGUE,), night.draw_quadrant, "Detrended quadrant {name}",
        "Left: no step, stripe or gradient of the detector should be left, only stars on an even sky, and each "
        "circle should hold a star; circles beside their stars mean that the astrometry is wrong. Masked pixels "
        "are tinted. Right: each good pixel minus ",
        beside_truth="its true value, over its expected noise: the histogram should lie on the Gaussian. Wider: the "
        "variance is too small. Shifted: bias, flat or level are wrong.",
        without_truth="the median of the image, over its expected noise: the left half should lie on the Gaussian, the "
        "right one ends in a tail of stars.",
    ),
    Drawing(
        "night/night", (Kind.SUMMARY,), lambda sheet: plot_night(exposure_summary(sheet.table()), sheet.camera),
        "The night against time",
        "Background rises towards twilight, with the moon and with airmass; seeing grows with airmass. A sudden "
        "drop of the number of stars is a cloud, lost tracking or a wrong astrometry. Open symbols: some "
        "quadrants have no catalogue.",
    ),
    Drawing(
        "night/background", (Kind.SUMMARY,), lambda sheet: night.plot_background(sheet.camera, sheet.table()),
        "Background over the focal plane",
        "Background of each quadrant over the median of its exposure, median over the night. It should vary "
        "smoothly, by some percent: lamps and sky do not light the camera alike. A quadrant apart from its "
        "neighbours: its gain, bias or flat is wrong. Hatched: no stars measured there.",
    ),
    Drawing(
        "night/stars", (Kind.SUMMARY,), lambda sheet: night.plot_stars(sheet.camera, sheet.table()),
        "Stars over the focal plane",
        "Stars measured on a quadrant, median over the exposures of a filter. The numbers follow the sky, with a "
        "gradient near the Galactic plane. A quadrant with far fewer than its neighbours: its astrometry is "
        "wrong. Hatched: none.",
    ),
    Drawing(
        "night/growth", (Kind.CATALOGUE,), night.draw_growth, "Growth curves",
        "Median over the bright isolated stars of each exposure. All curves rise to 1, more slowly in worse "
        "seeing, and stay there. Rising on or falling at large radii: the background is wrong, or neighbours were "
        "not recognised.",
        beside_truth=" Bottom: noise around zero; a trend with the radius means a wrong background.",
    ),
    Drawing(
        "night/residuals", (Kind.SUMMARY,), lambda sheet: plot_residuals(sheet.table()), "Flux residuals against truth",
        "Isolated stars without bad pixels; residual = 1085.7 (flux - truth) / truth. Bottom left: medians should "
        "be zero within their errors; a slope at the bright end is non-linearity, one at the faint end a wrong "
        "background. Middle: the scatter found should follow the error expected. Right: pulls, given as mean ± "
        "standard deviation, should follow the Gaussian.",
        needs_truth=True,
    ),
    Drawing(
        "night/residual-map", (Kind.SUMMARY,), lambda sheet: night.plot_residual_map(sheet.camera, sheet.table()),
        "Flux residuals over the focal plane",
        "Left: weighted mean of each quadrant. Right: quarters of quadrants, mean over its standard error{chi2}. "
        "Both should be noise around zero. A pattern of quadrants or CCDs is a wrong gain or level; a smooth one, "
        "a flat that is not the response to starlight.",
        needs_truth=True,
    ),
    Drawing(
        "detector/overscan", (Kind.SUMMARY,), lambda sheet: detector.plot_overscan(sheet.camera, sheet.table()),
        "Overscan residuals",
        "Left: scatter of the last overscan columns, averaged over a sixteenth of the rows each, about the offset that "
        "was fitted (median over the exposures); it should be that of the read noise. Right: the offset's range over "
        "the rows, which is what was taken out. One amplifier apart from the others: its offset jumps.",
    ),
    Drawing(
        "detector/first-columns", (Kind.SUMMARY,),
        lambda sheet: detector.plot_first_columns(sheet.camera, sheet.table()),
        "First columns read, and first columns of the overscan",
        "Left: the first five columns over the line through the next forty in the detrended images. Right: the first "
        "three overscan columns over the offset, less what the pocket is known to release there. A pocket that is not "
        "put right takes an ADU or more from the first columns and gives it to the overscan. Nights before 2019-10-23 "
        "have none; "
        "there the register itself is late by some tens of ADU in the overscan, which touches no image.",
    ),
    Drawing(
        "detector/variance", (Kind.SUMMARY,), lambda sheet: detector.plot_variance(sheet.camera, sheet.table()),
        "Noise of the pixels over what their variance says",
        "Differences of pixels one above the other in the detrended images, width of the middle half. 1 is right; "
        "above it the gain or the read noise of the header is wrong, or rows are disturbed.",
    ),
    Drawing(
        "detector/bias-noise", (Kind.BIAS,),
        lambda sheet: detector.plot_bias_noise(sheet.camera, detector.bias_levels(sheet), period_of(sheet.output)),
        "Noise and level of the bias",
        "Left: noise of one bias frame, which is the read noise. Right: median of the master over the overscan. An "
        "amplifier that became noisier than its neighbours, or whose level moved (below), is to be looked at.",
    ),
    Drawing(
        "detector/bias-history", (Kind.BIAS,), lambda sheet: detector.plot_history(detector.bias_levels(sheet)),
        "History of the bias",
        "Every master bias in the store against the middle of its period: noise of a frame and median, each amplifier "
        "less its own median over time. Points that leave zero together: temperature or electronics; one alone: its "
        "amplifier.",
    ),
    Drawing(
        "ccd/pocket", (Kind.POCKET, Kind.POCKET_PROFILES), pocket.draw_pocket, "Pocket, CCD {sheet.ccd}",
        "Charge that the pocket of each amplifier holds behind a signal, with the band of its error, and the "
        "measurements; below, their ratio. Points that leave the band together: the pocket changed within the period.",
    ),
    Drawing(
        "ccd/pocket-residuals", (Kind.POCKET, Kind.POCKET_PROFILES), pocket.draw_residuals,
        "Pocket, residuals, CCD {sheet.ccd}",
        "What the fit leaves of the overscan columns: noise around zero. A slope over the columns: the charge comes "
        "out at another rate than the fit allows.",
    ),
    Drawing(
        "ccd/linearity", (Kind.LINEARITY,), linearity.draw_linearity, "Linearity, CCD {sheet.ccd}",
        "Top: correction of each channel as measured and of the dated table. Middle: how the channels differ from one "
        "another, which is known far better. Bottom: what the fit leaves of the flats. Lines apart by more than their "
        "bands: the table no longer holds.",
    ),
    Drawing(
        "ccd/fringes", (Kind.FRINGE, Kind.SUMMARY), fringes.draw_fringes, "Fringes, CCD {sheet.ccd}",
        "Top: sky of a usual exposure before and after, smooth part removed; no pattern should be left. Bottom: first "
        "component of the map, and the scatter of all exposures before and after.",
    ),
    Drawing(
        "image/growth", (Kind.SCIENCE_CATALOGUE, Kind.SCIENCE), growth.draw_growth, "Growth curve of {sheet.image}",
        "Top: magnitude of the bright isolated stars in each aperture over that in 10 pixels, and the archive's own "
        "corrections. Bottom: the difference, a few millimagnitudes at most.",
    ),
    Drawing(
        "image/psf", (Kind.SCIENCE_CATALOGUE, Kind.SCIENCE, Kind.MASK), halves.draw_halves,
        "PSF photometry of {sheet.image}",
        "The PSF of half of the stars, on the other half: aperture minus PSF and its scatter, width and place on the "
        "pixel, and what the PSF leaves of stars. A slope with magnitude: stars are not alike, whatever their flux.",
    ),
    Drawing(
        "starflat/map", (Kind.STARFLAT_MAP,), lambda sheet: starflat.plot_map(sheet.camera, sheet.table()),
        "Starflat {sheet.sequence}",
        "Left: magnitudes by which stars look fainter than on the mean of the camera, after flat fielding; smooth "
        "where the lamps light the camera otherwise than the sky does. A quadrant apart from its neighbours: its flat "
        "or gain is wrong. A plane over the focal plane is not measured, and taken out. Right: standard deviation; it "
        "grows where fewer stars are. Hatched: no stars.",
    ),
    Drawing(
        "starflat/quadrants", (Kind.STARFLAT_MAP,), lambda sheet: starflat.plot_quadrants(sheet.camera, sheet.table()),
        "Quadrants of the starflat {sheet.sequence}",
        "Left, normalised over the focal plane: median of each quadrant, which should follow its neighbours' smoothly. "
        "Right, normalised quadrant by quadrant: what is left once each quadrant's own median is taken out; gains and "
        "levels no longer matter, structure within the quadrants remains.",
    ),
    Drawing(
        "starflat/gains", (Kind.STARFLAT,), lambda sheet: starflat.plot_gains(sheet.camera, sheet.table()),
        "Gains of the starflat {sheet.sequence}",
        "Fitted gain of each quadrant, in magnitudes, and its error. In one sequence it cannot be told from the "
        "quadrant's mean response, which is zero in its place.",
    ),
    Drawing(
        "starflat/residuals", (Kind.STARFLAT_RESIDUALS,),
        lambda sheet: plot_residuals_against(sheet.table(), sheet.camera),
        "Residuals of the starflat {sheet.sequence}",
        "Measured minus fitted magnitude of the measurements used; black: means and their errors. They are zero where "
        "the model has a parameter for what is plotted: stars for magnitude and colour, zero points for time; with the "
        "radius they wander if the map is too coarse. The scatter found should be the one expected: larger at the "
        "bright end asks for an error floor, at the faint end the background is wrong.",
    ),
    Drawing(
        "starflat/chi2", (Kind.STARFLAT_RESIDUALS,),
        lambda sheet: starflat.plot_chi2(sheet.camera, sheet.table(), sheet.recipe.sequence.fit.superpixels),
        "Chi2 and outliers of the starflat {sheet.sequence}",
        "Left: mean squared residual over its variance, of the measurements used; that each star was fitted to "
        "the same ones is allowed for. Far above 1 in a place: the map is too coarse there, or the detector "
        "misbehaves. Right: the largest residual, used or not; {lost} of {tried} measurements were rejected. "
        "Hatched: no stars.",
    ),
    Drawing(
        "starflat/truth", (Kind.STARFLAT_MAP, Kind.STARFLAT), starflat_truth.draw_truth,
        "Starflat {sheet.sequence} beside the truth",
        "Response without its plane: fitted, injected (light of the lamps over that of the sky), and their difference "
        "over its error, which should be noise. {cells}.",
        needs_truth=True,
    ),
    Drawing(
        "starflat/pulls", (Kind.STARFLAT_MAP, Kind.STARFLAT), starflat_truth.draw_pulls,
        "Pulls of the starflat {sheet.sequence}",
        "Left: fitted against injected response of the superpixels; the line is equality. Right: fitted minus injected "
        "zero points of the exposures, in order of time. Map: {cells}. Zero points: {zero_points}.",
        needs_truth=True,
    ),
    Drawing(
        "starflats/comparison", (Kind.STARFLAT_MAP,), starflat.draw_comparison, "Starflats compared",
        "Means of the quadrants, in each sequence over the mean of all, with their errors; in the legend the scatter "
        "over the quadrants, and what the errors alone would make. A quadrant that steps has changed its gain, or its "
        "flats have; a smooth change over the camera: the lamps.",
    ),
    Drawing(
        "survey/zero-points", (Kind.ZERO_POINTS,), ubercal.draw_zero_points, "zero points",
        "Top: zero point of each exposure, the median of its quadrants, with its error; crosses: not "
        "photometric. Nights should be level or drift smoothly; single exposures far above, whose stars look "
        "fainter, were taken through cloud. Parts of the sky that no star connects have colours of their own, and "
        "levels that cannot be compared. "
        "Bottom: scatter over the quadrants of an exposure, each quadrant's own level taken out.",
    ),
    Drawing(
        "survey/repeatability", (Kind.REPEATABILITY,), ubercal.draw_repeatability, "repeatability",
        "Scatter, measurement by measurement, of stars that took no part in the fit, beside what the "
        "errors of the measurements allow. They should agree but for the errors of the zero points; a floor at the "
        "bright end that errors do not explain is a calibration error.",
    ),
    Drawing(
        "survey/focal-plane", (Kind.RESIDUAL_MAP,),
        lambda sheet: ubercal.plot_residual_map(sheet.table(), sheet.camera),
        "focal plane",
        "Weighted mean of measured minus fitted magnitudes over the camera, and over its error: should be "
        "noise around zero. With an external catalogue, calibrated minus external magnitudes beside it: a pattern of "
        "quadrants is a response that the fit was not given.",
    ),
    Drawing(
        "survey/sky", (Kind.SKY_MAP,), ubercal.draw_sky, "sky",
        "Left: measurements of a star. Right: median of mean minus external magnitude of each cell of the sky, "
        "each connected part's level taken out: should show no field of the survey's grid.",
    ),
    Drawing(
        "survey/external", (Kind.MEAN_STARS,), ubercal.draw_external, "external",
        "Mean minus external magnitude of each star, the level taken out. A slope with magnitude is "
        "non-linearity or background; one with colour, another passband.",
    ),
    Drawing(
        "survey-truth/truth", (Kind.ZERO_POINTS,), survey_truth.draw_survey_truth,
        "Zero points {sheet.sequence} beside the truth",
        "Left: fitted against injected zero points of the quadrants of all exposures; the line is equality, and far "
        "from the others are exposures through clouds. Right: means of the exposures, fitted minus injected, in order "
        "of time. Quadrants: {quadrants}. Exposures: {exposures}. Pulls may be smaller than 1: the errors "
        "hold that of the plane over the sky, which is taken out here.",
        needs_truth=True,
    ),
    Drawing(
        "psf/shape", (Kind.PSF, Kind.PSF_CATALOGUE), lambda sheet: psf.draw_shapes(sheet.table(Kind.PSF)),
        "Width of the PSFs, and the light they lack",
        "{n} quadrant exposures, median FWHM {fwhm} pixels. What the "
        "median PSF lacks within any radius is at most {lacking} thousandths of a star's light. A line far from "
        "the others is an exposure to look at: lost guiding, or too few stars.",
    ),
    Drawing(
        "psf/stars", (Kind.PSF, Kind.PSF_CATALOGUE), lambda sheet: psf.draw_stars(sheet.table(Kind.PSF_CATALOGUE)),
        "Stars against their PSF",
        "How much wider than their PSF {n} stars are. {trend} Bright stars that are wider tell of a PSF that "
        "depends on the flux (brighter-fatter, charge held back); a pattern over the quadrant of a shape that changes "
        "faster than the terms of the PSF.",
    ),
    Drawing(
        "curve/curve", (Kind.LIGHT_CURVE, Kind.CURVE_STARS, Kind.SCENE), curves.draw_curve, "Light curve",
        "Flux of the transient, with errors; below, how far it is from the truth, if that is known, and chi2.",
    ),
    Drawing(
        "curve/scene", (Kind.LIGHT_CURVE, Kind.CURVE_STARS, Kind.SCENE), curves.draw_scene, "Data and model",
        "Data, model and what is left, in the exposure that tells most and in the one that fits worst.",
    ),
    Drawing(
        "curve/stars", (Kind.LIGHT_CURVE, Kind.CURVE_STARS, Kind.SCENE, Kind.PSF), curves.draw_stars, "Stars",
        "Scatter of the stars beside what photons allow; what PSFs lack; slopes with magnitude; throughputs.",
    ),
)  # fmt: skip

DRAWINGS = {drawing.name: drawing for drawing in _TABLE}
"""All drawings by name, page by page in their order."""
