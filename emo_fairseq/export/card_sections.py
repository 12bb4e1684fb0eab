"""The sections of a model card, each from its facts to Markdown."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.manifest.provenance import Provenance
from data_prep.schema import Corpus
from emo_fairseq.data.neighbors import has_context
from emo_fairseq.evaluation.bootstrap import NOT_SEEDS, OVER_UTTERANCES
from emo_fairseq.evaluation.names import display_name
from emo_fairseq.evaluation.tables import Table, format_interval, format_number, to_markdown
from emo_fairseq.export.graphs import GraphReport
from emo_fairseq.export.non_default_options import non_default_options
from emo_fairseq.export.scored_predictions import Scored
from emo_fairseq.modalities import LOG_MEL, PIXELS, SPEECH, TEXT, VIDEO, WAVEFORM
from emo_fairseq.targets import TargetKind
from emo_fairseq.task_state import TaskOptions, TaskState

UNKNOWN = "unknown"
_RARE = 0.05  # share of the training set below which a class is called rare
_COUNTS = ("rows", "hours", "with_text", "with_audio", "with_vad", "speakers", "dialogues")


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        name: heading.
        state: what the model reads and predicts.
        n_parameters: of the model.
        config: the whole configuration of the checkpoint.
        checkpoint: the name of its file.
        updates: that the checkpoint has had.
        epoch: in which it was saved.
        probe: how ``--probe`` has solved it, as
            :class:`emo_fairseq.checkpoint_schema.ProbeState` has it; empty of a model that was
            trained.
        corpus: of the data dir; None where that is gone.
        scored: metrics of the predictions files.
        graphs: that were written beside the weights.
    """

    name: str
    state: TaskState
    n_parameters: int
    config: Any
    checkpoint: str
    updates: int
    epoch: int
    probe: Mapping[str, Any]
    corpus: Corpus | None
    scored: Sequence[Scored]
    graphs: Sequence[GraphReport] = ()

    @property
    def fold(self) -> str | None:
        """PROTOCOL/FOLD that it was trained on, such as ``leave_one_session_out/1``."""
        fold = self.config.task.get("fold")
        return None if fold is None else str(fold)


def summary_section(facts: CardFacts) -> str:
    """Return what the model predicts, from which inputs."""
    state = facts.state
    names = ", ".join(state.labels)
    inputs = {TEXT: "what is said", SPEECH: "how it sounds", VIDEO: "how it looks"}
    source = " and ".join(inputs.get(name, name) for name in state.modalities)
    if not state.target.has_labels:
        output = f"numbers for {names}"
    elif state.target.kind is TargetKind.DISTRIBUTION:
        output = f"the share of annotators who choose each of {len(state.labels)} labels ({names})"
    elif state.n_outputs == len(state.labels):
        output = f"one of {len(state.labels)} labels ({names})"
    else:
        output = f"a yes or no for each of {len(state.labels)} labels ({names})"
    auxiliary = "".join(f" Beside it, {name}." for name in state.auxiliary)
    encoders = ", ".join(
        f"{name} {encoder.spec if encoder.source else 'scratch'}"
        for name, encoder in state.encoders.items()
    )
    return (
        f"Predicts {output} of an utterance from {source}.{auxiliary}\n\n"
        f"Encoders: {encoders}. {facts.n_parameters:,} parameters."
    )


def usage_section(facts: CardFacts) -> str:
    """Return how to load the model and predict with it."""
    in_python = {
        SPEECH: 'audio="speech.wav"',
        TEXT: 'text="What was said."',
        VIDEO: 'video="video.mp4"',
    }
    in_shell = {SPEECH: "speech.wav", VIDEO: "video.mp4", TEXT: '--text "What was said."'}
    given = set(facts.state.modalities)
    if VIDEO in given:
        given -= {SPEECH}  # a video has its sound
    arguments, words = (
        [inputs[name] for name in inputs if name in given] for inputs in (in_python, in_shell)
    )
    return (
        "## Use\n\n```python\nfrom emo_fairseq.models.roberta_emo import RobertaEMOModel\n\n"
        'predictor = RobertaEMOModel.from_pretrained("FOLDER")  # this one\n'
        f"print(predictor.predict({', '.join(arguments)}))\n```\n\n"
        f"or `emotion-recognize predict FOLDER {' '.join(words)}`. Nothing beside this folder is "
        "read, and no code in it is run."
    )


