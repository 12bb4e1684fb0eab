"""Write the card of a model folder: README.md, from its run, its data and its predictions.

Nothing in it is guessed. What no file says is called unknown, and it shows a metric only if that
follows from a predictions file that was given.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import yaml
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass.configs import OptimizationConfig
from fairseq.dataclass.utils import merge_with_parent
from fairseq.optim import OPTIMIZER_DATACLASS_REGISTRY
from fairseq.optim.lr_scheduler import LR_SCHEDULER_DATACLASS_REGISTRY
from omegaconf import OmegaConf

from data_prep.audio.segment import AudioSegment, audio_of
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.manifest.provenance import (
    Provenance,
    allowed_leaks,
    model_beside,
    transductive_notes,
)
from data_prep.schema import (
    CORPUS_FILE,
    Corpus,
    Utterance,
    read_corpus,
    read_manifest,
    write_atomically,
)
from data_prep.video.segment import VideoSegment, video_of
from emo_fairseq.checkpoint_schema import head_digest
from emo_fairseq.data.dialogue import has_context, has_turn
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.bootstrap import NOT_SEEDS, OVER_UTTERANCES, Estimate, estimates
from emo_fairseq.evaluation.names import OF_NUMBERS, OF_VOTES, display_name
from emo_fairseq.evaluation.predictions import PREDICTION_OF, PROBABILITY
from emo_fairseq.evaluation.statistics import LabelPredictions, Predictions, read_predictions
from emo_fairseq.evaluation.tables import Table, format_interval, format_number, to_markdown
from emo_fairseq.export.graphs import GraphReport
from emo_fairseq.export.model_index import hub_results
from emo_fairseq.inference.loading import read_checkpoint
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.running import LoadedModel
from emo_fairseq.models.architectures import default_sizes
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.options.checking import idle_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.options.option import Kind, names_of_kind, rules_of
from emo_fairseq.task_state import TaskOptions, TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.types import (
    LOG_MEL,
    NO_DIALOGUE_ENCODER,
    PIXELS,
    SPEECH,
    TEXT,
    VIDEO,
    WAVEFORM,
    TargetKind,
    default_fusion,
)

CARD_FILE = "README.md"


class Scored(NamedTuple):
    """The metrics of one split of a predictions file.

    Attributes:
        file: its name, without its folders.
        split: that was scored.
        n_rows: scored utterances.
        metrics: by their keys in :mod:`emo_fairseq.evaluation.names`.
        origin: whether the predictions are known to be this model's, as a sentence.
    """

    file: str
    split: str
    n_rows: int
    metrics: Mapping[str, Estimate]
    origin: str = ""


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
        _summary_section(facts),
        _usage_section(facts),
        _training_data_section(facts),
        _training_section(facts),
        _metrics_section(facts),
        *([_graphs_section(facts.graphs)] if facts.graphs else []),
        _limits_section(facts),
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
    corpus = _UNKNOWN if facts.corpus is None else facts.corpus.name
    task = front.get("pipeline_tag", "video-classification")
    if results := list(hub_results(splits, corpus, task, facts.fold)):
        metrics = [metric for result in results for metric in result["metrics"]]
        front["metrics"] = sorted({metric["type"] for metric in metrics})
        front["model-index"] = [{"name": facts.name, "results": results}]
    return front


# -- sections --------------------------------------------------------------------------------------

_UNKNOWN = "unknown"
_RARE = 0.05  # share of the training set below which a class is called rare
_COUNTS = ("rows", "hours", "with_text", "with_audio", "with_vad", "speakers", "dialogues")


def _summary_section(facts: CardFacts) -> str:
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


def _usage_section(facts: CardFacts) -> str:
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


def _training_data_section(facts: CardFacts) -> str:
    """Return the corpus and how it was divided."""
    corpus = facts.corpus
    if corpus is None:
        return f"## Training data\n\nCorpus: {_UNKNOWN}; there was no corpus.yaml for this card."
    lines = [
        f"- Corpus: {corpus.name}",
        f"- Licence of the corpus: {corpus.licence or _UNKNOWN}",
        f"- Citation: {corpus.citation or _UNKNOWN}",
        f"- Protocol: {corpus.protocol or _UNKNOWN}",
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
        ["split", *(name.replace("_", " ") for name in _COUNTS)],
        [
            [split, *(counts.get(name, _UNKNOWN) for name in _COUNTS)]
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


def _training_section(facts: CardFacts) -> str:
    """Return which split chose the checkpoint, and the options that are not defaults."""
    rows = [
        [group.replace("_", " "), f"`{name}`", f"`{value}`"]
        for group, options in changed_options(facts.config, facts.state.encoders).items()
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


def _metrics_section(facts: CardFacts) -> str:
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


def _graphs_section(graphs: Sequence[GraphReport]) -> str:
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


def _limits_section(facts: CardFacts) -> str:
    """Return the intended use, and what is known to limit it."""
    lines = "\n".join(f"- {line}" for line in _limit_lines(facts))
    return (
        "## Intended use and limits\n\nFor research on how people label recorded utterances. It "
        "predicts what the annotators of its corpus would likely have said, not what anybody "
        f"feels: no decision about a person should rest on it.\n\n{lines}"
    )


def _limit_lines(facts: CardFacts) -> Iterator[str]:
    state, config = facts.state, facts.config
    yield f"Languages: {_UNKNOWN}; the corpus card does not name any."
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
    if options.dialogue_encoder != NO_DIALOGUE_ENCODER:
        which = "those before it" if options.dialogue_causal else "the others"
        parts.append(f"with each turn {which}, among {options.dialogue_window} at most")
    return ", and ".join(parts)


def _speakers(facts: CardFacts) -> str:
    n_speakers = None
    if facts.corpus is not None and facts.fold is None:
        n_speakers = facts.corpus.splits.get("train", {}).get("speakers")
    if not n_speakers:
        return f"How many speakers it was trained on: {_UNKNOWN}."
    return f"It was trained on {n_speakers} speakers; others may sound or write otherwise."


def _interval(value: float, *ends: float) -> str:
    return format_interval(ends, 4) if math.isfinite(value) else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return to_markdown(Table(head, [[str(cell) for cell in row] for row in rows])).rstrip("\n")


# -- options that differ from their defaults -------------------------------------------------------


def changed_options(config: Any, encoders: Mapping[str, EncoderSpec]) -> dict[str, dict[str, str]]:
    """Return, by group (task, model and so on), the options that differ from their defaults.

    Files and folders are named without their path; options that do not act on this model are left
    out. A size that the architecture or ``scratch:SIZE`` sets is a default.

    Args:
        config: the whole configuration of a checkpoint.
        encoders: of the model.
    """
    left_out = _options_left_out(config, encoders)
    groups = {
        "task": EmotionPredictionConfig,
        "model": RobertaEMOConfig,
        "criterion": CRITERION_DATACLASS_REGISTRY.get(_name(config, "criterion")),
        "optimizer": OPTIMIZER_DATACLASS_REGISTRY.get(_name(config, "optimizer")),
        "lr_scheduler": LR_SCHEDULER_DATACLASS_REGISTRY.get(_name(config, "lr_scheduler")),
        "optimization": OptimizationConfig,
    }
    by_group = {}
    for group, schema in groups.items():
        options = config.get(group)
        if options is None or schema is None:
            continue
        name = {"name": str(options["_name"])} if options.get("_name") else {}
        defaults = _defaults(schema)
        if group == "model":
            defaults |= default_sizes(name.get("name"), encoders)
            defaults["fusion"] = default_fusion(len(encoders))
        if changed := {**name, **dict(_changed(options, defaults, left_out))}:
            by_group[group] = changed
    return by_group


def _name(config: Any, group: str) -> str:
    return str((config.get(group) or {}).get("_name"))


def _defaults(schema: type) -> dict[str, Any]:
    return {
        field.name: field.default if field.default_factory is MISSING else field.default_factory()
        for field in fields(schema)
    }


def _options_left_out(config: Any, encoders: Mapping[str, EncoderSpec]) -> set[str]:
    """Return options that had no effect, and those of the data and of the output."""
    task = merge_with_parent(EmotionPredictionConfig(), OmegaConf.create(config.task), True)
    model = merge_with_parent(RobertaEMOConfig(), OmegaConf.create(config.model), True)
    context = OptionContext(encoders, task, model=model)
    rules = rules_of(EmotionPredictionConfig) | rules_of(RobertaEMOConfig)
    not_settings = names_of_kind(EmotionPredictionConfig, Kind.DATA, Kind.OUTPUT)
    return {"_name", *idle_options(context, rules), *not_settings}


def _changed(
    options: Any, defaults: Mapping[str, Any], left_out: Collection[str]
) -> Iterator[tuple[str, str]]:
    values = OmegaConf.to_container(OmegaConf.create(options), enum_to_str=True)
    assert isinstance(values, dict)
    for name, value in sorted(values.items(), key=lambda item: str(item[0])):
        if name not in defaults or name in left_out or value is None:
            continue
        default = defaults[name]
        is_reference = isinstance(default, str) and default.startswith("${")  # to another option
        if not is_reference and _parts(value) != _parts(default):
            yield str(name), _without_folders(str(value))


def _parts(value: Any) -> list[float | str]:
    """Return the parts of a value in any notation: a list, or a tuple as fairseq's defaults are.

    >>> _parts([0.9, 0.999]) == _parts("(0.9,0.999)"), _parts(0.0) == _parts(0)
    (True, True)
    """
    return [_number(part.strip()) for part in str(value).strip("[]()").split(",")]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _without_folders(value: str) -> str:
    """Return a value without the folders of a path in it.

    >>> _without_folders("hf:/home/me/models/mpnet"), _without_folders("models/start.pt")
    ('hf:mpnet', 'start.pt')
    >>> _without_folders("0.1")
    '0.1'
    """
    kind, colon, path = value.rpartition(":")
    return f"{kind}{colon}{Path(path).name}" if "/" in path else value


# -- metrics of predictions files ------------------------------------------------------------------

_OF_LABELS = ("weighted_f1", "macro_f1", "uar", "wa")
_OF_AXIS = ("ccc", "mae")


def score_file(file: Path, labels: Sequence[str], has_labels: bool) -> list[Scored]:
    """Return the metrics of a predictions file, split by split.

    Args:
        file: what ``--save-predictions`` wrote.
        labels: of the model, in their order; or its axes.
        has_labels: whether it predicts labels, and not numbers.

    Raises:
        UsageError: no such file, no rows, or predictions of other labels or axes.
    """
    by_split = read_predictions(file)
    for scored in by_split.values():
        is_same_kind = isinstance(scored, LabelPredictions) is has_labels
        if not is_same_kind or scored.names != tuple(labels):
            names = ", ".join(scored.names) or "other things"
            raise UsageError(
                f"{file}: holds predictions of {names}, and the model gives "
                f"{', '.join(labels)}; give predictions of this model",
                "predictions-other-labels",
            )
    return [
        Scored(file.name, split, len(scored.ids), _estimates(scored))
        for split, scored in by_split.items()
    ]


def _estimates(scored: Predictions) -> Mapping[str, Estimate]:
    """Return each metric with its interval over utterances, all from the same resamples."""
    if isinstance(scored, LabelPredictions):
        keys = [*_OF_LABELS, *(() if scored.votes is None else OF_VOTES)]
    else:
        axes = scored.names if len(scored.names) > 1 else ()
        keys = [*OF_NUMBERS, *(f"{key}_{axis}" for axis in axes for key in _OF_AXIS)]
    rows, derive = scored.statistics()
    of_all = estimates(rows, derive)
    return {key: of_all[key] for key in keys}


# -- check that predictions are this model's -------------------------------------------------------

_ROWS = 5  # of a split, that are predicted again
# By how much a probability or value may differ: in single precision, and where the file may have
# been written in half precision or from the cache of frozen encoders, which has half precision.
_DIALOGUE = "dialogue"
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 2e-2
_HALF_OPTIONS = ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16")


class PredictionsChecker:
    """Checks that predictions are of a model and its corpus: a few utterances are predicted again.

    Args:
        loaded: the model.
        config: the whole configuration of its checkpoint.
        data: the data dir; None where it is gone.
    """

    def __init__(self, loaded: LoadedModel, config: Any, data: Path | None) -> None:
        self._loaded = loaded
        self._config = config
        self._data = data
        self._predictor: EmotionPredictor | None = None

    def score(self, file: Path) -> list[Scored]:
        """Return the metrics of a predictions file, with the origin of the predictions.

        Raises:
            UsageError: see :func:`score_file` and :meth:`check`.
        """
        state = self._loaded.state
        marks = [f"Leak allowed: {leak}." for leak in allowed_leaks(file)]
        marks += [f"Transductive: {note}." for note in transductive_notes(file)]
        return [
            scored._replace(origin=" ".join([self.check(file, scored.split), *marks]))
            for scored in score_file(file, state.labels, state.target.has_labels)
        ]

    def check(self, file: Path, split: str) -> str:
        """Return the card's sentence on the origin of one split's predictions.

        Raises:
            UsageError: it has utterances that the corpus does not have in this split, or
                predictions that the model does not give.
        """
        recorded = model_beside(file)
        if recorded and recorded != head_digest(self._loaded.model.state_dict()):
            raise UsageError(
                f"{file}: holds predictions of another model; give those of fairseq-validate with "
                "this checkpoint",
                "predictions-other-model",
            )
        unchecked = f"Taken from `{file.name}` as given, and not checked to be this model's: "
        if self._data is None:
            return f"{unchecked}the data dir was not there."
        rows = [row for row in predictions.read(file) if row["split"] == split]
        utterances = self._utterances(split)
        unknown = [row["id"] for row in rows if row["id"] not in utterances]
        if unknown:
            raise UsageError(
                f"{file}: {unknown[0]} (one of {len(unknown)} such) is not in the split {split} of "
                f"{self._data}; give predictions on this corpus",
                "predictions-other-corpus",
            )
        if reason := self._cannot_predict():
            return f"{unchecked}{reason}."
        chosen = rows[:: max(1, len(rows) // _ROWS)][:_ROWS]
        n_same = sum(self._is_same(file, row, utterances) for row in chosen)
        if not n_same:
            return f"{unchecked}the inputs of the rows that were tried are not there."
        return f"{n_same} of these utterances were predicted again by this model: equal."

    def _utterances(self, split: str) -> Mapping[str, Utterance]:
        """Return those of the split, or of all splits where a fold divides them anew, by id."""
        assert self._data is not None
        splits = read_corpus(self._data).splits
        names = splits if self._config.task.get("fold") is not None else {split} & set(splits)
        files = [self._data / f"{name}.tsv" for name in names]
        return {row.id: row for file in files for row in read_manifest(file)}

    def _cannot_predict(self) -> str:
        """Return why the model cannot predict what it did while it was trained; empty if it can."""
        if missing := self._loaded.processor.missing:
            return f"the model cannot predict from {' and '.join(missing)}"
        if _describe_context(self._loaded.state.options) and self._config.task.get("fold"):
            return "it reads turns in their dialogues, of which a fold may hold a part"
        if self._loaded.state.transductive_note:
            by = self._loaded.state.normalize_by
            return f"its frames are normalized by {by}, whose rows are not put together for a card"
        return ""

    def _is_same(
        self, file: Path, row: Mapping[str, str], utterances: Mapping[str, Utterance]
    ) -> bool:
        """Return whether the model predicts a row; False where its input is not there."""
        prediction = self._predict(utterances[row["id"]], utterances.values())
        if prediction is None:
            return False
        numbers = {PROBABILITY + name: value for name, value in prediction.probabilities.items()}
        numbers |= {PREDICTION_OF + name: value for name, value in prediction.values.items()}
        difference = max(abs(float(row[name] or "nan") - value) for name, value in numbers.items())
        if not difference <= self._tolerance():
            raise UsageError(
                f"{file}: {row['id']}: the model's prediction differs from the file's by "
                f"{difference:.2g}; give those of fairseq-validate with this checkpoint, in "
                "full precision and without --mask-modality",
                "predictions-other-model",
            )
        return True

    def _predict(self, utterance: Utterance, rows: Collection[Utterance]) -> Prediction | None:
        """Predict for a row among the turns of its dialogue; None where an input is not there."""
        turns = [utterance]
        if _describe_context(self._loaded.state.options) and has_turn(utterance):
            dialogue = [row for row in rows if row.dialogue == utterance.dialogue and has_turn(row)]
            turns = sorted(dialogue, key=lambda row: row.turn or 0)
        reads_text = TEXT in self._loaded.state.modalities
        try:
            self._predictor = self._predictor or EmotionPredictor(self._loaded)
            found = self._predictor.predict_each(
                [self._audio(row) for row in turns],
                [(row.text or None) if reads_text else None for row in turns],
                video=[self._video(row) for row in turns],
                speaker=[row.speaker for row in turns],
                dialogue=_DIALOGUE,
            )
        except UsageError:
            return None
        errors = [result for result in found if isinstance(result, UsageError)]
        if any(error.code != "item-empty" for error in errors):  # a row without input is no turn
            return None
        prediction = found[turns.index(utterance)]
        return None if isinstance(prediction, UsageError) else prediction

    def _audio(self, utterance: Utterance) -> AudioSegment | None:
        if SPEECH not in self._loaded.state.modalities or utterance.audio is None:
            return None
        assert self._data is not None
        raw = self._config.task.get("data_raw")
        return audio_of(utterance, audio_root(self._data, raw, must_exist=False))

    def _video(self, utterance: Utterance) -> VideoSegment | None:
        if VIDEO not in self._loaded.state.modalities or utterance.video is None:
            return None
        assert self._data is not None
        task = self._config.task
        raws = task.get("video_raw"), task.get("data_raw")
        return video_of(utterance, video_root(self._data, *raws, must_exist=False))

    def _tolerance(self) -> float:
        config = self._config
        is_half = any(config.common.get(name) for name in _HALF_OPTIONS)
        options = SimpleNamespace(**config.model)
        context = OptionContext(self._loaded.state.encoders, self._config.task, model=options)
        is_cached = not config.task.get("no_encoder_cache") and context.stores_outputs
        return _HALF_TOLERANCE if is_half or is_cached else _TOLERANCE
