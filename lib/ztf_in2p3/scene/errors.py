"""What can be wrong with a scene."""

from __future__ import annotations

from ztf_in2p3.errors import BadData


class DegenerateScene(BadData):
    """The data cannot tell the transient from the galaxy beneath it."""


class NothingToFit(BadData):
    """No exposure is left in which the source could be measured."""
