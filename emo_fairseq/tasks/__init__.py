"""The task ``emotion_prediction``.

fairseq imports this package for ``--user-dir``. Importing it registers the whole plugin: fairseq
finds tasks and models by itself, but neither criterions nor optimizers. :mod:`.emotion_prediction`
is the task; the other modules are its parts:

| topic | modules |
|---|---|
| options | :mod:`.config`, :mod:`.run_config`, :mod:`.config_file`, :mod:`.environment` |
| state from the train split | :mod:`.fit_state`, :mod:`.class_prototypes`, :mod:`.provenance` |
| datasets | :mod:`.datasets`, :mod:`.training_order`, :mod:`.confidence` |
| model | :mod:`.model_building`, :mod:`.encoders`, :mod:`.standardization` |
| frozen encoders | :mod:`.frozen_encoders`, :mod:`.encoder_cache`, :mod:`.outputs_identity` |
| initial weights of heads | :mod:`.head_initialization` |
| weights of an earlier stage | :mod:`.warm_start`, :mod:`.stage`, :mod:`.stage_checks` |
| resumed trainings | :mod:`.resume` |
| pretraining, teachers | :mod:`.pretraining`, :mod:`.teachers` |
| linear probes | :mod:`.probe`, :mod:`.probe_options` |
| validation | :mod:`.loggers`, :mod:`.undefined_metric` |
| scoring | :mod:`.predicting`, :mod:`.scoring_files` |
"""

import emo_fairseq

emo_fairseq.register()
