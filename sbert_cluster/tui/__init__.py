"""The terminal UI: view models that know no screen, and screens that compute nothing."""

import os

# Read when polars is first loaded: memory that it needed for a moment goes back to the system, so
# that a run of any size can be looked at beside other work.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")
