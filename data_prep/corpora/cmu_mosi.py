"""CMU-MOSI: opinions in 93 YouTube videos, each sentence scored -3 to 3 (Zadeh et al. 2016).

Layout of MMSA: `label.csv` and `Raw/<video_id>/<clip_id>.mp4`; see `data_prep.corpora.mmsa`.
The official split has 1,284/229/686 sentences, whole videos in each.
"""

from __future__ import annotations

from functools import partial

from data_prep.corpora.mmsa import MmsaCorpus, prepare_mmsa

CMU_MOSI = MmsaCorpus(
    "cmu_mosi",
    official={"train": 1284, "valid": 229, "test": 686},
    video_is_speaker=True,
    citation=(
        "Zadeh, Zellers, Pincus, Morency (2016). MOSI: Multimodal Corpus of Sentiment Intensity "
        "and Subjectivity Analysis in Online Opinion Videos. arXiv:1606.06259. Layout: Mao, Yuan, "
        "Xu, Yu, Liu, Gao (2022). M-SENA: An Integrated Platform for Multimodal Sentiment "
        "Analysis. ACL."
    ),
    notes=(
        (
            "speaker is the video: one person speaks in each; by the paper there are 89 in the 93 "
            "videos, so that a few people go by two names"
        ),
    ),
)

prepare_cmu_mosi = partial(prepare_mmsa, CMU_MOSI)
