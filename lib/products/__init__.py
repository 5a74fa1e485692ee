"""What the pipeline makes, and the address of each thing made.

File names are those of the archive for what comes from there, and those of the IN2P3
pipeline for what is made here (M. Aubert, ZTF SN Ia meeting, Barcelona, 2024-12-09).
"""

from __future__ import annotations

from lib.products.address import NO_RECIPE, Built, Kind, ProductRef, Value
from lib.products.archived import header_ref, mask_ref, raw_ref, reference_ref, science_ref
from lib.products.calibrations import (
    bad_pixels_ref,
    bias_ref,
    calibrations_ref,
    detector_numbers_ref,
    detector_page_ref,
    flat_ref,
    focal_plane_ref,
    fringe_amplitudes_ref,
    fringe_ref,
    led_flat_ref,
    linearity_ref,
    pocket_ref,
    quality_ref,
    sensor_figure_ref,
)
from lib.products.exposures import catalogue_ref, figure_ref, pocket_profiles_ref, quadrant_ref, report_ref, summary_ref
from lib.products.fits import (
    fitted_ref,
    star_index_ref,
    star_table_ref,
    starflat_figure_ref,
    starflat_map_ref,
    starflat_ref,
    starflat_residuals_ref,
    survey_figure_ref,
    survey_ref,
)
from lib.products.names import ccd_of, ccdid_of, exposure_of, filter_of, part_of, period_of, quadrant_of
from lib.products.scene import (
    curve_stars_ref,
    image_mask_ref,
    image_ref,
    light_curve_ref,
    psf_catalogue_ref,
    psf_ref,
    scene_figure_ref,
    scene_ref,
    stamp_ref,
)

__all__ = [
    "NO_RECIPE",
    "Built",
    "Kind",
    "ProductRef",
    "Value",
    "bad_pixels_ref",
    "bias_ref",
    "calibrations_ref",
    "catalogue_ref",
    "ccd_of",
    "ccdid_of",
    "curve_stars_ref",
    "detector_numbers_ref",
    "detector_page_ref",
    "exposure_of",
    "figure_ref",
    "filter_of",
    "fitted_ref",
    "flat_ref",
    "focal_plane_ref",
    "fringe_amplitudes_ref",
    "fringe_ref",
    "header_ref",
    "image_mask_ref",
    "image_ref",
    "led_flat_ref",
    "light_curve_ref",
    "linearity_ref",
    "mask_ref",
    "part_of",
    "period_of",
    "pocket_profiles_ref",
    "pocket_ref",
    "psf_catalogue_ref",
    "psf_ref",
    "quadrant_of",
    "quadrant_ref",
    "quality_ref",
    "raw_ref",
    "reference_ref",
    "report_ref",
    "scene_figure_ref",
    "scene_ref",
    "science_ref",
    "sensor_figure_ref",
    "stamp_ref",
    "star_index_ref",
    "star_table_ref",
    "starflat_figure_ref",
    "starflat_map_ref",
    "starflat_ref",
    "starflat_residuals_ref",
    "summary_ref",
    "survey_figure_ref",
    "survey_ref",
]
