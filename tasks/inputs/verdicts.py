"""What is thought of the masters: verdicts of comparisons, and an operator's word before them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from tasks.runtime.settings import operators_rulings
from ztf_in2p3.detrend.verdicts import GOOD, Ruling, write_verdict
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ProductRef, Value, part_of, period_of, quality_ref
from ztf_in2p3.recipes import OperatorsWord, VerdictRecipe, digest
from ztf_in2p3.store import Store

QIDS = range(1, N_QUADRANT + 1)
N_BEFORE = 3
"""Earlier masters that a new one may be like: one that is spoilt, and passed for good, does not make it suspect."""


def unfit_quadrants(verdict: Built) -> dict[int, str]:
    """Why a quadrant of a master does not serve, by qid."""
    reasons = {qid: verdict.about.get(f"unfit_q{qid}") for qid in QIDS}
    return {qid: str(reason) for qid, reason in reasons.items() if reason}


class Verdicts:
    """What is thought of the masters of a recipe."""

    def __init__(self, store: Store, recipe: VerdictRecipe, overrides: Sequence[Ruling] | None = None) -> None:
        """Take the operator's `overrides`; None: those of the operator's file."""
        self._store, self.recipe = store, recipe
        self._overrides = operators_rulings() if overrides is None else overrides
        self._answers: dict[ProductRef, Built | None] = {}

    @cached_property
    def _made(self) -> dict[ProductRef, Built]:
        return {verdict.ref: verdict for verdict in self._store.list(Kind.QUALITY, digest(self.recipe))}

    def add(self, verdicts: Iterable[Built]) -> None:
        """Take verdicts that were made since the store was asked."""
        self._made.update({verdict.ref: verdict for verdict in verdicts})
        self._answers.clear()

    def of_period(self, period: Period) -> list[Built]:
        """Verdicts of comparisons on the masters of a period, in the order of their addresses."""
        return [verdict for ref, verdict in sorted(self._made.items()) if period_of(ref) == period]

    def of(self, master: Built) -> Built | None:
        """The operator's word, else the verdict of its comparison; None if nobody looked at this very master."""
        if master.ref not in self._answers:
            self._answers[master.ref] = self._find(master)
        return self._answers[master.ref]

    def _find(self, master: Built) -> Built | None:
        for ruling in reversed(self._overrides):
            if ruling.is_about(master.ref):
                return self._word(ruling.word, master.ref)
        verdict = self._made.get(quality_ref(self.recipe, master.ref))
        return verdict if verdict is not None and verdict.about.get("master") == master.sha256 else None

    def quality(self, master: Built) -> tuple[str, str]:
        """Quality and reason; good as long as nobody said otherwise."""
        verdict = self.of(master)
        about = {} if verdict is None else verdict.about
        return str(about.get("quality", GOOD)), str(about.get("reason", ""))

    def unfit(self, master: Built) -> dict[int, str]:
        """Why a quadrant does not serve, by qid."""
        verdict = self.of(master)
        return {} if verdict is None else unfit_quadrants(verdict)

    def before(self, master: Built, masters: Iterable[Built]) -> list[Built]:
        """The nearest good ones of earlier periods, the latest first; none if there are no such."""
        older = [
            candidate
            for candidate in masters
            if part_of(candidate.ref) == part_of(master.ref)
            and period_of(candidate.ref).last < period_of(master.ref).first
        ]
        latest_first = sorted(
            older, key=lambda candidate: (period_of(candidate.ref).last, period_of(candidate.ref).first), reverse=True
        )
        good = (candidate for candidate in latest_first if self.quality(candidate)[0] == GOOD)
        return list(itertools.islice(good, N_BEFORE))

    def _word(self, word: OperatorsWord, master: ProductRef) -> Built:
        def make(path: Path) -> Mapping[str, Value]:
            write_verdict(path, word.quality, word.reason)
            return {"quality": word.quality, "reason": word.reason}

        return self._store.build(quality_ref(word, master), word, [], make)
