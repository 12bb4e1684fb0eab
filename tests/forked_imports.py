"""What the server of forked processes imports first: fairseq and transformers as commands do.

Half of the time in which it starts would otherwise go into libraries that few of their parts use.
"""

from emo_fairseq.compat.deferred_imports import import_fairseq, import_transformers_models

import_fairseq()
import_transformers_models()
