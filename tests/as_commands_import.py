"""fairseq and transformers, imported as the commands of the project do.

Libraries that few parts of them use, such as torch's compiler, are half of the time in which a
process of tests, or the server that others are forked from, starts.
"""

from emo_fairseq.compat.deferred_imports import import_fairseq, import_transformers_models

tasks = import_fairseq("fairseq.tasks")
import_transformers_models()
