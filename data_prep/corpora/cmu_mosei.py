"""CMU-MOSEI: sentences of more than 3,000 YouTube videos, scored -3 to 3 (Zadeh et al. 2018).

Layout of MMSA: `label.csv` and `Raw/<video_id>/<clip_id>.mp4`; see `data_prep.corpora.mmsa`.
The official split has 16,326/1,871/4,659 sentences, whole videos in each.
Not in label.csv: the six emotions.
"""

from __future__ import annotations

from pathlib import Path

from data_prep.corpora.mmsa import MmsaCorpus, prepare_mmsa
from data_prep.engines import Workers
from data_prep.schema import Corpus

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


def prepare_cmu_mosei(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    text_only: bool = False,
    max_seconds: float | None = None,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir of CMU-MOSEI; see `prepare_mmsa`."""
    return prepare_mmsa(
        CMU_MOSEI,
        corpus_dir,
        out_dir,
        text_only=text_only,
        max_seconds=max_seconds,
        workers=workers,
        progress=progress,
    )