def training_data_section(facts: CardFacts) -> str:
    """Return the corpus and how it was divided."""
    corpus = facts.corpus
    if corpus is None:
        return f"## Training data\n\nCorpus: {UNKNOWN}; there was no corpus.yaml for this card."
    lines = [
        f"- Corpus: {corpus.name}",
        f"- License of the corpus: {corpus.license or UNKNOWN}",
        f"- Citation: {corpus.citation or UNKNOWN}",
        f"- Protocol: {corpus.protocol or UNKNOWN}",
    ]
    if facts.fold is not None:
        lines.append(f"- Fold: {facts.fold}; the counts below are of the splits that it divides")
    if corpus.vad is not None and facts.state.target.name == "vad":
        scales = ", ".join(f"{name} {value}" for name, value in corpus.vad.items())
        lines.append(f"- Scale of valence, arousal and dominance: 0 to 1 here; {scales}")
    dropped = Counter((row.what, row.reason) for row in corpus.dropped)
    lines += [f"- Left out: {n} × {name}: {reason}" for (name, reason), n in dropped.items()]
    lines += [f"- Note: {note}" for note in corpus.notes]
    table = _table(
        ["split"] + [name.replace("_", " ") for name in _COUNTS],
        [
            [split] + [counts.get(name, UNKNOWN) for name in _COUNTS]
            for split, counts in corpus.splits.items()
        ],
    )
    return "\n".join(["## Training data", "", *lines, "", table, "", _class_counts(facts)]).rstrip()


def _class_counts(facts: CardFacts) -> str:
    if facts.state.class_counts is None:
        return ""
    counts = zip(facts.state.labels, facts.state.class_counts, strict=True)
    of_votes = facts.state.target.kind is TargetKind.DISTRIBUTION
    by = "class, sums of the shares of votes, rounded up" if of_votes else "class"
    return f"Training set by {by}: " + ", ".join(f"{name} {n}" for name, n in counts) + "."


def training_section(facts: CardFacts) -> str:
    """Return which split chose the checkpoint, and the options that are not defaults."""
    rows = [
        [group.replace("_", " "), f"`{name}`", f"`{value}`"]
        for group, options in non_default_options(facts.config, facts.state.encoders).items()
        for name, value in options.items()
    ]
    return (
        f"## Training\n\n{_choice_of_checkpoint(facts)}\n\n"
        f"{_course_of_training(facts)}\n\n"
        f"Options that differ from the defaults:\n\n{_table(['group', 'option', 'value'], rows)}"
    )


def _course_of_training(facts: CardFacts) -> str:
    if not facts.probe:
        return f"Updates: {facts.updates:,}; epoch {facts.epoch}."
    also = ", those of the valid split among them" if facts.probe["refitted"] else ""
    return (
        f"A linear layer, solved with a regularization of strength {facts.probe['strength']:g} on "
        f"{facts.probe['rows']:,} rows{also}, without updates."
    )


def _choice_of_checkpoint(facts: CardFacts) -> str:
    saving, file = facts.config.checkpoint, facts.checkpoint
    split, metric = facts.config.dataset.valid_subset, saving.best_checkpoint_metric
    suffix = re.escape(str(saving.get("checkpoint_suffix") or ""))
    if re.fullmatch(rf"checkpoint(_last|\d+|_\d+_\d+){suffix}\.pt", file):
        return f"The weights are those of `{file}`, when it was saved; no split has chosen them."
    best = "largest" if saving.maximize_best_checkpoint_metric else "smallest"
    if re.fullmatch(rf"checkpoint\.best_{re.escape(str(metric))}_[-\d.]+{suffix}\.pt", file):
        text = f"The {split} split chose the checkpoint: one of those with the {best} {metric}."
    elif re.fullmatch(rf"checkpoint_best{suffix}\.pt", file):
        text = f"The {split} split chose the checkpoint: that with the {best} {metric}."
    else:
        return f"The weights are those of `{file}`; what chose them is not known."
    if "test" in str(split).split(","):
        text += " The test split took part in that choice, so metrics on it are optimistic."
    return text


def metrics_section(facts: CardFacts) -> str:
    """Return the metrics of predictions files."""
    if not facts.scored:
        return (
            "## Metrics\n\nUnknown: no predictions file was given for this card "
            "(`emotion-recognize export … --predictions FILE`)."
        )
    tables = []
    for scored in facts.scored:
        rows = [
            [display_name(key), format_number(x.value, 4), _interval(x.value, x.low, x.high)]
            for key, x in scored.metrics.items()
        ]
        tables.append(
            f"{scored.split}, {scored.n_rows:,} utterances (`{scored.file}`):\n\n"
            + _table(["metric", "value", f"95 % interval, {OVER_UTTERANCES}"], rows)
            + f"\n\n{scored.origin}"
        )
    return "\n\n".join(["## Metrics", *tables, f"{NOT_SEEDS[0].upper()}{NOT_SEEDS[1:]}."])


