"""The address of a product, and what is said of it once it is in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ztf_in2p3.products.kinds import Kind

NO_RECIPE = "-"
"""Stands for the recipe of what was not computed here."""

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, order=True)
class ProductRef:
    """Address of one product: what it is, of which data, made by which recipe.

    The address names the product in the store and in the log.  Whether what is stored there
    is still the right one is another question, answered by the fingerprint in its manifest:
    recipe and content digests of its inputs.
    """

    kind: Kind
    recipe: str
    """Digest of the recipe, or "-" for what we did not compute."""
    data_id: str
    """Part of the survey covered, e.g. "20190401_20190430/c03"."""
    file_name: str = field(compare=False)

    @property
    def address(self) -> str:
        """Kind, recipe and data id as one text."""
        return f"{self.kind}/{self.recipe}/{self.data_id}"

    @property
    def path(self) -> str:
        """Path of the file below the root of the store."""
        return f"{self.address}/{self.file_name}"

    @property
    def label(self) -> str:
        """Name for people: kind, then the smallest part first (``bias c03 20190401_20190430``)."""
        return " ".join([self.kind, *reversed(self.data_id.split("/"))])


@dataclass(frozen=True, slots=True)
class Built:
    """A product that is in the store, by reference: what travels between tasks instead of pixels."""

    ref: ProductRef
    sha256: str
    """Digest of the file; the key of everything made from it."""
    size: int
    """Size of the file, bytes."""
    about: Mapping[str, Value] = field(default_factory=dict, compare=False)
    """Small facts that whoever made the product noted in its manifest."""
    found: bool = field(default=False, compare=False)
    """True if it was in the store already, False if it was made now."""
