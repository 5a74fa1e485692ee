"""The report of a night, or of the detector, as one page: HTML for the store, the same as Markdown for an artifact."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import jinja2

from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.figures.quality import Check

MARKDOWN_BYTES = 1_000_000
"""Most bytes of a page in Markdown: an artifact is one row in a database and one message to the browser."""
MOST_ASIDE = 50
"""Inputs set aside that a page names; the others are counted."""

OK, FAIL = "OK", "FAIL"
"""Verdicts."""

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


@dataclass(frozen=True, slots=True)
class ProductCount:
    """Products of one kind."""

    product: str
    count: int


@dataclass(frozen=True, slots=True)
class Aside:
    """An input that could not be used."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows of words."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Link:
    """Link to another page of the store, relative to this one."""

    text: str
    address: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a page shows."""

    night: date
    camera: str
    checks: Sequence[Check]
    pictures: Sequence[Picture] = ()
    products: Sequence[ProductCount] = ()
    set_aside: Sequence[Aside] = ()
    about: str = ""
    """Origin of the data, recipe: one line under the title."""
    tables: Sequence[Table] = ()
    links: Sequence[Link] = ()
    subject: str = ""
    """What the page is about, if not the night."""

    @property
    def title(self) -> str:
        """Title of the page."""
        return f"ZTF {self.subject}" if self.subject else f"ZTF night of {self.night:%Y-%m-%d}"

    @property
    def heading(self) -> str:
        """Heading above the checks."""
        return "Quality of the detector" if self.subject else "Quality of the night"

    @property
    def subtitle(self) -> str:
        """Camera, and what else stands below the title."""
        return " · ".join(part for part in (f"camera {self.camera}", self.about) if part)

    @property
    def verdict(self) -> str:
        """OK, or FAIL if any check fails."""
        return FAIL if any(check.ok is False for check in self.checks) else OK

    @property
    def verdict_text(self) -> str:
        """The verdict as a sentence, with the checks that fail."""
        failed = [check.name for check in self.checks if check.ok is False]
        compared = sum(check.ok is not None for check in self.checks)
        if failed:
            return f"{len(failed)} of {compared} checks failed: {'; '.join(failed)}."
        return f"All {compared} checks passed."

    @property
    def shown_aside(self) -> Sequence[Aside]:
        """Skipped inputs that the page lists."""
        return self.set_aside[:MOST_ASIDE]

    @property
    def hidden_aside(self) -> int:
        """Number of skipped inputs that the page does not list."""
        return len(self.set_aside) - len(self.shown_aside)


def render_html(report: Report) -> str:
    """One self-contained page: style and pictures are inside, whatever comes from data is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False)
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.render(report=report, data_uri=data_uri)


def render_markdown(report: Report, *, limit: int = MARKDOWN_BYTES) -> str:
    """The page as Markdown (tables of the GitHub kind, pictures inside).

    Parameters
    ----------
    limit
        Bytes, at most.  Should the page be larger, pictures at the end are named instead of shown.
    """
    text = {picture.name: f"![{plain(picture.title)}]({data_uri(picture)})" for picture in report.pictures}
    kept = list(report.pictures)
    while len(page := _markdown(report, text).encode()) > limit and kept:
        text[kept.pop().name] = "*Not shown here, to keep this page small: see the page in the store.*"
    if len(page) > limit:
        raise ValueError(f"the report's words alone take {len(page)} bytes, more than the {limit} allowed")
    return page.decode()


def data_uri(picture: Picture) -> str:
    """A picture as an address that holds its content."""
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")


# --- small parts


def _markdown(report: Report, images: dict[str, str]) -> str:
    parts = [
        f"# {plain(report.title)}",
        plain(report.subtitle),
        f"**{report.verdict}** {plain(report.verdict_text)}",
        f"## {report.heading}",
        markdown_table(
            ["Quantity", "Value", "Expected", "Verdict"], [(c.name, c.value, c.limit, c.word) for c in report.checks]
        ),
    ]
    for table in report.tables:
        parts += [f"## {plain(table.title)}", markdown_table(table.header, table.rows)]
    for picture in report.pictures:
        parts += [f"## {plain(picture.title)}", images[picture.name], plain(picture.caption)]
    parts += [
        "## Products",
        markdown_table(["Product", "In the store"], [(p.product, str(p.count)) for p in report.products]),
    ]
    if report.set_aside:
        parts += ["## Set aside", markdown_table(["Input", "Reason"], [(a.what, a.reason) for a in report.shown_aside])]
        parts += [f"and {report.hidden_aside} more."] if report.hidden_aside else []
    else:
        parts.append("Nothing was set aside.")
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; nothing in a cell can break it."""
    lines = [header, ["---"] * len(header), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str) -> str:
    """Text that means nothing to Markdown or HTML."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", " ".join(escaped.split()))
