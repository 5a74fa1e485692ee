"""Recipes from raw frames to master calibrations and detrended quadrants."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ztf_in2p3.recipes.quality import BadPixelRecipe, FrameRecipe, QualityRecipe


@dataclass(frozen=True, slots=True)
class SensorRecipe:
    """Recipe from raw ADU to linear ADU over the electronic offset."""

    overscan_columns: int = 5
    """Last columns read, the only ones nearly free of deferred charge."""
    overscan_degree: int = 3
    """Degree of the polynomial through the offset of the rows (3: four coefficients)."""
    overscan_clip: float = 3.0
    """Rows further than this many standard deviations from the fit are left out."""
    linearise: bool = True
    """Whether the non-linearity of the readout channels is taken out, with the dated table."""
    pocket: str = "powerlaw"
    """Model of the pocket at the end of the serial register, for nights after 2019-10-22: "powerlaw",
    "equilibrium" (measured, needs a calibration) or "none"."""
    version: int = 2


@dataclass(frozen=True, slots=True)
class BiasRecipe:
    """Master bias of a CCD: many frames without light, combined."""

    sensor: SensorRecipe = SensorRecipe()
    last_of_night: int = 10
    """Frames used of each night, the last ones: the camera has settled by then.  0: all."""
    clip: float = 3.0
    """Rejection threshold, in standard deviations of a pixel over the frames."""
    combine: str = "auto"
    """"median" or "mean" of the frames left; "auto": the mean from `mean_from` frames on."""
    mean_from: int = 50
    """The median of whole numbers goes in steps of half an ADU, 0.14 ADU rms where the offset is stable: from here on
    they add more than a tenth to its noise (0.27 ADU, for 1.5 ADU of read noise), and the mean is the better of two."""
    frames: FrameRecipe = FrameRecipe()
    """What a frame must be like to be stacked; flats too."""
    version: int = 1

    def takes_mean(self, n_frames: int) -> bool:
        """ValueError if `combine` is none of the three."""
        if self.combine not in ("auto", "mean", "median"):
            raise ValueError(f"combine {self.combine!r}: expected auto, mean or median")
        return self.combine == "mean" or (self.combine == "auto" and n_frames >= self.mean_from)


@dataclass(frozen=True, slots=True)
class PocketFitRecipe:
    """How the equilibrium model of a pocket is measured behind the rows of exposures with light."""

    block_rows: int = 128
    """Rows of which one mean overscan is made."""
    exposures: int = 100
    """Exposures of the sky used of a period, and as many flats, spread evenly over it."""
    spans: int = 9
    """Spans of the spline in the logarithm of the level."""
    most_chi2: float = 10.0
    """Per degree of freedom; above it the equilibrium model does not describe the pocket, and the power law serves."""
    least_used: float = 0.8
    """Share of an amplifier's profiles that the model must describe; with fewer, the power law serves."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class PocketProfileRecipe:
    """Mean overscans behind blocks of rows of one CCD exposure, over its offset and linear."""

    bias: BiasRecipe = BiasRecipe()
    block_rows: int = 128
    """Rows of which one mean overscan is made."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class PocketRecipe:
    """Pockets of a CCD's amplifiers over a period: the equilibrium model, from its exposures."""

    bias: BiasRecipe = BiasRecipe()
    fit: PocketFitRecipe = PocketFitRecipe()
    version: int = 1

    @property
    def profiles(self) -> PocketProfileRecipe:
        """Recipe of the profiles that the pockets are fitted to."""
        return PocketProfileRecipe(self.bias, self.fit.block_rows, self.fit.version)


@dataclass(frozen=True, slots=True)
class LedFlatRecipe:
    """One LED's flat of a CCD, divided by its median."""

    bias: BiasRecipe = BiasRecipe()
    pocket_fit: PocketFitRecipe = PocketFitRecipe()
    """Fit of the pockets that are corrected where the sensor's recipe asks for the measured ones."""
    clip: float = 3.0
    """The same as for the bias."""
    version: int = 2

    @property
    def pocket(self) -> PocketRecipe:
        """Recipe of the measured pockets, where the flat needs them."""
        return PocketRecipe(self.bias, self.pocket_fit)


@dataclass(frozen=True, slots=True)
class FlatRecipe:
    """Mean over the LEDs of a filter."""

    led: LedFlatRecipe = LedFlatRecipe()
    weights: tuple[tuple[int, float], ...] = ()
    """(LED, weight) pairs; LEDs not named weigh 1."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class FocalPlaneRecipe:
    """Level of the flats over the whole focal plane."""

    flat: FlatRecipe = FlatRecipe()
    version: int = 1


@dataclass(frozen=True, slots=True)
class FringeFitRecipe:
    """How fringes of the sky's lines are measured, on many exposures and on one."""

    exposures: int = 120
    """Exposures of a period, at most, spread evenly.  What the maps' noise does to stars falls as their root."""
    cell: int = 8
    """Pixels of a map's cell, each way; contours of fringes are wider than 20."""
    components: int = 3
    """Patterns kept, at most; fewer where the exposures show no more."""
    sky_degree: int = 2
    """Degree of the polynomial in row and column for the sky beside the fringes."""
    clip: float = 4.0
    """Cells further off than so many standard deviations are left out."""
    version: int = 2


