"""The task ``emotion_prediction``.

fairseq imports this package for ``--user-dir``. Importing it registers the whole plugin: fairseq
finds tasks and models by itself, but neither criterions nor optimizers.
"""

import emo_fairseq

emo_fairseq.register()
