"""What a first real night is compared with: every fact that the reduction takes for granted, checked on its own.

The modules hold pure checks, from files and answers to findings; fetching, asking servers and showing is up to
the caller (`tasks.doctor`).
"""

from __future__ import annotations

from ztf_in2p3.doctor.findings import Check, Examination, Finding, Result, Status, differs, failed, ok, skipped

__all__ = ["Check", "Examination", "Finding", "Result", "Status", "differs", "failed", "ok", "skipped"]
