"""Radiation hits: which are marked, what else is taken for one, and what it costs, beside astroscrappy.

    python -m benchmarks.radiation_hits [science image, its mask]

Fields of stars of several widths with hits of `ztf_in2p3.simulate.hits`; then a real quadrant, that of `tests/data` if
none is given, where there is no truth: groups of pixels that two of them mark, the archive's mask among them.
astroscrappy has its usual settings (4.5 standard deviations, contrast 5), and "sparing" those that spare stars (6, 10).
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import astroscrappy
import numpy as np
from scipy.ndimage import binary_dilation, label

from tests.lib.detrend.hit_fields import (
    AROUND,
    RADIATION,
    Field,
    Marks,
    draw_field,
    false_groups,
    hits_of,
    marked_pixels,
    marked_share,
)
from ztf_in2p3.catalogue.science_image import science_image
from ztf_in2p3.image import Image, is_bad

SHAPE = (1536, 1536)
WIDTHS = (1.24, 1.5, 2.0, 2.5, 3.0, 4.0)
BINS = (5, 10, 20, 50, np.inf)
"""Brightest pixel of a hit over the noise there."""
DATA = Path(__file__).parents[1] / "tests" / "data" / "sci"

Finder = Callable[[Image], Marks]


def scrappy(sigma: float, contrast: float) -> Finder:
    """Finder of astroscrappy's."""

    def find(image: Image) -> Marks:
        bad = is_bad(image.mask & ~RADIATION) | ~np.isfinite(image.data)
        data = np.where(np.isfinite(image.data), image.data, np.nanmedian(image.data))
        how = {"sigclip": sigma, "objlim": contrast, "gain": 1.0, "readnoise": 0.0, "satlevel": np.inf, "niter": 1}
        return np.asarray(astroscrappy.detect_cosmics(data, inmask=bad, invar=image.variance, **how)[0])

    return find


FINDERS: Mapping[str, Finder] = {
    "ours": marked_pixels,
    "astroscrappy": scrappy(4.5, 5.0),
    "sparing": scrappy(6.0, 10.0),
}


def timed(find: Finder, image: Image) -> tuple[Marks, float]:
    """Pixels marked, and nanoseconds of CPU per pixel of the image: the better of two runs, after one to compile."""
    marks, seconds = find(image), []
    for _ in range(2):
        start = time.process_time()
        find(image)
        seconds.append(time.process_time() - start)
    return marks, 1e9 * min(seconds) / marks.size


def shares(field: Field, marks: Marks) -> list[str]:
    """Percentage of hits marked, and how many there are, by brightness."""
    hits, cells = hits_of(field, marks), []
    for low, high in itertools.pairwise(BINS):
        marked = hits.marked[(hits.peak >= low) & (hits.peak < high)]
        cells.append(f"{100 * marked.mean():.0f}/{marked.size}" if marked.size else "-")
    return cells


def simulated() -> None:
    """Print the table of simulated fields."""
    spans = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(BINS)]
    print("simulated: hits outside stars that are marked, % of how many, by their brightest pixel in sigma;")
    print("pixels: % of a marked hit's pixels over 5 sigma; false: groups that are no hits; ns: per pixel of the image")
    print(f"{'FWHM':>5} {'':13}" + "".join(f"{span:>10}" for span in spans) + f"{'pixels':>8}{'false':>7}{'ns':>7}")
    for width in WIDTHS:
        field = draw_field(width, 1, shape=SHAPE)
        for name, find in FINDERS.items():
            marks, ns = timed(find, field.image)
            cells = "".join(f"{cell:>10}" for cell in shares(field, marks))
            pixels, false = 100 * marked_share(field, marks), false_groups(field, marks)
            print(f"{width:5.2f} {name:13}{cells}{pixels:8.0f}{false:7d}{ns:7.1f}", flush=True)


def real(science: Path, mask: Path) -> None:
    """Print which groups of pixels of a real quadrant are marked by whom."""
    image = science_image(science, mask)[0]
    marks = {"archive's bit 7": (image.mask & RADIATION) != 0}
    ns = {"archive's bit 7": np.nan}
    for name, find in FINDERS.items():
        marks[name], ns[name] = timed(find, image)
    print(f"{science.name}: groups of marked pixels, and how many of them are marked by")
    print(f"{'':16}{'pixels':>8}{'groups':>8}" + "".join(f"{name:>17}" for name in marks) + f"{'ns':>7}")
    for name, mine in marks.items():
        groups, n = label(mine, AROUND)
        shared = [np.setdiff1d(groups[mine & binary_dilation(theirs, AROUND)], [0]).size for theirs in marks.values()]
        print(f"{name:16}{mine.sum():8d}{n:8d}" + "".join(f"{count:17d}" for count in shared) + f"{ns[name]:7.1f}")


if __name__ == "__main__":
    simulated()
    if len(sys.argv) == 3:
        real(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        science = next(DATA.rglob("*_sciimg.fits.fz"))
        real(science, science.with_name(science.name.replace("sciimg", "mskimg")))
