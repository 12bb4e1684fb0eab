"""The card of a model folder: README.md, from what the run, its data and its predictions say.

Nothing in it is guessed. What no file says is called unknown; a figure stands in it only if it
follows from a predictions file that was given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_prep.manifest.provenance import allowed_leaks
from data_prep.schema import CORPUS_FILE, Corpus, read_corpus, write_atomically
from emo_fairseq.export.card_check import PredictionsChecker
from emo_fairseq.export.card_figures import Scored, score_file
from emo_fairseq.export.card_options import changed_options
from emo_fairseq.inference.loading import LoadedModel, read_checkpoint
from emo_fairseq.inference.model_folder import read_model_folder
from emo_fairseq.types import (
    SPEECH,
    TEXT,
)

CARD_FILE = "README.md"


@dataclass(frozen=True)
class CardFacts:
    """All that a card is written from.

    Attributes:
        name: heading.
        task: of the model folder; knows target, labels and encoders.
        parameters: how many it has.
        config: of the checkpoint.
        checkpoint: the name of its file, its updates and epochs.
        corpus: of the data dir, or None.
        scored: what predictions files say.
    """

    name: str
    task: Any
    parameters: int
    config: Any
    checkpoint: tuple[str, int, int]
    corpus: Corpus | None
    scored: Sequence[Scored]

    @property
    def options(self) -> Mapping[str, Mapping[str, str]]:
        """Those that differ from their defaults, by group."""
        return changed_options(self.config, self.task.encoder_cards())

    @property
    def fold(self) -> str | None:
        """That it was trained on, such as ``leave_one_session_out/1``."""
        fold = self.config.task.get("fold")
        return None if fold is None else str(fold)


def write_card(
    folder: Path,
    checkpoint: Path,
    data: Path | None = None,
    predictions: Sequence[Path] = (),
    name: str | None = None,
) -> Path:
    """Write the card of a model folder into it.

    Args:
        folder: of :func:`emo_fairseq.export.model_folder.write_model_folder`.
        checkpoint: that the folder was made of.
        data: the data dir, whose corpus.yaml is read; by default that of the training, if it is
            still there.
        predictions: files of ``--save-predictions`` with this model.
        name: heading; by default the folder's name.

    Returns:
        The card.

    Raises:
        UsageError: predictions of other labels than the model's, of utterances that the corpus has
            not, or other ones than the model gives for the same utterances.
        data_prep.errors.ManifestError: `data` was given, and has no corpus.yaml.
    """
    saved = read_checkpoint(checkpoint)
    loaded = read_model_folder(folder)
    place = Path(saved["cfg"].task.data) if data is None else data
    has_corpus = data is not None or (place / CORPUS_FILE).is_file()
    corpus = read_corpus(place) if has_corpus else None
    facts = CardFacts(
        name=name or folder.resolve().name,
        task=loaded.task,
        parameters=sum(p.numel() for p in loaded.model.parameters()),
        config=saved["cfg"],
        checkpoint=(checkpoint.name, _updates(saved), _epochs(saved)),
        corpus=corpus,
        scored=_scored(loaded, saved["cfg"], place if has_corpus else None, predictions),
    )
    write_atomically(folder / CARD_FILE, render_card(facts))
    return folder / CARD_FILE


def _scored(
    loaded: LoadedModel, config: Any, data: Path | None, files: Sequence[Path]
) -> list[Scored]:
    if not files:
        return []
    task, checker = loaded.task, PredictionsChecker(loaded, config, data)
    return [
        one._replace(origin=" ".join([checker.check(file, one.split), *_leaks(file)]))
        for file in files
        for one in score_file(file, task.labels, task.target.has_labels)
    ]


def _leaks(file: Path) -> list[str]:
    return [f"Leak allowed: {leak}." for leak in allowed_leaks(file)]


def render_card(facts: CardFacts) -> str:
    """The card as Markdown with YAML front matter."""
    front = yaml.safe_dump(_front_matter(facts), sort_keys=False, allow_unicode=True)
    sections = [
        f"# {facts.name}",
        _summary_section(facts),
        _usage_section(facts),
        _training_data_section(facts),
        _training_section(facts),
        _figures_section(facts),
        _limits_section(facts),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(sections) + "\n"


def _front_matter(facts: CardFacts) -> dict[str, Any]:
    modalities = facts.task.modalities
    of_speech = SPEECH in modalities
    found: dict[str, Any] = {
        "license": "unknown",  # a run does not say under which its weights are given out
        "library_name": "emo_fairseq",
        "tags": ["emotion-recognition", facts.task.target.name, *modalities],
    }
    if facts.corpus is not None:
        found["datasets"] = [facts.corpus.name]
    if names := sorted({name for one in facts.scored for name in one.figures}):
        found["metrics"] = names
    if of_speech or TEXT in modalities:
        found["pipeline_tag"] = "audio-classification" if of_speech else "text-classification"
    return found


def _updates(saved: Mapping[str, Any]) -> int:
    return int(saved["optimizer_history"][-1]["num_updates"])


def _epochs(saved: Mapping[str, Any]) -> int:
    iterator = saved["extra_state"]["train_iterator"]
    # At the end of an epoch fairseq writes down the one that would come next.
    is_at_end = iterator.get("iterations_in_epoch") == 0
    return max(1, int(iterator["epoch"]) - is_at_end)
