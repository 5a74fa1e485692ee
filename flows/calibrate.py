"""Master calibrations of a period."""

from __future__ import annotations

from typing import Any, Unpack

from tasks.calibration import (
    flats_of_period,
    list_calibrations,
    make_bad_pixels,
    make_bias,
    make_flat,
    make_focal_plane,
    make_led_flat,
)
from tasks.inputs.calibrations import calibrations_of, pockets_for
from tasks.inputs.selection import (
    by_ccd,
    by_filter_and_ccd,
    by_led,
    frames,
    grouped,
    lacking,
    lacking_leds,
    spread,
    without_led,
    without_rejected,
)
from tasks.quality import judge_all, left_out_frames
from tasks.runtime.form import OfFilters
from tasks.runtime.outcome import Outcome
from tasks.runtime.parameters import Scope
from tasks.runtime.policies import collect, launch
from tasks.runtime.product_flow import product_flow
from tasks.runtime.settings import operators_rejections
from ztf_in2p3.identifiers import ImageType
from ztf_in2p3.products import (
    Kind,
    bad_pixels_ref,
    bias_ref,
    ccdid_of,
    filter_of,
    flat_ref,
    focal_plane_ref,
    led_flat_ref,
)
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.store import Store


@product_flow("calibrate", needs="bias and flat frames", after="download", makes=(Kind.BIAS, Kind.LED_FLAT, Kind.FLAT))
def calibrate(
    scope: Scope,
    store: Store,
    *,
    recipe: CatalogueRecipe = CatalogueRecipe(),
    **shared: Unpack[OfFilters],
) -> Outcome:
    """Make the master bias and flats of every CCD for one period, from the frames in the store.

    1. Find the bias and flat frames.
    2. Combine the bias frames, CCD by CCD, and compare each master with the one before it.
    3. Combine the flat frames, CCD by CCD and LED by LED.
    4. Average the LEDs of each filter, and compare each flat with the one before it.
    5. Compare the levels of all CCDs of the period over the focal plane, whichever were asked for.
    6. Find the bad pixels, those that are hot in long exposures only among the period's exposures of the sky.
    7. List the period's calibrations.

    A master that is suspect is shown among what was set aside; exposures are detrended with a good one.

    Parameters
    ----------
    period
        Nights that share the masters: 20190405, or 20190401_20190430.
    """
    quadrant = recipe.quadrant
    common: dict[str, Any] = {"camera": scope.camera, "store": store}
    known = calibrations_of(store, quadrant)

    rejections = operators_rejections()
    biases, rejected_biases = without_rejected(
        frames(store, Kind.RAW, scope.period, ImageType.BIAS, ccdids=scope.ccdids), rejections
    )
    flats, rejected_flats = without_rejected(
        frames(store, Kind.RAW, scope.period, ImageType.FLAT, ccdids=scope.ccdids, filters=scope.filters), rejections
    )
    missing = lacking({"bias": biases, "flat": flats}, scope.period)

    bias_frames = by_ccd(biases, last_of_night=quadrant.bias.last_of_night)
    bias = collect(
        launch(make_bias, bias_ref(quadrant.bias, scope.period, ccdid), raws, recipe=quadrant.bias, **common)
        for ccdid, raws in bias_frames.items()
    )

    of_ccd = {ccdid_of(master.ref): master for master in bias.built}
    bias += judge_all(bias.built, Kind.BIAS, known, **common)
    flat_frames = by_led(flats)
    pockets, without_pocket = pockets_for(flat_frames, known)
    led_flats = collect(
        launch(
            make_led_flat,
            led_flat_ref(quadrant.flat.led, scope.period, filter, led, ccdid),
            flat_frames[filter, led, ccdid],
            of_ccd[ccdid],
            pocket,
            recipe=quadrant.flat.led,
            **common,
        )
        for (filter, led, ccdid), pocket in pockets.items()
        if ccdid in of_ccd
    )

    ccd_flats = collect(
        launch(
            make_flat,
            flat_ref(quadrant.flat, scope.period, filter, ccdid),
            leds,
            lacking_leds(flat_frames, leds, filter, ccdid),
            recipe=quadrant.flat,
            **common,
        )
        for (filter, ccdid), leds in grouped(led_flats.built, filter_of, ccdid_of).items()
    )

    flat_verdicts = judge_all(ccd_flats.built, Kind.FLAT, known, **common)

    levels = collect(
        launch(
            make_focal_plane,
            focal_plane_ref(quadrant.focal_plane, scope.period, filter),
            ccds_of_filter,
            recipe=quadrant.focal_plane,
            store=store,
        )
        for filter, ccds_of_filter in flats_of_period(ccd_flats.built, scope.period, known).items()
    )
    skies = by_filter_and_ccd(frames(store, Kind.RAW, scope.period, ccdids=scope.ccdids, filters=scope.filters))
    bad_pixels = collect(
        launch(
            make_bad_pixels,
            bad_pixels_ref(quadrant.bad_pixel_map, scope.period, filter_of(flat.ref), ccdid_of(flat.ref)),
            bias_frames[ccdid_of(flat.ref)],
            spread(skies.get((filter_of(flat.ref), ccdid_of(flat.ref)), []), quadrant.bad_pixels.light_frames),
            of_ccd[ccdid_of(flat.ref)],
            flat,
            recipe=quadrant.bad_pixel_map,
            **common,
        )
        for flat in ccd_flats.built
    )

    left_out = left_out_frames([*of_ccd.values(), *led_flats.built])
    known.add([*led_flats.built, *levels.built, *bad_pixels.built])
    products = bias + led_flats + ccd_flats + flat_verdicts + levels + bad_pixels
    return (
        products
        + list_calibrations(scope.period, quadrant, known, store)
        + Outcome(
            set_aside=(*missing, *rejected_biases, *rejected_flats, *without_led(flats), *without_pocket, *left_out)
        )
    )
