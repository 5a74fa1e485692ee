"""Which masters are good: each is compared with the good one before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tasks.inputs.calibrations import Calibrations
from tasks.inputs.verdicts import QIDS, Verdicts
from tasks.runtime.outcome import Outcome, SetAside
from tasks.runtime.policies import collect, launch, product_task
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.compare import compare
from ztf_in2p3.detrend.verdicts import GOOD, write_verdict
from ztf_in2p3.identifiers import N_QUADRANT
from ztf_in2p3.products import Built, Kind, ProductRef, Value, quality_ref
from ztf_in2p3.recipes import VerdictRecipe
from ztf_in2p3.store import Store
from ztf_in2p3.store.reading import opened


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
            "excess": max((float(master.about.get(f"excess{qid}") or 0) for qid in QIDS), default=0.0),
            "lamp_scatter": master.about.get("ledrms"),
            "left_out": "; ".join(dict.fromkeys(str(why) for qid in QIDS if (why := _left_out(master, qid)))),
            **{f"unfit_q{qid}": reason for qid, reason in sorted(comparison.unfit.items())},
        }

    return store.build(output, recipe, [master, *before], make)


def _left_out(master: Built, qid: int) -> Value:
    """Why frames were left out of a quadrant, if any were."""
    return master.about.get(f"left_out_q{qid}")


def judge_all(masters: Sequence[Built], kind: Kind, known: Calibrations, camera: Camera, store: Store) -> Outcome:
    """A verdict on each of some new masters; those that are not good are set aside, which is no reason to stop.

    Parameters
    ----------
    known
        Masters before them, and what is thought of those; learns of the new ones.
    """
    known.add(masters)
    verdicts, masters_known = known.verdicts(kind), known.masters(kind)
    recipe = verdicts.recipe
    judged = collect(
        launch(
            judge,
            quality_ref(recipe, master.ref),
            master,
            verdicts.before(master, masters_known),
            camera=camera,
            recipe=recipe,
            store=store,
        )
        for master in masters
    )
    verdicts.add(judged.built)
    return judged + Outcome(set_aside=_not_good(masters, verdicts))


def left_out_frames(masters: Iterable[Built]) -> list[SetAside]:
    """Frames that were not stacked, a line a reason, with the quadrants that were made of the others."""
    lines = []
    for master in masters:
        quadrants: dict[str, list[int]] = defaultdict(list)
        for qid in QIDS:
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
