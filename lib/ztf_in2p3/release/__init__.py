"""A release: which nights, by which recipes, what of it is there, what is to be made and what cannot be."""

from __future__ import annotations

from ztf_in2p3.release.definition import Release as Release
from ztf_in2p3.release.plan import plan_of as plan_of
