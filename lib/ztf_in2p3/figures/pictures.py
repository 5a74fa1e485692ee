"""A picture of a page, with the words that go with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a page."""

    name: str
    """Short, for a file: letters, digits and hyphens."""
    title: str
    caption: str
    """What one should see, and what would be wrong."""
    png: bytes