@dataclass(frozen=True, slots=True)
class QuadrantRecipe:
    """Detrended quadrant; bias and flat are made with one another's sensor corrections."""

    focal_plane: FocalPlaneRecipe = FocalPlaneRecipe()
    tolerance_days: int = 10
    """Furthest calibration in time that is accepted."""
    choice: str = "nearest"
    """Calibration in time: "nearest", or "older" (the nearest of those that begin no later than the night)."""
    suspects: bool = False
    """Whether a suspect master serves where no good one is near enough."""
    quality: QualityRecipe = QualityRecipe()
    mask_bad_pixels: bool = True
    """Whether pixels that the calibration frames show to be bad are marked, besides those of the archive's mask."""
    bad_pixels: BadPixelRecipe = BadPixelRecipe()
    cosmic_rays: bool = True
    """Whether radiation hits are looked for, besides those of the archive's mask."""
    fringes: bool = False
    """Whether the fringes of the sky's lines are taken out in zi, which needs maps of a period near enough."""
    fringe_fit: FringeFitRecipe = FringeFitRecipe()
    version: int = 3

    @property
    def flat(self) -> FlatRecipe:
        """Recipe of the master flat."""
        return self.focal_plane.flat

    @property
    def bias(self) -> BiasRecipe:
        """Recipe of the master bias."""
        return self.flat.led.bias

    @property
    def pocket(self) -> PocketRecipe:
        """Recipe of the measured pockets."""
        return self.flat.led.pocket

    @property
    def sensor(self) -> SensorRecipe:
        """Recipe of the sensor's corrections."""
        return self.bias.sensor

    @property
    def bias_verdict(self) -> VerdictRecipe:
        """Recipe of the quality of the master biases."""
        return VerdictRecipe(self.bias, self.quality)

    @property
    def flat_verdict(self) -> VerdictRecipe:
        """Recipe of the quality of the master flats."""
        return VerdictRecipe(self.flat, self.quality)

    @property
    def bad_pixel_map(self) -> BadPixelMapRecipe:
        """Recipe of the bad pixels."""
        return BadPixelMapRecipe(self.flat, self.bad_pixels)

    @property
    def fringe_maps(self) -> FringeRecipe:
        """Recipe of the fringe maps."""
        return FringeRecipe(replace(self, fringes=False))

    @property
    def calibrations(self) -> CalibrationsRecipe:
        """Recipe of the list of calibrations."""
        return CalibrationsRecipe(replace(self, fringes=False))


@dataclass(frozen=True, slots=True)
class LinearityRecipe:
    """Response of the readout channels, from flats of one lamp with several exposure times."""

    quadrant: QuadrantRecipe = QuadrantRecipe()
    """Whose bias lies under the flats, and whose sensor read them."""
    lamp_scatter: float = 0.005
    """Scatter of a lamp's light about proportional to the exposure time, from frame to frame."""
    least_range: float = 3.0
    """Longest over shortest exposure time that a lamp's frames must span."""
    version: int = 1

    @property
    def bias(self) -> BiasRecipe:
        """Recipe of the master bias."""
        return self.quadrant.bias


@dataclass(frozen=True, slots=True)
class FringeRecipe:
    """Fringe maps of a CCD over a period."""

    exposures: QuadrantRecipe = QuadrantRecipe()
    """Recipe of the exposures that the maps are made of: their fringes are still there."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class VerdictRecipe:
    """Good or suspect: a master by itself, and compared with those before it."""

    master: BiasRecipe | FlatRecipe
    quality: QualityRecipe = QualityRecipe()
    version: int = 1

    @property
    def floor(self) -> float:
        """Limit in the unit of the master."""
        return self.quality.flat_floor if isinstance(self.master, FlatRecipe) else self.quality.bias_floor

    @property
    def frames(self) -> FrameRecipe:
        """Limits of what the master is made of."""
        return self.master.led.bias.frames if isinstance(self.master, FlatRecipe) else self.master.frames


@dataclass(frozen=True, slots=True)
class BadPixelMapRecipe:
    """Bad pixels of a CCD in a filter, seen in its bias and flat frames."""

    flat: FlatRecipe = FlatRecipe()
    limits: BadPixelRecipe = BadPixelRecipe()
    version: int = 1

    @property
    def bias(self) -> BiasRecipe:
        """Recipe of the master bias."""
        return self.flat.led.bias


@dataclass(frozen=True, slots=True)
class CalibrationsRecipe:
    """List of a period's calibrations, those that the quadrants of a recipe may be detrended with."""

    quadrant: QuadrantRecipe = QuadrantRecipe()
    version: int = 1
