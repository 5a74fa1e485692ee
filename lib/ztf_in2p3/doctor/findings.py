"""Findings of independent checks, and why a check was not done."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Generic, TypeVar

from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException

from ztf_in2p3.errors import PipelineError

T = TypeVar("T")

FORESEEN = (
    PipelineError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    CfitsioException,
    fits.VerifyError,
)
"""What readers of files and answers from outside have been seen to raise on what they did not expect."""


class Status(StrEnum):
    """How a check ended."""

    OK = "OK"
    DIFFERS = "DIFFERS"
    """It is there, and not as we believe."""
    FAIL = "FAIL"
    """It could not be had or done."""
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome of a check."""

    status: Status
    found: str
    expected: str = ""
    remedy: str = ""
    value: Any = None
    """What the check got hold of, for those that come after it."""


def ok(observed: str, expected: str = "", *, value: Any = None) -> Result:
    """Result of a check that found what was expected."""
    return Result(Status.OK, observed, expected, "", value)


def differs(observed: str, expected: str, remedy: str) -> Result:
    """Result of a check that found something else than what was expected."""
    return Result(Status.DIFFERS, observed, expected, remedy)


def failed(observed: str, expected: str, remedy: str) -> Result:
    """Result of a check that could not be done."""
    return Result(Status.FAIL, observed, expected, remedy)


def skipped(why: str) -> Result:
    """Result of a check that was not done, and why."""
    return Result(Status.SKIPPED, why)


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report."""

    group: str
    """What was looked at, e.g. "flat frame"."""
    check: str
    status: Status
    found: str
    expected: str
    remedy: str


@dataclass(frozen=True)  # with slots too, `Check[Subject](...)` fails in Python 3.11
class Check(Generic[T]):
    """A check of one fact about a subject."""

    name: str
    run: Callable[[T], Result]
    needs: tuple[str, ...] = ()
    """Names of earlier checks of the same group, without which this one means nothing."""
    expected: str = ""
    remedy: str = ""
    """Remedy for the finding if the check breaks."""


class Examination:
    """Findings so far, in order.  A check that fails or breaks leaves the others running."""

    def __init__(self, report: Callable[[Finding], None] = lambda finding: None) -> None:
        self.findings: list[Finding] = []
        self._report = report
        self._status: dict[tuple[str, str], Status] = {}

    def run(
        self,
        group: str,
        check: str,
        function: Callable[[], Result],
        *,
        needs: Sequence[tuple[str, str]] = (),
        expected: str = "",
        remedy: str = "",
    ) -> Result:
        """Do a check and write its finding down.

        Parameters
        ----------
        needs
            Earlier checks, (group, name), that must be OK.
        expected, remedy
            For the finding if the check breaks with an error of the kinds that data from outside cause.
        """
        missing = [need for need in needs if self._status.get(need) is not Status.OK]
        if missing:
            result = skipped(f"needs {self._named(missing[0], group)}")
        else:
            try:
                result = function()
            except FORESEEN as error:
                text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
                result = failed(" ".join(text.split()), expected, remedy)
        self._note(group, check, result)
        return result

    def run_all(
        self, group: str, checks: Sequence[Check[Any]], subject: Any, *, needs: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Do all checks of one subject; None stands for one that is not there, which `needs` must say."""
        for check in checks:
            wanted = [*needs, *((group, name) for name in check.needs)]
            self.run(
                group,
                check.name,
                partial(check.run, subject),
                needs=wanted,
                expected=check.expected,
                remedy=check.remedy,
            )

    def skip_all(self, group: str, checks: Sequence[Check[Any]], why: str) -> None:
        """Write down that the subject of some checks is not there."""
        for check in checks:
            self._note(group, check.name, skipped(why))

    def is_ok(self, group: str, check: str) -> bool:
        """Whether a check was done and found what was expected."""
        return self._status.get((group, check)) is Status.OK

    @property
    def counts(self) -> dict[str, int]:
        """Findings by status."""
        return {str(status): sum(finding.status is status for finding in self.findings) for status in Status}

    @property
    def all_ok(self) -> bool:
        """Whether nothing differs and nothing failed."""
        return not any(finding.status in (Status.DIFFERS, Status.FAIL) for finding in self.findings)

    def _named(self, need: tuple[str, str], group: str) -> str:
        status = self._status.get(need)
        name = need[1] if need[0] == group else f"{need[0]}: {need[1]}"
        return f"{name} (which is {status})" if status else name

    def _note(self, group: str, check: str, result: Result) -> None:
        finding = Finding(group, check, result.status, result.found, result.expected, result.remedy)
        self._status[group, check] = result.status
        self.findings.append(finding)
        self._report(finding)
