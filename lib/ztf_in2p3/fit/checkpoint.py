"""Point from which an interrupted fit goes on: its parameters and what it had rejected, kept in a folder."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ztf_in2p3.fit.error_model import ErrorModel
from ztf_in2p3.fit.model import Floats, Model, Parts, changing
from ztf_in2p3.fit.solver import Search

STATE = "state.npz"


@dataclass(frozen=True, slots=True, eq=False)
class FitState:
    """A fit between two iterations."""

    p: Floats
    """Solution of the last round."""
    rough: bool
    """The next solution need not be to full accuracy."""
    rounds: int = 0
    """Solutions since the stars to be fitted were chosen."""
    earlier_rounds: int = 0
    """Before, with variable stars among them."""
    constant: bool = False
    """Variable stars have been set aside."""
    clip: float = float("inf")
    """Rejection threshold of the last round, standard deviations; it only ever falls."""
    restarts: int = 0
    """Times that parameters which had lost most of their measurements began anew."""
    search: Search | None = None
    """The solution under way."""
    revisions: int = 0
    """Times that errors and priors were looked at, and changed if need be."""
    errors: ErrorModel | None = None
    """What the claimed errors were changed by."""
    prior_weight: Floats | None = None
    """(parameter,): priors, where they were changed."""


SIMPLE = ("p", "rough", "rounds", "earlier_rounds", "constant", "clip", "restarts", "revisions")
"""Fields of a state that are one array or number."""


class Checkpoint:
    """The last state of a fit; written whole or not at all, at any moment of a crash.

    Parameters
    ----------
    folder
        Of this fit alone; made if it is not there.
    key
        Says which fit of which data: a state under another key is ignored, as is one that is not whole.
    every
        Iterations of a solution between two records.
    """

    def __init__(self, folder: Path, key: str, *, every: int = 20) -> None:
        self.folder, self.key, self.every = folder, key, every
        self._number = 0

    def save(self, model: Model, state: FitState, *, rows_changed: bool) -> None:
        """Rows first, under a new name; then the state, which says which rows are its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if rows_changed or not self._rows.exists():
            self._number += 1
            shutil.rmtree(self._rows, ignore_errors=True)  # of a run that died before it told of them
            self._rows.mkdir()
            list(model.each(_save_rows, self._rows))
        arrays: dict[str, Any] = {name: getattr(state, name) for name in SIMPLE}
        arrays |= {"key": self.key, "number": self._number}
        if state.search:
            arrays |= {f"search_{name}": getattr(state.search, name) for name in Search.__slots__}
        if state.errors:
            arrays |= {f"errors_{name}": getattr(state.errors, name) for name in ErrorModel.__slots__}
        if state.prior_weight is not None:
            arrays["prior_weight"] = state.prior_weight
        fresh = self.folder / f"new_{STATE}"
        with fresh.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / STATE)
        for old in self.folder.glob("rows_*"):
            if old != self._rows:
                shutil.rmtree(old, ignore_errors=True)

    def load(self, model: Model) -> FitState | None:
        """The state if there is one of this fit, whole; the model's rejected rows are then those of it."""
        record = self._read()
        if record is None or record["p"].shape != (model.n_param,) or not self._complete(model, int(record["number"])):
            self.clear()
            return None
        self._number = int(record["number"])
        list(model.each(_load_rows, self._rows))
        search = None
        if "search_p" in record:
            search = Search(**{name: record[f"search_{name}"] for name in Search.__slots__})
            search = replace(search, iteration=int(search.iteration), earlier=list(search.earlier))
        errors = None
        if "errors_polynomial" in record:
            errors = ErrorModel(**{name: record[f"errors_{name}"] for name in ErrorModel.__slots__})
            errors = replace(errors, middle=float(errors.middle), half=float(errors.half))
        return FitState(
            record["p"],
            bool(record["rough"]),
            int(record["rounds"]),
            int(record["earlier_rounds"]),
            bool(record["constant"]),
            float(record["clip"]),
            int(record["restarts"]),
            search,
            int(record["revisions"]),
            errors,
            record.get("prior_weight"),
        )

    def _read(self) -> dict[str, Any] | None:
        try:
            with np.load(self.folder / STATE) as file:
                record = dict(file)
        except (OSError, ValueError, zipfile.BadZipFile):
            return None
        return record if str(record["key"]) == self.key else None

    def _complete(self, model: Model, number: int) -> bool:
        return all(model.each(_rows_are_there, self.folder / f"rows_{number}"))

    def clear(self) -> None:
        """Forget; a fit that came to its end needs no state."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _rows(self) -> Path:
        return self.folder / f"rows_{self._number}"


def _save_rows(parts: Parts, folder: Path) -> None:
    for part in parts:
        with (folder / _name(part.star_id)).open("wb") as file:
            np.savez(file, kept=np.packbits(part.kept), set_aside=part.set_aside, n_row=len(part.y))


def _rows_are_there(parts: Parts, folder: Path) -> bool:
    """Whether somebody who tidied up left all of them, and they are of these measurements."""
    for part in parts:
        try:
            with np.load(folder / _name(part.star_id)) as file:
                if int(file["n_row"]) != len(part.y) or len(file["set_aside"]) != part.n_star:
                    return False
        except (OSError, ValueError, zipfile.BadZipFile):
            return False
    return True


def _load_rows(parts: Parts, folder: Path) -> None:
    for part in changing(parts):
        with np.load(folder / _name(part.star_id)) as file:
            part.kept[:] = np.unpackbits(file["kept"], count=len(part.y))
            part.set_aside[:] = file["set_aside"]


def _name(star_id: np.ndarray) -> str:
    """A partition is named by its first star, which is in no other, wherever it is held."""
    return f"{star_id[0]}_{len(star_id)}.npz"
