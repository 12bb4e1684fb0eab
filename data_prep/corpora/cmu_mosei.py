"""CMU-MOSEI: sentences of more than 3,000 YouTube videos, scored -3 to 3 (Zadeh et al. 2018).

Layout of MMSA: `label.csv` and `Raw/<video_id>/<clip_id>.mp4`; see `data_prep.corpora.mmsa`.
The official split has 16,326/1,871/4,659 sentences, whole videos in each.
Not in label.csv: the six emotions.
"""

from __future__ import annotations

from functools import partial

from data_prep.corpora.mmsa import MmsaCorpus, prepare_mmsa

CMU_MOSEI = MmsaCorpus(
    "cmu_mosei",
    official={"train": 16326, "valid": 1871, "test": 4659},
    video_is_speaker=False,
    citation=(
        "Zadeh, Liang, Poria, Cambria, Morency (2018). Multimodal Language Analysis in the Wild: "
        "CMU-MOSEI Dataset and Interpretable Dynamic Fusion Graph. ACL. Layout: Mao, Yuan, Xu, Yu, "
        "Liu, Gao (2022). M-SENA: An Integrated Platform for Multimodal Sentiment Analysis. ACL."
    ),
    notes=(
        (
            "speaker is empty: several videos may be of one person, and the files do not name it; "
            "by its authors no person is in two splits"
        ),
        "some clips do not hold the words of their row: their times were wrong when MMSA cut them",
    ),
)

prepare_cmu_mosei = partial(prepare_mmsa, CMU_MOSEI)
