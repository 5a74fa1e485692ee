"""The pages that the code writes hold every kind, column, recipe field and command, each with its meaning."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from docs import generated
from flows.cli.commands import FLOWS, TOOLS
from ztf_in2p3.products import Kind

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
SCRIPT = re.compile(r"^```python[^\n]*\n(.*?)^```", re.M | re.S)


def rows(page: str) -> list[list[str]]:
    """Cells of every table of a page, without titles and rules."""
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[text.strip() for text in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_kind_says_what_it_is():
    assert [kind for kind, meaning in generated.kinds().items() if not meaning] == []
    page = generated.products_page()
    assert all(f"| `{kind}` |" in page for kind in Kind)
    assert all(f"\n## {kind}\n" in page for kind in generated.COLUMNS)


@pytest.mark.parametrize("page", ["products_page", "figures_page", "recipes_page", "commands_page"])
def test_every_row_ends_with_its_meaning(page):
    assert [row for row in rows(getattr(generated, page)()) if not row[-1]] == []


def test_every_command_is_there():
    page = generated.commands_page()
    assert all(f"\n## ztf {name.replace('_', '-')}\n" in page for name in (*FLOWS, *TOOLS))


def test_the_written_pages_are_linked_and_name_no_package_that_is_gone():
    nav = (ROOT / "mkdocs.yml").read_text()
    written = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert all(f"- {name}\n" in nav for name in written | set(generated.GENERATED))
    for path in (ROOT / "docs").glob("*.md"):
        for named in re.findall(r"`((?:lib|tasks|flows|tests|docs|deployments)/[\w/.]*)`", path.read_text()):
            assert (ROOT / named).exists(), f"{path.name} names {named}"


@pytest.mark.parametrize("page", ["photometry", "star_flat"])
def test_the_scripts_of_an_example_run(page):
    names: dict[str, object] = {}
    for script in SCRIPT.findall((EXAMPLES / f"{page}.md").read_text()):
        exec(script, names)
    assert isinstance(names["figure"], Figure)


def test_the_example_of_a_night_begins_as_the_readme_does():
    """What follows in it is run by `make docs`, which fails where a script fails."""
    flows, library = SCRIPT.findall((ROOT / "README.md").read_text())
    assert "calibrate(" in flows
    assert flows in (EXAMPLES / "night.md").read_text()
    assert library not in flows
