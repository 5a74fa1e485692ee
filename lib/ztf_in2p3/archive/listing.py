"""What an archive lists, and what of its list could not be understood."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self, TypeVar

from ztf_in2p3.products import Value

Item = TypeVar("Item")

N_EXAMPLE = 3
"""Values of a group of skipped entries that are quoted."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Entries of an archive's list that could not be used, all for the same reason."""

    what: str
    """Which entries, in the plural: "rows of the archive's raw table"."""
    reason: str
    count: int = 1
    examples: tuple[str, ...] = ()
    """Different entries of the group, the first ones, as a person would look for them."""

    @property
    def label(self) -> str:
        """The entries, with their number where there can be many."""
        return f"{self.count} of the {self.what}" if self.examples else self.what

    def __str__(self) -> str:
        examples = f" (e.g. {'; '.join(self.examples)})" if self.examples else ""
        return f"{self.label}: {self.reason}{examples}"


@dataclass(frozen=True, slots=True)
class FileState:
    """What an archive says of a file without delivering it; another state means that it was made again since."""

    size: int | None
    """Bytes."""
    date: str
    """When it was last changed, as the archive writes it; empty if it does not say."""

    @classmethod
    def of(cls, stat: os.stat_result) -> Self:
        """State of a file on disk."""
        return cls(stat.st_size, datetime.fromtimestamp(int(stat.st_mtime), UTC).isoformat())

    @property
    def about(self) -> dict[str, Value]:
        """The state as facts that stand beside the file in the store."""
        return {"archive_size": self.size, "archive_date": self.date or None}

    def is_that_of(self, about: Mapping[str, Value]) -> bool:
        """Whether a file in the store, by what is noted about it, was in this state when it came.

        An archive that says nothing of a file leaves the question open, and the answer is no.
        """
        return (self.size is not None or bool(self.date)) and {key: about.get(key) for key in self.about} == self.about

    def __str__(self) -> str:
        return f"size={self.size} date={self.date}"


def grouped(skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """Skipped entries with one group a reason, in order of their first appearance."""
    groups: dict[tuple[str, str], Skipped] = {}
    for entry in skipped:
        group = groups.get((entry.what, entry.reason))
        if group is None:
            groups[entry.what, entry.reason] = entry
            continue
        examples = tuple(dict.fromkeys(group.examples + entry.examples))[:N_EXAMPLE]
        groups[entry.what, entry.reason] = Skipped(entry.what, entry.reason, group.count + entry.count, examples)
    return tuple(groups.values())


class Listing(list[Item]):
    """A sorted list of what an archive has, each item once.

    `skipped` holds what was set aside in making it, and `versions` says of an item which edition of its files the
    archive has now: another text means that they were made again since.
    """

    skipped: tuple[Skipped, ...]
    versions: Mapping[Item, str]

    @classmethod
    def of(
        cls, items: Iterable[Item], skipped: Iterable[Skipped] = (), versions: Mapping[Item, str] | None = None
    ) -> Self:
        """A list of items with the entries that could not be understood and the editions of the items."""
        listing = cls(items)
        listing.skipped = grouped(skipped)
        listing.versions = dict(versions or {})
        return listing
