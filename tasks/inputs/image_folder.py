"""Images of a folder, of any camera, as exposures of targets; each is used or has a reason."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tasks.inputs.targets import Curve, TargetExposure, choose, near_targets
from tasks.runtime.outcome import Outcome, SetAside
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.products import Built, ProductRef, Value, image_mask_ref, image_ref
from ztf_in2p3.recipes import LightCurveRecipe
from ztf_in2p3.scene.curve_table import Unused
from ztf_in2p3.scene.images import ImageFile, find_images, image_facts, why_unknown
from ztf_in2p3.scene.target import Target
from ztf_in2p3.store import Store
from ztf_in2p3.store.reading import as_input

ZTF_FILTERS = {str(filter) for filter in Filter}
"""Bands that need no translation: an image in one that no target asks for is passed over."""
SAME_TIME = 0.5
"""Seconds; images that show a target at times nearer than this are of one exposure."""


def import_images(folder: Path, targets: Sequence[Target], store: Store) -> Outcome:
    """Bring those images of a folder into the store that a target may be on: links where they can be, else copies.

    Images that cannot be read, and those of which place or date are unknown, are set aside.

    Raises
    ------
    ValueError
        There is no such folder.
    """
    built, aside = [], []
    for name, file in _named(list(find_images(folder)), folder):
        label = str(file.path.relative_to(folder))
        try:
            facts = image_facts(file.path)
            if problem := why_unknown(facts):
                raise BadData(f"{label}: {problem}")
        except BadData as error:
            aside.append(SetAside.because(label, error))
            continue
        if near_targets(facts, targets):
            built.append(_imported(image_ref(name, file.path.name), file.path, facts, store))
            if file.mask is not None:
                built.append(_imported(image_mask_ref(name, file.mask.name), file.mask, {}, store))
    return Outcome(built, aside)


def _named(files: Sequence[ImageFile], folder: Path) -> Iterator[tuple[str, ImageFile]]:
    """Images with a name of their own: the file's, with the folders above it where several share that."""
    times = Counter(file.stem for file in files)
    taken: Counter[str] = Counter()
    for file in files:
        above = "_".join(file.path.relative_to(folder).parts[:-1])
        name = file.stem if times[file.stem] == 1 or not above else f"{above}_{file.stem}"
        taken[name] += 1  # x.fits beside x.fits.fz
        yield name if taken[name] == 1 else f"{name}_{taken[name]}", file


def _imported(ref: ProductRef, source: Path, facts: Mapping[str, Value], store: Store) -> Built:
    def place(path: Path) -> Mapping[str, Value]:
        try:
            os.link(source.resolve(), path)
        except OSError:  # another file system
            shutil.copyfile(source, path)
        return facts

    status = source.stat()
    edition = as_input(ref, [status.st_size, status.st_mtime_ns, dict(facts)])
    return store.build(ref, None, [edition], place)


def exposures_of_images(
    images: Iterable[Built], masks: Iterable[Built], store: Store, targets: Sequence[Target], recipe: LightCurveRecipe
) -> tuple[list[TargetExposure], dict[Curve, list[Unused]]]:
    """Images from elsewhere that have a target on them; and those that do, but are not used."""
    mask_of = {mask.ref.data_id: mask for mask in masks}
    candidates = []
    for image in images:
        near = near_targets(image.about, targets)
        name = image.about["band"]
        band = recipe.band(None if name is None else str(name))
        source = (image, *filter(None, [mask_of.get(image.ref.data_id)]))
        wanted = {target: band for target in near if band in target.bands}
        candidates.append((TargetExposure(image.ref.data_id, str(band), image, source), tuple(wanted), ""))
        if band in ZTF_FILTERS:
            continue
        for target in near:  # an unknown filter may be any of those asked for
            if target not in wanted:
                reason = _unknown_filter(name, target)
                candidates += [
                    (TargetExposure(image.ref.data_id, other, image, source), (target,), reason)
                    for other in target.bands
                ]
    return _once_each(*choose(candidates, store, recipe))


def _unknown_filter(name: Value, target: Target) -> str:
    said = f"its FILTER is {name!r}" if name else "its header has no FILTER"
    example = f"{name or 'its FILTER'}={target.bands[0]}"
    return f"{said}, none of the target's bands ({', '.join(target.bands)}); say in the recipe: filters = [{example!r}]"


def _once_each(
    target_exposures: Sequence[TargetExposure], unused: dict[Curve, list[Unused]]
) -> tuple[list[TargetExposure], dict[Curve, list[Unused]]]:
    """An exposure that is there under several names counts once, with its mask: copies make errors too small."""
    left_out = defaultdict(list, unused)
    times: dict[Curve, list[tuple[float, str]]] = defaultdict(list)
    kept = []
    for exposure in sorted(target_exposures, key=lambda exposure: (-len(exposure.inputs), exposure.image)):
        serving = []
        for target in exposure.targets:
            known = times[target, exposure.band]
            same = next((name for mjd, name in known if abs(mjd - exposure.mjd) * 86400 < SAME_TIME), "")
            if same:
                reason = f"the same exposure as {same}: both began within {SAME_TIME:g} s"
                left_out[target, exposure.band].append(Unused(exposure.image, exposure.mjd, reason))
            else:
                known.append((exposure.mjd, exposure.label))
                serving.append(target)
        if serving:
            kept.append(replace(exposure, targets=tuple(serving)))
    return kept, dict(left_out)
