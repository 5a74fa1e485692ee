"""What a drawing is: what it shows, what draws it, and its words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from matplotlib.figure import Figure

from ztf_in2p3.figures.sheet import Drawn, Sheet
from ztf_in2p3.products import Built, Kind


@dataclass(frozen=True, slots=True)
class Drawing:
    """One kind of figure."""

    name: str
    """Page and name on the page: ``night/bias``."""
    needs: tuple[Kind, ...]
    """Kinds of the products that it shows."""
    draw: Callable[[Sheet], Figure | Drawn]
    title: str
    """Text with blanks for words of `Drawn`, and for properties of the sheet: ``{sheet.period}``."""
    caption: str
    """What one should see, and what would be wrong; with the same blanks."""
    beside_truth: str = ""
    """End of the caption where there is a truth to compare with."""
    without_truth: str = ""
    """End of the caption where there is none."""
    needs_truth: bool = False
    """Whether there is nothing to draw without a truth."""

    @property
    def page(self) -> str:
        """Page that it belongs to."""
        return self.name.partition("/")[0]

    @property
    def stem(self) -> str:
        """Name on the page."""
        return self.name.partition("/")[2]

    def words(self, sheet: Sheet, drawn: Drawn) -> tuple[str, str]:
        """Title and caption of a figure."""
        end = self.beside_truth if sheet.truth else self.without_truth
        title, caption = (text.format(sheet=sheet, **drawn.words) for text in (self.title, self.caption + end))
        return title, caption

    def inputs(self, products: Iterable[Built]) -> list[Built]:
        """Those of some products that it shows, in their order; none if one of its kinds is lacking."""
        needed = [product for product in products if product.ref.kind in self.needs]
        return needed if {product.ref.kind for product in needed} == set(self.needs) else []
