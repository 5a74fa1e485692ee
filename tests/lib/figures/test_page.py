"""A report shows everything it was given, and nothing it was given can break it."""

import base64
import re
from datetime import date
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ztf_in2p3.camera import TINY
from ztf_in2p3.figures.night import plot_bias
from ztf_in2p3.figures.page import MOST_ASIDE, Aside, Link, ProductCount, Report, Table, render_html, render_markdown
from ztf_in2p3.figures.pictures import Picture
from ztf_in2p3.figures.quality import Check
from ztf_in2p3.figures.style import png

CHECKS = (Check("seeing", "2.1 arcsec", "at most 5 arcsec", True), Check("pulls", "1.4", "within 0.1 of 1", False),
          Check("stars", "30", "", None))  # fmt: skip


def picture(name: str, size: int = 400) -> Picture:
    return Picture(name, f"Title of {name}", f"Caption of {name}", b"\x89PNG" + bytes(size))


def report(**changes: object) -> Report:
    given: dict = {
        "night": date(2019, 4, 5),
        "camera": "tiny",
        "checks": CHECKS,
        "pictures": (picture("bias"), picture("flat-zr")),
        "products": (ProductCount("bias", 16),),
        "set_aside": (Aside("raw c03", "BadData: a web page"),),
    }
    return Report(**given | changes)


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data.strip())

    def attributes(self, tag: str, name: str) -> list[str]:
        return [attrs[name] for one, attrs in self.tags if one == tag and name in attrs]


def test_every_picture_is_inside_with_its_words():
    shown = report()
    page = Page(render_html(shown))
    images = page.attributes("img", "src")
    assert [base64.b64decode(uri.removeprefix("data:image/png;base64,")) for uri in images] == [
        one.png for one in shown.pictures
    ]
    for one in shown.pictures:
        assert one.caption in page.words
        assert f"#{one.name}" in page.attributes("a", "href")
        assert one.name in page.attributes("section", "id")
    for word in ("OK", "FAIL", "2.1 arcsec", "16", "raw c03", "BadData: a web page"):
        assert word in page.words


def test_the_page_needs_nothing_from_elsewhere():
    page = Page(render_html(report()))
    assert not page.attributes("link", "href")
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object")]
    assert all(uri.startswith("data:") for uri in page.attributes("img", "src"))
    assert all(link.startswith("#") for link in page.attributes("a", "href"))


NASTY = "</td><script>alert('x')</script><img src=y onerror=z> & \" | `code` **b** [l](http://h) ![i](j)\n# head"


def nasty_report(text: str) -> Report:
    return report(
        camera=text,
        about=text,
        checks=(Check(text, text, text, False),),
        pictures=(Picture("bias", text, text, b"\x89PNG"),),
        products=(ProductCount(text, 1),),
        set_aside=(Aside(text, text),),
    )


def test_what_comes_from_data_is_shown_as_it_is():
    page = Page(render_html(nasty_report(NASTY)))
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert len(page.attributes("img", "src")) == 1
    assert NASTY in page.words


@given(st.one_of(st.just(NASTY), st.text(max_size=40), st.text(alphabet="<>&|`*_[]()!#-\\\n ab1.", max_size=40)))
def test_markdown_keeps_its_structure_whatever_the_words(text):
    harmless = Page(MarkdownIt("commonmark").enable("table").render(render_markdown(nasty_report("words"))))
    page = Page(MarkdownIt("commonmark").enable("table").render(render_markdown(nasty_report(text))))
    kinds = ("table", "tr", "td", "th", "h1", "h2", "img", "script", "a", "code", "em", "strong")
    for kind in kinds:
        assert sum(tag == kind for tag, _ in page.tags) == sum(tag == kind for tag, _ in harmless.tags), kind


def test_markdown_says_the_same_as_the_page():
    shown = report()
    page = Page(MarkdownIt("commonmark").enable("table").render(render_markdown(shown)))
    assert len(page.attributes("img", "src")) == 2
    words = " ".join(page.words)
    for word in ("FAIL", "2.1 arcsec", "Caption of bias", "BadData: a web page", "1 of 2 checks failed: pulls."):
        assert word in words


def test_an_artifact_stays_small_and_says_what_it_leaves_out():
    big = report(pictures=[picture(f"p{i}", 300_000) for i in range(5)])
    page = render_markdown(big)
    assert len(page.encode()) <= 1_000_000
    assert page.count("data:image/png") == 2  # of 400 kB each once written down
    assert page.count("see the page in the store") == 3
    assert page.count("Caption of") == 5
    with pytest.raises(ValueError, match="words alone"):
        render_markdown(big, limit=100)


def test_a_long_list_is_cut_and_counted():
    long = report(set_aside=[Aside(f"raw {i}", "why") for i in range(MOST_ASIDE + 7)])
    for page in (render_html(long), render_markdown(long)):
        assert "and 7 more." in page
        assert len(re.findall(r"raw \d", page)) == MOST_ASIDE


def test_a_night_with_nothing_to_show_is_still_a_page():
    empty = report(checks=(), pictures=(), products=(), set_aside=())
    for page in (render_html(empty), render_markdown(empty)):
        assert "Nothing was set aside." in page
        assert "All 0 checks passed." in page


def test_equal_reports_give_equal_bytes():
    def made() -> str:
        drawn = Picture("bias", "Master bias", "", png(plot_bias(TINY, [])))
        return render_html(report(pictures=[drawn]))

    assert made() == made()


def test_a_page_about_something_else_has_its_own_title_tables_and_ways_on():
    page = report(
        subject="detector, 2019-04-05", tables=[Table("Masters", ["Master", "Quality"], [["zr/<c03>", "suspect"]])],
        links=[Link("The night", "../../../report/0/20190405/page.html")],
    )  # fmt: skip
    html, markdown = render_html(page), render_markdown(page)
    assert "<title>ZTF detector, 2019-04-05</title>" in html
    assert '<a href="../../../report/0/20190405/page.html">The night</a>' in html
    assert "<td>zr/&lt;c03&gt;</td><td>suspect</td>" in html
    assert "| zr/&lt;c03&gt; | suspect |" in markdown
    assert "Quality of the night" not in html + markdown
