"""Where work on many rows runs: threads or processes of this machine, or a Ray cluster.

Commands pass a function and its units of work to :func:`open_pool`, or rows to :func:`ordered_map`;
results come back in order, and are the same on every engine.
"""

from data_prep.engines.engine import LOCAL, RAY, Engine, Workers, as_engine, default_workers
from data_prep.engines.mapping import UnitMap, open_pool, ordered_map

__all__ = [
    "LOCAL",
    "RAY",
    "Engine",
    "UnitMap",
    "Workers",
    "as_engine",
    "default_workers",
    "open_pool",
    "ordered_map",
]
