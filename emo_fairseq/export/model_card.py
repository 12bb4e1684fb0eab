"""Write the card of a model folder: README.md, from its run, its data and its predictions.

Nothing in it is guessed. What is in no file is called unknown, and it shows a metric only if that
follows from a predictions file that was given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from data_prep.files.replacing import write_atomically
from data_prep.schema import CORPUS_FILE, read_corpus
from emo_fairseq.export.card_sections import (
    UNKNOWN,
    CardFacts,
    graphs_section,
    limits_section,
    metrics_section,
    summary_section,
    training_data_section,
    training_section,
    usage_section,
)
from emo_fairseq.export.graphs import GraphReport
from emo_fairseq.export.model_index import hub_results
from emo_fairseq.export.scored_predictions import PredictionsChecker
from emo_fairseq.inference.checkpoint import read_checkpoint
from emo_fairseq.inference.model_folder.files import CARD_FILE
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.modalities import SPEECH, TEXT


def write_card(
    folder: Path,
    checkpoint: Path,
    data: Path | None = None,
    predictions: Sequence[Path] = (),
    name: str | None = None,
    graphs: Sequence[GraphReport] = (),
) -> Path:
    """Write the card of a model folder into it.

    Args:
        folder: of :func:`emo_fairseq.export.model_folder.write_model_folder`.
        checkpoint: that the folder was made of.
        data: the data dir, whose corpus.yaml is read; by default that of the training, if it is
            still there.
        predictions: files of ``--save-predictions`` with this model.
        name: heading; by default the folder's name.
        graphs: of :func:`emo_fairseq.export.graphs.export_graphs`.

    Returns:
        The path of the card.

    Raises:
        UsageError: predictions of other labels than the model's, of utterances that the corpus does
            not have, or other ones than the model gives for the same utterances.
        data_prep.errors.ManifestError: `data` was given, and has no corpus.yaml.
    """
    saved = read_checkpoint(checkpoint)
    loaded = read_model_folder(folder)
    data_dir = Path(saved["cfg"].task.data) if data is None else data
    has_corpus = data is not None or (data_dir / CORPUS_FILE).is_file()
    checker = PredictionsChecker(loaded, saved["cfg"], data_dir if has_corpus else None)
    facts = CardFacts(
        name=name or folder.resolve().name,
        state=loaded.state,
        n_parameters=sum(p.numel() for p in loaded.model.parameters()),
        config=saved["cfg"],
        checkpoint=checkpoint.name,
        updates=int(saved["optimizer_history"][-1]["num_updates"]),
        epoch=_epoch(saved["extra_state"]["train_iterator"]),
        probe=saved["task_state"].get("probe", {}),
        corpus=read_corpus(data_dir) if has_corpus else None,
        scored=[scored for file in predictions for scored in checker.score(file)],
        graphs=graphs,
    )
    write_atomically(folder / CARD_FILE, render_card(facts))
    return folder / CARD_FILE


def _epoch(iterator: Mapping[str, Any]) -> int:
    # At the end of an epoch fairseq saves the number of the next one.
    is_at_end = iterator.get("iterations_in_epoch") == 0
    return max(1, int(iterator["epoch"]) - is_at_end)


def render_card(facts: CardFacts) -> str:
    """Return the card as Markdown with YAML front matter."""
    front = yaml.safe_dump(_front_matter(facts), sort_keys=False, allow_unicode=True)
    sections = [
        f"# {facts.name}",
        summary_section(facts),
        usage_section(facts),
        training_data_section(facts),
        training_section(facts),
        metrics_section(facts),
        *([graphs_section(facts.graphs)] if facts.graphs else []),
        limits_section(facts),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(sections) + "\n"


def _front_matter(facts: CardFacts) -> dict[str, Any]:
    modalities = facts.state.modalities
    of_speech = SPEECH in modalities
    front: dict[str, Any] = {
        "license": "unknown",  # no file of a run states that of its weights
        "library_name": "emo_fairseq",
        "tags": ["emotion-recognition", facts.state.target.name, *modalities],
    }
    if facts.corpus is not None:
        front["datasets"] = [facts.corpus.name]
    specs = [encoder.spec.partition(":") for encoder in facts.state.encoders.values()]
    if on_hub := sorted({source for kind, _, source in specs if kind == "hf" and "/" in source}):
        front["base_model"] = [source.partition("@")[0] for source in on_hub]
    if of_speech or TEXT in modalities:
        front["pipeline_tag"] = "audio-classification" if of_speech else "text-classification"
    splits = [(scored.split, scored.metrics) for scored in facts.scored]
    corpus = UNKNOWN if facts.corpus is None else facts.corpus.name
    task = front.get("pipeline_tag", "video-classification")
    if results := list(hub_results(splits, corpus, task, facts.fold)):
        metrics = [metric for result in results for metric in result["metrics"]]
        front["metrics"] = sorted({metric["type"] for metric in metrics})
        front["model-index"] = [{"name": facts.name, "results": results}]
    return front