def graphs_section(graphs: Sequence[GraphReport]) -> str:
    """Return the graphs, and what their precision costs in the metrics."""
    first = graphs[0].measured
    keys = [] if first is None else list(first.metrics)
    rows = []
    for graph in graphs:
        precision = " ".join(filter(None, (graph.precision, graph.quantization)))
        values = {} if graph.measured is None else graph.measured.metrics
        cells = [_with_loss(values[key], first.metrics[key]) for key in keys if first is not None]
        rows.append([f"`{graph.file}`", precision, format_number(graph.megabytes, 1), *cells])
    head = ["graph", "precision", "MB", *map(display_name, keys)]
    text = "`model.yaml` describes their inputs and outputs."
    if first is not None:
        text += (
            f" Metrics are those of {first.split}, {first.n_rows:,} utterances, predicted with "
            "each graph; in brackets the difference to fp32, in points of 100."
        )
    return f"## ONNX graphs\n\n{text}\n\n{_table(head, rows)}"


def _with_loss(value: float, reference: float) -> str:
    points = 100 * (value - reference)
    shown = format_number(value, 4)
    return shown if value == reference else f"{shown} ({points:+.2f})"


def limits_section(facts: CardFacts) -> str:
    """Return the intended use, and what is known to limit it."""
    lines = "\n".join(f"- {line}" for line in _limit_lines(facts))
    return (
        "## Intended use and limits\n\nFor research on how people label recorded utterances. It "
        "predicts what the annotators of its corpus would likely have said, not what anybody "
        f"feels: no decision about a person should rest on it.\n\n{lines}"
    )


def _limit_lines(facts: CardFacts) -> Iterator[str]:
    state, config = facts.state, facts.config
    yield f"Languages: {UNKNOWN}; the corpus card does not name any."
    yield _speakers(facts)
    if state.provenance is not None:
        record = Provenance.from_state(state.provenance, facts.name)
        yield from (f"Leak allowed in its training: {leak}." for leak in record.allowed)
    if note := state.transductive_note:
        yield (
            f"Figures on a whole split are transductive: {note}. A recording whose speaker is not "
            "given is normalized otherwise, with a warning."
        )
    if state.class_counts and sum(state.class_counts):
        counts = zip(state.labels, state.class_counts, strict=True)
        rare = [label for label, n in counts if n / sum(state.class_counts) < _RARE]
        if rare:
            yield f"Less than {_RARE:.0%} of the training set: {', '.join(rare)}; expect little."
    if SPEECH in state.modalities and state.encoders[SPEECH].input in (WAVEFORM, LOG_MEL):
        yield f"Audio is read up to {config.task.max_speech_seconds:g} s; the rest is truncated."
    if VIDEO in state.modalities and state.encoders[VIDEO].input == PIXELS:
        options = state.options
        faces = f", of faces that {options.face_detector} finds" if options.face_detector else ""
        yield (
            f"Of a video {options.frames_per_second:g} pictures a second are read{faces}, up to "
            f"{options.max_video_seconds:g} s; the rest is truncated."
        )
    if read := _describe_context(state.options):
        yield (
            f"It was trained and scored on turns in their dialogues: {read}. `predict` reads them "
            "where the dialogue is given. Without it a turn is predicted alone, with a warning, "
            "and the metrics do not hold."
        )
    if len(state.modalities) > 1 and not config.model.modality_dropout:
        yield (
            "It was trained without modality dropout: it has learned to do without a modality only "
            "from rows of its corpus that lack one, if there were any."
        )
    yield "Recording conditions, age, accent and culture of the speakers: unknown to this card."


def _describe_context(options: TaskOptions) -> str:
    """Return what of its dialogue is read with a turn; empty for nothing."""
    parts = []
    if has_context(options):
        parts.append(
            f"with each text those of up to {options.context_past} turns before and "
            f"{options.context_future} after it"
        )
    if options.has_dialogue_encoder:
        which = "those before it" if options.dialogue_causal else "the others"
        parts.append(f"with each turn {which}, among {options.dialogue_window} at most")
    return ", and ".join(parts)


def _speakers(facts: CardFacts) -> str:
    n_speakers = None
    if facts.corpus is not None and facts.fold is None:
        n_speakers = facts.corpus.splits.get("train", {}).get("speakers")
    if not n_speakers:
        return f"How many speakers it was trained on: {UNKNOWN}."
    return f"It was trained on {n_speakers} speakers; others may sound or write otherwise."


def _interval(value: float, *ends: float) -> str:
    return format_interval(ends, 4) if math.isfinite(value) else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return to_markdown(Table(head, [[str(cell) for cell in row] for row in rows])).rstrip("\n")
