"""The corpora that can be prepared: one row a corpus, which every list and help text is made from.

To add a corpus, write `corpora/<corpus>.py` with a function

    prepare_<corpus>(corpus_dir, out_dir, *, ...) -> Corpus

that writes the data dir and returns its card; ``add_arguments(parser)`` if it takes options, each
under the name of its keyword; and a row here. `data_prep/<corpus>.py` makes it a command.
`recognizes` finds folders of the corpus by names of its official layout, without reading rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from data_prep.corpora import (
    cmu_mosei,
    cmu_mosi,
    crema_d,
    emobank,
    emobox,
    emorynlp,
    goemotions,
    iemocap,
    meld,
    mmsa,
    msp_improv,
    msp_podcast,
    ravdess,
    toy,
)
from data_prep.schema import Corpus


def _none(parser: argparse.ArgumentParser) -> None:
    """Add no option."""


def _layout(*patterns: str) -> Callable[[Path], bool]:
    """Return whether a folder has a match of each pattern: names of an official layout."""
    return lambda folder: all(any(folder.glob(pattern)) for pattern in patterns)


def _never(folder: Path) -> bool:
    return False


def _no_videos(folder: Path, options: Collection[str]) -> bool:
    return False


@dataclass(frozen=True)
class Recipe:
    """How one corpus becomes a data dir.

    Attributes:
        prepare: ``prepare(corpus_dir, out_dir, *, <the options>)``, which writes it.
        description: what the corpus is, its layout and what is not used; the first line is its
            entry in lists.
        needs: what `corpus_dir` holds; empty for a corpus that is generated.
        add_arguments: adds the options, each with the name of its keyword as its destination.
        reads_audio: whether `prepare` takes `workers` and `progress`.
        target: what to train for, where it is not the emotion.
        recognizes: folder -> whether it holds the corpus, by names of its official layout.
        has_videos: (folder, options) -> whether rows get videos, by the words of the command line.
    """

    prepare: Callable[..., Corpus]
    description: str | None
    needs: str
    add_arguments: Callable[[argparse.ArgumentParser], None] = _none
    reads_audio: bool = True
    target: str = ""
    recognizes: Callable[[Path], bool] = _never
    has_videos: Callable[[Path, Collection[str]], bool] = _no_videos

    @property
    def summary(self) -> str:
        """The corpus in one line."""
        return (self.description or "").partition("\n")[0]


CORPORA: dict[str, Recipe] = {
    "cmu_mosei": Recipe(
        cmu_mosei.prepare_cmu_mosei,
        cmu_mosei.__doc__,
        mmsa.NEEDS,
        mmsa.add_arguments,
        target="sentiment_score",
        recognizes=lambda folder: mmsa.recognizes(folder, cmu_mosei.CMU_MOSEI),
        has_videos=mmsa.has_videos,
    ),
    "cmu_mosi": Recipe(
        cmu_mosi.prepare_cmu_mosi,
        cmu_mosi.__doc__,
        mmsa.NEEDS,
        mmsa.add_arguments,
        target="sentiment_score",
        recognizes=lambda folder: mmsa.recognizes(folder, cmu_mosi.CMU_MOSI),
        has_videos=mmsa.has_videos,
    ),
    "crema_d": Recipe(
        crema_d.prepare_crema_d,
        crema_d.__doc__,
        "folder with AudioWAV and processedResults",
        crema_d.add_arguments,
        recognizes=_layout(crema_d.VOTES, crema_d.AUDIO),
    ),
    "emobank": Recipe(
        emobank.prepare_emobank,
        emobank.__doc__,
        "folder with emobank.csv",
        emobank.add_arguments,
        reads_audio=False,
        target="vad",
        recognizes=_layout("emobank.csv"),
    ),
    "emobox": Recipe(
        emobox.prepare_emobox,
        emobox.__doc__,
        "folder of one corpus, such as EmoBox/data/iemocap",
        emobox.add_arguments,
        recognizes=_layout("fold_*/*_train_fold_*.jsonl", "label_*.json"),
    ),
    "emorynlp": Recipe(
        emorynlp.prepare_emorynlp,
        emorynlp.__doc__,
        "folder with emorynlp_train_final.csv ...",
        reads_audio=False,
        recognizes=_layout("emorynlp_train_final.csv"),
    ),
    "goemotions": Recipe(
        goemotions.prepare_goemotions,
        goemotions.__doc__,
        "folder with train.tsv and emotions.txt",
        goemotions.add_arguments,
        reads_audio=False,
        recognizes=_layout("train.tsv", "emotions.txt"),
    ),
    "iemocap": Recipe(
        iemocap.prepare_iemocap,
        iemocap.__doc__,
        "folder with Session1 ... Session5",
        iemocap.add_arguments,
        recognizes=_layout("Session[1-5]/dialog/EmoEvaluation"),
    ),
    "meld": Recipe(
        meld.prepare_meld,
        meld.__doc__,
        "folder with {train,dev,test}_sent_emo.csv",
        meld.add_arguments,
        recognizes=_layout("train_sent_emo.csv"),
        has_videos=meld.has_videos,
    ),
    "msp_improv": Recipe(
        msp_improv.prepare_msp_improv,
        msp_improv.__doc__,
        "folder with Evalution.txt and Audio",
        msp_improv.add_arguments,
        recognizes=lambda folder: any((folder / name).is_file() for name in msp_improv.LABEL_FILES),
    ),
    "msp_podcast": Recipe(
        msp_podcast.prepare_msp_podcast,
        msp_podcast.__doc__,
        "folder with Labels/labels_consensus.csv and Audios",
        msp_podcast.add_arguments,
        recognizes=_layout(msp_podcast.TABLES),
    ),
    "ravdess": Recipe(
        ravdess.prepare_ravdess,
        ravdess.__doc__,
        "folder with Actor_01 ... Actor_24",
        ravdess.add_arguments,
        recognizes=_layout("Actor_[0-9][0-9]/[0-9][0-9]-[0-9][0-9]-[0-9][0-9]-*"),
    ),
    "toy": Recipe(
        toy.prepare_toy,
        toy.__doc__,
        "",
        toy.add_arguments,
        reads_audio=False,
    ),
}
