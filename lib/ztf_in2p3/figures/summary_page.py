"""A few numbers and pictures as one page of Markdown, for an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ztf_in2p3.figures.page import MARKDOWN_BYTES, data_uri, markdown_table, plain
from ztf_in2p3.figures.pictures import Picture


def render_summary_page(
    title: str, facts: Mapping[str, str], pictures: Sequence[Picture], *, limit: int = MARKDOWN_BYTES
) -> str:
    """Tables of the GitHub kind, pictures inside; beyond `limit` bytes they are named instead of shown."""
    parts = [f"# {plain(title)}"]
    parts += [markdown_table(["Quantity", "Value"], list(facts.items()))] if facts else []
    size = sum(len(part.encode()) for part in parts)
    for picture in pictures:
        embedded = f"![{plain(picture.title)}]({data_uri(picture)})"
        words = f"## {plain(picture.title)}\n\n{plain(picture.caption)}"
        size += len(words.encode()) + len(embedded) + 8
        parts += [words, embedded if size < limit else "*Not shown here, to keep this page small: see the store.*"]
    return "\n\n".join(parts) + "\n"
