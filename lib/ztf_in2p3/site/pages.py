"""HTML of the pages of a store."""

from __future__ import annotations

import calendar
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from ztf_in2p3.site.facts import CCD_TRENDS, DETECTOR_TRENDS, EXPOSURE_TRENDS, NightFacts

VENDORED = ("uPlot.iife.min.js", "uPlot.min.css", "LICENSE.uPlot")
"""Files of others that the pages use, copied beside them."""
UNITS = EXPOSURE_TRENDS | DETECTOR_TRENDS | CCD_TRENDS


@dataclass(frozen=True, slots=True)
class SitePicture:
    """A figure of a fit, in the site's own folder."""

    address: str
    """Relative to the page."""
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class SiteSection:
    """A fit or a target: its name, a few numbers, its pictures."""

    title: str
    numbers: Mapping[str, object]
    pictures: Sequence[SitePicture]


def asset(name: str) -> bytes:
    """A file of the package that the pages use."""
    folder = files("ztf_in2p3.site")
    return (folder / "vendored" / name if name in VENDORED else folder / name).read_bytes()


def index_page(store: str, nights: Sequence[NightFacts], n_section: Mapping[str, int]) -> str:
    """Calendar of the nights, coloured by verdict.  `n_section`: how many parts each further page has."""
    counts: dict[str, int] = {}
    for night in nights:
        counts[night.verdict] = counts.get(night.verdict, 0) + 1
    words = ", ".join(f"{n} {_verdict(word)}" for word, n in sorted(counts.items())) or "no nights"
    months: dict[str, dict[int, NightFacts]] = {}
    for night in nights:
        months.setdefault(night.night[:6], {})[int(night.night[6:])] = night
    body = f"<p class=soft>{escape(store)}</p><p>{len(nights)} nights: {words}</p><div class=months>"
    body += "".join(_month(name, days) for name, days in sorted(months.items(), reverse=True)) + "</div>"
    further = "".join(f"<li><a href='{page}.html'>{page}</a>: {n}</li>" for page, n in n_section.items())
    return _page("Nights", f"{body}<h2>Fits and light curves</h2><ul>{further}</ul>", "")


def _month(name: str, days: Mapping[int, NightFacts]) -> str:
    year, month = int(name[:4]), int(name[4:])
    rows = []
    for week in calendar.monthcalendar(year, month):
        rows.append("".join(_day(day, days.get(day)) for day in week))
    head = "".join(f"<th>{day}</th>" for day in ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    title = f"{calendar.month_name[month]} {year}"
    return f"<table class=month><caption>{title}</caption><tr>{head}</tr>{body}</table>"


def _day(day: int, night: NightFacts | None) -> str:
    if night is None:
        return f"<td class=soft>{day or ''}</td>"
    lacking = sum(row.lacking for row in night.exposures)
    told = f"{night.verdict}: {night.verdict_text} {len(night.exposures)} exposures, {lacking} CCDs without catalogue"
    link = f"<a href='night/{night.night}.html' title='{escape(told, quote=True)}'>{day}</a>"
    return f"<td class={escape(night.verdict)}>{link}</td>"


def night_page(night: NightFacts, report: str | None) -> str:
    """Exposures of a night, failures first, and its report.  `report`: address of the report beside the page."""
    day = f"{night.night[:4]}-{night.night[4:6]}-{night.night[6:]}"
    parts = [f"<p>{_verdict(night.verdict)} {escape(night.verdict_text)}</p>"]
    if report:
        parts.append(f"<p><a href='{report}'>Report of the night, with its figures</a></p>")
    titles = ("exposure", "filter", "field", "lacking", "CCDs", "seeing [pix]", "background [adu]", "stars")
    rows = [
        (
            row.exposure, row.filter, row.field, row.lacking, f"{row.n_catalogue} of {row.n_raw}",
            _rounded(row.seeing, 2), _rounded(row.background, 1), row.n_star,
        )
        for row in night.exposures
    ]  # fmt: skip
    marks = ["FAIL" if row.lacking else "" for row in night.exposures]
    parts.append("<h2>Exposures</h2><p class=soft>A click on a title sorts; lacking: CCDs read and not measured.</p>")
    return _page(f"Night {day}", "".join(parts) + _sortable(titles, rows, marks), "../")


def _rounded(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def trends_page() -> str:
    """Trends of all nights; their numbers are in ``data/trends.js`` beside the page."""
    body = (
        "<p><label>Quantity <select id=quantity></select></label> <label>Filter <select id=filter></select></label> "
        "<label>CCD <select id=ccd></select></label></p><div id=plot></div>"
        "<p class=soft>Median of each night, by quadrant. Drag over a range to zoom, double-click to see all; "
        "a click on a name of the legend hides its line.</p>"
        "<script src='data/trends.js'></script><script src='uPlot.iife.min.js'></script>"
        "<script src='trends.js'></script>"
    )
    return _page("Trends", body, "")


def trends_data(nights: Sequence[NightFacts]) -> str:
    """Script with the numbers of the trends: quantity, filter, rcid, then a value for each night, null if unknown."""
    ordered = sorted(nights, key=lambda night: night.night)
    series: dict[str, dict[str, dict[str, list[float | None]]]] = {}
    for at, night in enumerate(ordered):
        for name, by_filter in night.trends.items():
            for filter, values in by_filter.items():
                for channel, value in values.items():
                    channels = series.setdefault(name, {}).setdefault(filter, {})
                    channels.setdefault(channel, [None] * len(ordered))[at] = value
    content = {"nights": [night.night for night in ordered], "units": UNITS, "series": series}
    return f"window.TRENDS = {json.dumps(content, sort_keys=True)};\n"


def sections_page(title: str, sections: Iterable[SiteSection]) -> str:
    """Fits or light curves one below the other, each with its numbers and pictures."""
    parts = []
    for section in sections:
        numbers = "".join(
            f"<tr><td>{escape(str(name))}</td><td>{escape(_text(value))}</td></tr>"
            for name, value in section.numbers.items()
        )
        pictures = "".join(
            f"<figure><img loading=lazy src='{escape(picture.address, quote=True)}' alt=''>"
            f"<figcaption><b>{escape(picture.title)}</b> {escape(picture.caption)}</figcaption></figure>"
            for picture in section.pictures
        )
        parts.append(f"<h2>{escape(section.title)}</h2><table class=numbers>{numbers}</table>{pictures}")
    return _page(title, "".join(parts) or "<p>None in the store.</p>", "")


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _sortable(titles: Sequence[str], rows: Iterable[Sequence[object]], marks: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr class='{mark}'>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>"
        for row, mark in zip(rows, marks, strict=True)
    )
    return f"<table class=sortable><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _verdict(word: str) -> str:
    return f"<span class='word {escape(word)}'>{escape(word)}</span>"


def _page(title: str, body: str, root: str) -> str:
    """A whole page; `root`: the way from its folder to the first one."""
    pages = (("index", "Nights"), ("trends", "Trends"), ("starflats", "Star flats"), ("ubercals", "Ubercals"))
    links = "".join(f"<a href='{root}{page}.html'>{name}</a> " for page, name in (*pages, ("curves", "Light curves")))
    return (
        f"<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        f"<link rel=stylesheet href='{root}uPlot.min.css'><link rel=stylesheet href='{root}site.css'></head>"
        f"<body><nav>{links}</nav><h1>{escape(title)}</h1>{body}<script src='{root}sort.js'></script></body></html>\n"
    )
