"""What the server of forked processes does once, before it forks, such as to compose a command.

It is imported from the folder of the repository, which alone is on the path of that server.
"""

import gc

import pandas as pandas  # which pyarrow imports where it is given a first value of Python

from tests.absent_accelerators import seed_none_that_is_absent
from tests.composed_configs import compose_before, remember
from tests.fast_unpickling import unpickle_fast
from tests.remembered_documents import remember_documents
from tests.remembered_frames import remember_frames
from tests.unsynced_files import do_not_sync

do_not_sync()
seed_none_that_is_absent()
remember()
remember_frames()
remember_documents()
unpickle_fast()
compose_before()
# What stays is not searched for garbage in each process, as in conftest.py.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)
