"""CMU-MOSEI: sentences of more than 3,000 YouTube videos, scored -3 to 3 (Zadeh et al. 2018).

Read in MMSA's layout: `label.csv` and `Raw/<video_id>/<clip_id>.mp4`; see `data_prep.corpora.mmsa`.
The official split has 16,326/1,871/4,659 sentences, whole videos in each.
Not used: the six emotions, which MMSA's label.csv leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_prep.corpora import mmsa
from data_prep.corpora.mmsa import MmsaCorpus

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
            "speaker is empty: several videos may be of one person, and nothing here tells which; "
            "by its authors no person is in two splits"
        ),
        "some clips do not hold the words of their row: their times were wrong when MMSA cut them",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; `mmsa.prepare_mmsa(CMU_MOSEI, ...)` is the function."""
    return mmsa.main(CMU_MOSEI, __doc__ or "", arguments)
