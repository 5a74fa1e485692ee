"""Products on the way from a quadrant exposure, or any image, to the light curve of a target."""

from __future__ import annotations

from pathlib import PurePath

from ztf_in2p3 import recipes
from ztf_in2p3.identifiers import CcdExposure, Exposure, Quadrant
from ztf_in2p3.products.address import NO_RECIPE, Kind, ProductRef
from ztf_in2p3.products.names import our_name


def image_ref(stem: str, file_name: str) -> ProductRef:
    """A science image from anywhere; its data id does not start with digits, as those of the archive's do."""
    return ProductRef(Kind.IMAGE, NO_RECIPE, f"image_{stem}", PurePath(file_name).name)


def image_mask_ref(stem: str, file_name: str) -> ProductRef:
    """Mask of an image from elsewhere."""
    return ProductRef(Kind.IMAGE_MASK, NO_RECIPE, f"image_{stem}", PurePath(file_name).name)


def psf_ref(recipe: recipes.PsfCatalogueRecipe, image: str) -> ProductRef:
    """`image`: data id of a quadrant exposure (`2019..._zr_o/c03_q2`) or of an image."""
    return ProductRef(Kind.PSF, recipes.digest(recipe), image, f"{_stem(image)}_psf.parquet")


def psf_catalogue_ref(recipe: recipes.PsfCatalogueRecipe, image: str) -> ProductRef:
    """Stars of an image measured with its PSF."""
    return ProductRef(Kind.PSF_CATALOGUE, recipes.digest(recipe), image, f"{_stem(image)}_psfcat.parquet")


def stamp_ref(recipe: recipes.PsfCatalogueRecipe, image: str, target: str) -> ProductRef:
    """Pixels of an image around a target."""
    name = f"{_stem(image)}_{target}_stamp.parquet"
    return ProductRef(Kind.STAMP, recipes.digest(recipe), f"{image}/{target}", name)


def light_curve_ref(recipe: recipes.LightCurveRecipe, target: str, band: str) -> ProductRef:
    """Light curve of a target in a band."""
    return _of_target(Kind.LIGHT_CURVE, recipe, target, band, "lightcurve.parquet")


def curve_stars_ref(recipe: recipes.LightCurveRecipe, target: str, band: str) -> ProductRef:
    """Stars that tell the throughputs of a light curve, and how well they repeat."""
    return _of_target(Kind.CURVE_STARS, recipe, target, band, "stars.parquet")


def scene_ref(recipe: recipes.LightCurveRecipe, target: str, band: str) -> ProductRef:
    """Data and model of every exposure, and the galaxy."""
    return _of_target(Kind.SCENE, recipe, target, band, "scene.fits")


def scene_figure_ref(recipe: recipes.LightCurveRecipe, target: str, band: str, name: str) -> ProductRef:
    """Figure of a target's light curve in a band."""
    ref = _of_target(Kind.FIGURE, recipe, target, band, f"{name}.png")
    return ProductRef(ref.kind, ref.recipe, f"{ref.data_id}/{name}", ref.file_name)


def _of_target(kind: Kind, recipe: recipes.LightCurveRecipe, target: str, band: str, end: str) -> ProductRef:
    data_id = f"target_{target}/{band}"
    return ProductRef(kind, recipes.digest(recipe), data_id, f"ztfin2p3_{target}_{band}_{end}")


def _stem(image: str) -> str:
    """Beginning of the names of files that are made of an image."""
    exposure, _, quadrant = image.partition("/")
    if not quadrant:
        return image.removeprefix("image_")
    of = Quadrant.parse(quadrant)
    return f"{our_name(CcdExposure(Exposure.parse(exposure), of.ccdid))}_q{of.qid}"
