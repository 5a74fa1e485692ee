"""A store looked at from outside: what it holds, of what that was made, what is wrong with it, what follows from what.

Nothing here needs a server.  Only `retract` and `collect_garbage` change a store, and only when told to.
"""

from __future__ import annotations

from ztf_in2p3.audit.holdings import Holdings as Holdings
from ztf_in2p3.audit.holdings import holdings_of as holdings_of
