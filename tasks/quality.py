"""Which masters are good: each is compared with the good one before it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tasks.runtime.outcome import Outcome, SetAside
from tasks.runtime.policies import collect, launch, product_task
from tasks.runtime.settings import operators_rulings
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.compare import compare
from ztf_in2p3.detrend.verdicts import GOOD, Ruling, write_verdict
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Built, Kind, ProductRef, Value, part_of, period_of, quality_ref
from ztf_in2p3.recipes import OperatorsWord, VerdictRecipe, digest
from ztf_in2p3.store import Store
from ztf_in2p3.store.reading import opened

_QIDS = range(1, N_QUADRANT + 1)
N_BEFORE = 3
"""Earlier masters that a new one may be like: one that is spoilt, and passed for good, does not make it suspect."""


@product_task
def judge(
    output: ProductRef, master: Built, before: Sequence[Built], camera: Camera, recipe: VerdictRecipe, store: Store
) -> Built:
    """Judge a master by itself, and compare it with those before it, if there are any."""

    def make(path: Path) -> Mapping[str, Value]:
        with opened(store, [master, *before]) as paths, ExitStack() as stack:
            new, *old = (stack.enter_context(CcdMaster.open(master_path, camera)) for master_path in paths)
            comparison = compare(
                new,
                *old,
                sigma=recipe.quality.sigma,
                most_moved=recipe.quality.most_moved,
                floor=recipe.floor,
                most_shift=recipe.quality.most_shift,
                frames=recipe.frames,
            )
        write_verdict(path, comparison.quality, comparison.reason, comparison.unfit)
        return {
            "quality": comparison.quality,
            "reason": comparison.reason,
            "moved": comparison.moved,
            "shift": comparison.shift,
            "master": master.sha256,
            "before": " ".join(product.ref.address for product in before),
            "excess": max((float(master.about.get(f"excess{qid}") or 0) for qid in _QIDS), default=0.0),
            "lamp_scatter": master.about.get("ledrms"),
            "left_out": "; ".join(dict.fromkeys(str(why) for qid in _QIDS if (why := _left_out(master, qid)))),
            **{f"unfit_q{qid}": reason for qid, reason in sorted(comparison.unfit.items())},
        }

    return store.build(output, recipe, [master, *before], make)


def _left_out(master: Built, qid: int) -> Value:
    """Why frames were left out of a quadrant, if any were."""
    return master.about.get(f"left_out_q{qid}")


def unfit_quadrants(verdict: Built) -> dict[int, str]:
    """Why a quadrant of a master does not serve, by qid."""
    reasons = {qid: verdict.about.get(f"unfit_q{qid}") for qid in _QIDS}
    return {qid: str(reason) for qid, reason in reasons.items() if reason}


class Verdicts:
    """What is thought of the masters of a recipe."""

    def __init__(self, store: Store, recipe: VerdictRecipe, overrides: Sequence[Ruling] | None = None) -> None:
        """Take the operator's `overrides`; None: those of the operator's file."""
        self._store, self._recipe = store, recipe
        self._overrides = operators_rulings() if overrides is None else overrides
        self._made = {verdict.ref: verdict for verdict in store.list(Kind.QUALITY, digest(recipe))}
        self._answers: dict[ProductRef, Built | None] = {}

    def of(self, master: Built) -> Built | None:
        """The operator's word, else the verdict of its comparison; None if nobody looked at this very master."""
        if master.ref not in self._answers:
            self._answers[master.ref] = self._find(master)
        return self._answers[master.ref]

    def _find(self, master: Built) -> Built | None:
        for ruling in reversed(self._overrides):
            if ruling.is_about(master.ref):
                return self._word(ruling.word, master.ref)
        verdict = self._made.get(quality_ref(self._recipe, master.ref))
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


def judge_all(masters: Sequence[Built], recipe: VerdictRecipe, camera: Camera, store: Store) -> Outcome:
    """A verdict on each of some new masters; those that are not good are set aside, which is no reason to stop."""
    known = Verdicts(store, recipe)
    masters_in_store = [
        master for kind in {master.ref.kind for master in masters} for master in store.list(kind, digest(recipe.master))
    ]
    verdicts = collect(
        launch(
            judge,
            quality_ref(recipe, master.ref),
            master,
            known.before(master, masters_in_store),
            camera=camera,
            recipe=recipe,
            store=store,
        )
        for master in masters
    )
    return verdicts + Outcome(set_aside=_not_good(masters, Verdicts(store, recipe)))


def left_out_frames(masters: Iterable[Built]) -> list[SetAside]:
    """Frames that were not stacked, a line a reason, with the quadrants that were made of the others."""
    lines = []
    for master in masters:
        quadrants: dict[str, list[int]] = defaultdict(list)
        for qid in _QIDS:
            if (reason := _left_out(master, qid)) and not master.about.get(f"dead_q{qid}"):
                quadrants[str(reason)].append(qid)
        for reason, qids in quadrants.items():
            where = "" if len(qids) == N_QUADRANT else " " + ", ".join(f"q{qid}" for qid in qids)
            subject = "the master is" if not where else "the quadrant is" if len(qids) == 1 else "the quadrants are"
            lines.append(SetAside(f"{master.ref.label}{where}", f"{reason}; {subject} made of the others"))
    return lines


def _not_good(masters: Iterable[Built], verdicts: Verdicts) -> Iterator[SetAside]:
    for master in masters:
        quality, reason = verdicts.quality(master)
        if quality == GOOD:
            for qid, why in verdicts.unfit(master).items():
                cause = "; ".join(filter(None, (why, str(_left_out(master, qid) or ""))))
                yield SetAside(f"{master.ref.label} q{qid}", f"{cause}; the quadrant is left out, the others are used")
        else:
            yield SetAside(
                master.ref.label,
                f"{quality}: {reason}; kept, but not chosen; see it, then say what it is in deployments/verdicts.toml",
            )
