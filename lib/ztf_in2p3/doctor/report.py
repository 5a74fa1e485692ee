"""The report that can be sent to others: everything found, and nothing that is nobody's business."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ztf_in2p3.doctor.findings import Examination, Finding

_URL_USER = re.compile(r"(\w+://)[^/\s@]+@")
_QUERY = re.compile(r"(\w+://[^\s?'\"]+)\?[^\s'\"]+")
_HOMES = re.compile(r"(/home|/Users|/root|/pbs/home/\w|/afs/[\w.]+/\w+)(/[^/\s'\":,;]+)?")
_KEYS = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{12,}|\bey[\w-]{15,}\.[\w-]+\.[\w-]+|\b(pnu|pnb)_\w{10,}|"
    r"(?i:(password|token|secret|signature|credential|session_?id|api_?key)\s*[=:]\s*)[^\s,;&'\"]+"
)
_ADDRESS = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.]+\b")


@dataclass(frozen=True, slots=True)
class Redaction:
    """Blanks out of a text what must not leave the house."""

    secrets: Sequence[str] = field(default=(), repr=False)
    """Passwords and keys as they are known."""
    users: Sequence[str] = field(default=(), repr=False)
    """Names of accounts."""
    homes: Sequence[str] = field(default=(), repr=False)
    """Home folders."""

    def __call__(self, text: str) -> str:
        """A text without passwords, accounts and home folders."""
        for secret in sorted(filter(None, self.secrets), key=len, reverse=True):
            text = text.replace(secret, "***")
        for home in sorted((home for home in self.homes if len(home) > 1), key=len, reverse=True):
            text = text.replace(home, "~")
        text = _URL_USER.sub(r"\1***@", text)
        text = _QUERY.sub(r"\1?***", text)
        text = _KEYS.sub("***", text)
        text = _ADDRESS.sub("***", text)
        text = _HOMES.sub("~", text)
        for user in filter(None, self.users):
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(user)}(?![A-Za-z0-9])", "<user>", text)
        return text

    def everywhere(self, value: Any) -> Any:
        """Redacted copy of all texts of nested lists and mappings."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.everywhere(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.everywhere(item) for item in value]
        return value


_WIDTHS = (7, 20, 34, 34)
"""Columns of the table: status, check, found, expected; with the spaces between them 98 characters."""


def table_lines(finding: Finding) -> list[str]:
    """A finding as lines of a table of at most 100 columns: status, check, found, expected; below, what to do."""
    observed, expected, room = finding.found, finding.expected, _WIDTHS[3]
    widths: tuple[int, ...] = _WIDTHS
    if finding.status in ("OK", "SKIPPED"):
        if len(observed) > _WIDTHS[2] or finding.status == "SKIPPED":
            widths, expected = (*_WIDTHS[:2], _WIDTHS[2] + room + 1), ""
        else:
            expected = textwrap.shorten(expected, room, placeholder=" ...")
    cells = (str(finding.status), finding.check, observed, expected)
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=False)]
    lines = []
    for number in range(max(map(len, columns))):
        parts = [column[number] if number < len(column) else "" for column in columns]
        lines.append(" ".join(f"{part:{width}}" for part, width in zip(parts, widths, strict=False)).rstrip())
    if finding.remedy:
        lines += textwrap.wrap(f"-> {finding.remedy}", 90, initial_indent=" " * 8, subsequent_indent=" " * 11)
    return lines


TITLES = " ".join(f"{title:{width}}" for title, width in zip(("", "check", "found", "expected"), _WIDTHS, strict=True))


def as_json(examination: Examination, about: Mapping[str, Any], redaction: Redaction) -> dict[str, Any]:
    """Findings and circumstances, ready for `json.dumps`."""
    findings = [{**asdict(finding), "status": str(finding.status)} for finding in examination.findings]
    report = {"report": "ztf doctor", **about, "counts": examination.counts, "findings": findings}
    return dict(redaction.everywhere(report))


def troubles(findings: Sequence[Finding]) -> list[str]:
    """Names of what differs or failed: ``group: check``."""
    return [f"{finding.group}: {finding.check}" for finding in findings if finding.status in ("DIFFERS", "FAIL")]
