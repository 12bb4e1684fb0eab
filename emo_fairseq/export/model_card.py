"""The card of a model folder: README.md, from what the run, its data and its predictions say.

Nothing in it is guessed. What no file says is called unknown; a figure stands in it only if it
follows from a predictions file that was given.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.dataclass.configs import OptimizationConfig
from fairseq.dataclass.utils import merge_with_parent
from fairseq.optim import OPTIMIZER_DATACLASS_REGISTRY
from fairseq.optim.lr_scheduler import LR_SCHEDULER_DATACLASS_REGISTRY
from omegaconf import OmegaConf

from data_prep.audio.segment import audio_of
from data_prep.manifest.provenance import Provenance, allowed_leaks
from data_prep.schema import (
    CORPUS_FILE,
    Corpus,
    Utterance,
    read_corpus,
    read_manifest,
    write_atomically,
)
from emo_fairseq.data.dialogue import has_context
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.bootstrap import NOT_SEEDS, OVER_UTTERANCES, Estimate, estimates
from emo_fairseq.evaluation.names import OF_NUMBERS, display_name
from emo_fairseq.evaluation.predictions import PREDICTION_OF, PROBABILITY
from emo_fairseq.evaluation.statistics import LabelPredictions, Predictions, read_predictions
from emo_fairseq.evaluation.tables import Table, format_interval, format_number, to_markdown
from emo_fairseq.inference.loading import LoadedModel, read_checkpoint
from emo_fairseq.inference.model_folder import read_model_folder
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.models.architectures import default_sizes
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.fusions import default_fusion
from emo_fairseq.options.checking import idle_options
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.options.option import Kind, names_of_kind, rules_of
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.types import (
    FROZEN,
    MODALITIES,
    SPEECH,
    TEXT,
)

_FOLLOWS = "${"  # an option that repeats another one's value


def changed_options(config: Any, cards: Mapping[str, EncoderSpec]) -> dict[str, dict[str, str]]:
    """By group (task, model and so on) the options that differ, as text.

    Of files and folders only the last part of the path is told; options that do not act on this
    model are not. A size that the architecture or ``scratch:SIZE`` says is a default.

    Args:
        config: the whole configuration of a checkpoint.
        cards: of the encoders.
    """
    left_out = _options_left_out(config, cards)
    groups = {
        "task": EmotionPredictionConfig,
        "model": RobertaEMOConfig,
        "criterion": CRITERION_DATACLASS_REGISTRY.get(_name(config, "criterion")),
        "optimizer": OPTIMIZER_DATACLASS_REGISTRY.get(_name(config, "optimizer")),
        "lr_scheduler": LR_SCHEDULER_DATACLASS_REGISTRY.get(_name(config, "lr_scheduler")),
        "optimization": OptimizationConfig,
    }
    found = {}
    for group, schema in groups.items():
        given = config.get(group)
        if given is None or schema is None:
            continue
        named = {"name": str(given["_name"])} if given.get("_name") else {}
        defaults = dict(_defaults(schema))
        if group == "model":
            defaults |= default_sizes(named.get("name"), cards)
            defaults["fusion"] = default_fusion(len(cards))
        changed = {**named, **dict(_changed(given, defaults, left_out))}
        if changed:
            found[group] = changed
    return found


def _name(config: Any, group: str) -> str:
    return str((config.get(group) or {}).get("_name"))


def _defaults(schema: type) -> Mapping[str, Any]:
    found = {}
    for one in fields(schema):
        factory = one.default_factory
        found[one.name] = one.default if factory is MISSING else factory()
    return found


def _options_left_out(config: Any, cards: Mapping[str, EncoderSpec]) -> set[str]:
    """Return options that had no effect, and those of the data and of the output."""
    task = merge_with_parent(EmotionPredictionConfig(), OmegaConf.create(config.task), True)
    model = merge_with_parent(RobertaEMOConfig(), OmegaConf.create(config.model), True)
    context = OptionContext(cards, task, model=model)
    rules = rules_of(EmotionPredictionConfig) | rules_of(RobertaEMOConfig)
    not_settings = names_of_kind(EmotionPredictionConfig, Kind.DATA, Kind.OUTPUT)
    return {"_name", *idle_options(context, rules), *not_settings}


def _changed(
    given: Any, defaults: Mapping[str, Any], left_out: Collection[str]
) -> Iterator[tuple[str, str]]:
    values = OmegaConf.to_container(OmegaConf.create(given), enum_to_str=True)
    assert isinstance(values, dict)
    for name, value in sorted(values.items(), key=lambda one: str(one[0])):
        default = defaults.get(str(name))
        follows = isinstance(default, str) and default.startswith(_FOLLOWS)
        same = value is None or _parts(value) == _parts(default)
        if name not in defaults or name in left_out or same or follows:
            continue
        yield str(name), _portable(str(value))


def _parts(value: Any) -> list[float | str]:
    """What is said, however it is written: a list, or the tuple that is a default of fairseq's.

    >>> _parts([0.9, 0.999]) == _parts("(0.9,0.999)"), _parts(0.0) == _parts(0)
    (True, True)
    """
    return [_number(part.strip()) for part in str(value).strip("[]()").split(",")]


def _number(said: str) -> float | str:
    try:
        return float(said)
    except ValueError:
        return said


def _portable(value: str) -> str:
    """A value without the folders of the machine that it was given on.

    >>> _portable("hf:/home/me/models/mpnet"), _portable("models/start.pt"), _portable("0.1")
    ('hf:mpnet', 'start.pt', '0.1')
    """
    kind, colon, place = value.rpartition(":")
    return f"{kind}{colon}{Path(place).name}" if "/" in place else value


# -- metrics with their bootstrap intervals, from predictions files --------------------------------

_OF_LABELS = ("weighted_f1", "macro_f1", "uar", "wa")
_OF_AXIS = ("ccc", "mae")


class Scored(NamedTuple):
    """The metrics of one split of a predictions file.

    Attributes:
        file: its name, without its folders.
        split: that was scored.
        n_rows: scored utterances.
        metrics: by the name that the card shows.
        origin: whether the predictions are known to be this model's, as a sentence.
    """

    file: str
    split: str
    n_rows: int
    metrics: Mapping[str, Estimate]
    origin: str = ""


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
        keys = [*_OF_LABELS]
    else:
        axes = scored.names if len(scored.names) > 1 else ()
        keys = [*OF_NUMBERS, *(f"{key}_{axis}" for axis in axes for key in _OF_AXIS)]
    rows, derive = scored.statistics()
    of_all = estimates(rows, derive)
    return {display_name(key): of_all[key] for key in keys}


# -- check that predictions are this model's -------------------------------------------------------

_ROWS = 5  # of a split, that are scored again
# A probability or value may differ by so much: in single precision, and where the file may have
# been written in half precision or from the outputs of frozen encoders, which are kept in it.
_TOLERANCE, _COARSE = 1e-3, 2e-2


class PredictionsChecker:
    """Looks for the utterances of a file in the corpus, and scores a few of them again.

    Args:
        loaded: the model, out of its folder.
        config: the whole configuration of its checkpoint.
        data: the data dir; None where it is gone.
    """

    def __init__(self, loaded: LoadedModel, config: Any, data: Path | None) -> None:
        self._loaded = loaded
        self._config = config
        self._data = data
        self._predictor: EmotionPredictor | None = None

    def check(self, file: Path, split: str) -> str:
        """What the card is to say of the origin of one split's predictions.

        Raises:
            UsageError: it has utterances that the corpus has not in this split, or predictions
                that the model does not give.
        """
        as_given = f"Taken from `{file.name}` as given, and not checked to be this model's: "
        if self._data is None:
            return f"{as_given}the data dir was not at hand."
        rows = [row for row in predictions.read(file) if row["split"] == split]
        utterances = self._utterances(split)
        unknown = [row["id"] for row in rows if row["id"] not in utterances]
        if unknown:
            raise UsageError(
                f"{file}: {unknown[0]} (one of {len(unknown)} such) is not in the split {split} of "
                f"{self._data}; give predictions on this corpus"
            )
        if reason := self._why_not():
            return f"{as_given}{reason}."
        chosen = rows[:: max(1, len(rows) // _ROWS)][:_ROWS]
        n_same = sum(self._is_same(file, row, utterances[row["id"]]) for row in chosen)
        if not n_same:
            return f"{as_given}the inputs of the rows that were tried are not at hand."
        return f"{n_same} of these utterances were scored again by this model: the same answers."

    def _utterances(self, split: str) -> Mapping[str, Utterance]:
        """Those of the split, or of the splits that a fold divides anew, by id."""
        assert self._data is not None
        known = read_corpus(self._data).splits
        names = known if self._config.task.get("fold") is not None else {split} & set(known)
        files = [self._data / f"{name}.tsv" for name in names]
        return {row.id: row for file in files for row in read_manifest(file)}

    def _why_not(self) -> str:
        if missing := self._loaded.processor.missing:
            return f"the model cannot predict from {' and '.join(missing)}"
        if has_context(self._loaded.state.options):
            return "it reads turns in their dialogues, which are not put together for a card"
        return ""

    def _is_same(self, file: Path, row: Mapping[str, str], utterance: Utterance) -> bool:
        """Whether the model answers as the row does; False where it cannot be asked."""
        reads = self._loaded.state.modalities
        audio = None
        if SPEECH in reads and utterance.audio is not None:
            audio = audio_of(utterance, self._audio_root())
        text = utterance.text or None if TEXT in reads else None
        try:
            self._predictor = self._predictor or EmotionPredictor(self._loaded)
            prediction = self._predictor.predict(audio, text)
        except UsageError:
            return False
        said = {PROBABILITY + name: value for name, value in prediction.probabilities.items()}
        said |= {PREDICTION_OF + name: value for name, value in prediction.values.items()}
        difference = max(abs(float(row[name] or "nan") - value) for name, value in said.items())
        if not difference <= self._tolerance():
            raise UsageError(
                f"{file}: {row['id']}: the model's answer differs from the file's by "
                f"{difference:.2g}; give those of fairseq-validate with this checkpoint, in "
                "full precision and without --mask-modality"
            )
        return True

    def _audio_root(self) -> Path:
        assert self._data is not None
        return Path(self._config.task.get("data_raw") or self._data)

    def _tolerance(self) -> float:
        common, model = self._config.common, self._config.model
        halves: Sequence[str] = ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16")
        is_half = any(common.get(name) for name in halves)
        is_kept = not self._config.task.get("no_encoder_cache") and any(
            str(model.get(f"{name}_tuning")) == FROZEN for name in MODALITIES
        )
        return _COARSE if is_half or is_kept else _TOLERANCE


# -- the card --------------------------------------------------------------------------------------

CARD_FILE = "README.md"


@dataclass(frozen=True)
class CardFacts:
    """All that a card is written from.

    Attributes:
        name: heading.
        state: of the model folder: target, labels, encoders.
        parameters: how many it has.
        config: of the checkpoint.
        checkpoint: the name of its file, its updates and epochs.
        corpus: of the data dir, or None.
        scored: what predictions files say.
    """

    name: str
    state: TaskState
    parameters: int
    config: Any
    checkpoint: tuple[str, int, int]
    corpus: Corpus | None
    scored: Sequence[Scored]

    @property
    def options(self) -> Mapping[str, Mapping[str, str]]:
        """Those that differ from their defaults, by group."""
        return changed_options(self.config, self.state.encoders)

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
        folder: of :func:`emo_fairseq.inference.model_folder.write_model_folder`.
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
        state=loaded.state,
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
    state, checker = loaded.state, PredictionsChecker(loaded, config, data)
    return [
        one._replace(origin=" ".join([checker.check(file, one.split), *_leaks(file)]))
        for file in files
        for one in score_file(file, state.labels, state.target.has_labels)
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
    modalities = facts.state.modalities
    of_speech = SPEECH in modalities
    found: dict[str, Any] = {
        "license": "unknown",  # a run does not say under which its weights are given out
        "library_name": "emo_fairseq",
        "tags": ["emotion-recognition", facts.state.target.name, *modalities],
    }
    if facts.corpus is not None:
        found["datasets"] = [facts.corpus.name]
    if names := sorted({name for one in facts.scored for name in one.metrics}):
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


# -- its sections ----------------------------------------------------------------------------------

_UNKNOWN = "unknown"
_RARE = 0.05  # share of the training set below which a class is called rare
_COUNTS = ("rows", "hours", "with_text", "with_audio", "with_vad", "speakers", "dialogues")


def _summary_section(facts: CardFacts) -> str:
    """What it predicts from what."""
    state = facts.state
    names = ", ".join(state.labels)
    of = {TEXT: "what is said", SPEECH: "how it sounds"}
    source = " and ".join(of.get(name, name) for name in state.modalities)
    if not state.target.has_labels:
        what = f"numbers for {names}"
    elif state.n_outputs == len(state.labels):
        what = f"one of {len(state.labels)} labels ({names})"
    else:
        what = f"a yes or no for each of {len(state.labels)} labels ({names})"
    more = "".join(f" Beside it, {name}." for name in state.auxiliary)
    encoders = ", ".join(
        f"{name} {encoder.spec if encoder.source else 'scratch'}"
        for name, encoder in state.encoders.items()
    )
    return (
        f"Predicts {what} of an utterance from {source}.{more}\n\n"
        f"Encoders: {encoders}. {facts.parameters:,} parameters."
    )


def _usage_section(facts: CardFacts) -> str:
    """How it is loaded and asked."""
    given = [f"{m}={x}" for m, x in (("audio", '"speech.wav"'), ("text", '"What was said."'))]
    wanted = [g for g, m in zip(given, (SPEECH, TEXT), strict=True) if m in facts.state.modalities]
    words = {SPEECH: "speech.wav", TEXT: '--text "What was said."'}
    shell = " ".join(x for m, x in words.items() if m in facts.state.modalities)
    return (
        "## Use\n\n```python\nfrom emo_fairseq.models.roberta_emo import RobertaEMOModel\n\n"
        'predictor = RobertaEMOModel.from_pretrained("FOLDER")  # this one\n'
        f"print(predictor.predict({', '.join(wanted)}))\n```\n\n"
        f"or `emotion-recognize predict FOLDER {shell}`. Nothing beside this folder is read, and "
        "no code in it is run."
    )


def _training_data_section(facts: CardFacts) -> str:
    """The corpus and how it was divided."""
    corpus = facts.corpus
    if corpus is None:
        return f"## Training data\n\nCorpus: {_UNKNOWN}; no corpus.yaml was at hand for this card."
    lines = [
        f"- Corpus: {corpus.name}",
        f"- Licence of the corpus: {corpus.licence or _UNKNOWN}",
        f"- Citation: {corpus.citation or _UNKNOWN}",
        f"- Protocol: {corpus.protocol or _UNKNOWN}",
    ]
    if facts.fold is not None:
        lines.append(f"- Fold: {facts.fold}; the counts below are of the splits that it divides")
    if corpus.vad is not None and facts.state.target.name == "vad":
        said = ", ".join(f"{name} {value}" for name, value in corpus.vad.items())
        lines.append(f"- Scale of valence, arousal and dominance: 0 to 1 here; {said}")
    dropped = Counter((row.what, row.reason) for row in corpus.dropped)
    lines += [f"- Left out: {n} × {what}: {why}" for (what, why), n in dropped.items()]
    lines += [f"- Note: {note}" for note in corpus.notes]
    table = _table(
        ["split", *(name.replace("_", " ") for name in _COUNTS)],
        [
            [s, *(counts.get(name, _UNKNOWN) for name in _COUNTS)]
            for s, counts in corpus.splits.items()
        ],
    )
    return "\n".join(["## Training data", "", *lines, "", table, "", _class_counts(facts)]).rstrip()


def _class_counts(facts: CardFacts) -> str:
    if facts.state.class_counts is None:
        return ""
    counts = zip(facts.state.labels, facts.state.class_counts, strict=True)
    return "Training set by class: " + ", ".join(f"{name} {n}" for name, n in counts) + "."


def _training_section(facts: CardFacts) -> str:
    """Which set chose the checkpoint, and the options that are not defaults."""
    _, updates, epoch = facts.checkpoint
    lines = ["## Training", "", _chosen(facts), ""]
    lines += [
        f"Updates: {updates:,}; epoch {epoch}.",
        "",
        "Options that differ from the defaults:",
        "",
    ]
    rows = [
        [group.replace("_", " "), f"`{name}`", f"`{value}`"]
        for group, options in facts.options.items()
        for name, value in options.items()
    ]
    return "\n".join([*lines, _table(["group", "option", "value"], rows)])


def _chosen(facts: CardFacts) -> str:
    saving, file = facts.config.checkpoint, facts.checkpoint[0]
    split, metric = facts.config.dataset.valid_subset, saving.best_checkpoint_metric
    suffix = re.escape(str(saving.get("checkpoint_suffix") or ""))
    if re.fullmatch(rf"checkpoint(_last|\d+|_\d+_\d+){suffix}\.pt", file):
        return f"The weights are those of `{file}`, as they stood then; no split has chosen them."
    best = "largest" if saving.maximize_best_checkpoint_metric else "smallest"
    one_of = re.fullmatch(rf"checkpoint\.best_{re.escape(str(metric))}_[-\d.]+{suffix}\.pt", file)
    if one_of:
        said = f"The {split} split chose the checkpoint: one of those with the {best} {metric}."
    elif re.fullmatch(rf"checkpoint_best{suffix}\.pt", file):
        said = f"The {split} split chose the checkpoint: that with the {best} {metric}."
    else:
        return f"The weights are those of `{file}`; what chose them is not known."
    if "test" in str(split).split(","):
        said += " The test split took part in that choice, so figures on it flatter the model."
    return said


def _figures_section(facts: CardFacts) -> str:
    """What predictions files say of it."""
    if not facts.scored:
        return (
            "## Figures\n\nUnknown: no predictions file was given for this card "
            "(`emotion-recognize export … --predictions FILE`)."
        )
    tables = []
    for one in facts.scored:
        rows = [
            [name, format_number(x.value, 4), _interval(x.value, x.low, x.high)]
            for name, x in one.metrics.items()
        ]
        tables.append(
            f"{one.split}, {one.n_rows:,} utterances (`{one.file}`):\n\n"
            + _table(["figure", "value", f"95 % interval, {OVER_UTTERANCES}"], rows)
            + f"\n\n{one.origin}"
        )
    return "\n\n".join(["## Figures", *tables, f"{NOT_SEEDS[0].upper()}{NOT_SEEDS[1:]}."])


def _limits_section(facts: CardFacts) -> str:
    """What it is for, and what is known to limit it."""
    lines = "\n".join(f"- {line}" for line in _limit_lines(facts))
    return (
        "## Intended use and limits\n\nFor research on how people label recorded utterances. It "
        "says what the annotators of its corpus would likely have said, and does not know what "
        f"anybody feels: no decision about a person should rest on it.\n\n{lines}"
    )


def _limit_lines(facts: CardFacts) -> Iterator[str]:
    yield f"Languages: {_UNKNOWN}; the corpus card does not name any."
    yield _speakers(facts)
    state = facts.state
    if state.provenance is not None:
        record = Provenance.from_state(state.provenance, facts.name)
        yield from (f"Leak allowed in its training: {leak}." for leak in record.allowed)
    if state.class_counts and sum(state.class_counts):
        total = sum(state.class_counts)
        rare = [
            n for n, x in zip(state.labels, state.class_counts, strict=True) if x / total < _RARE
        ]
        if rare:
            yield f"Less than {_RARE:.0%} of the training set: {', '.join(rare)}; expect little."
    config = facts.config
    if SPEECH in state.modalities and state.encoders[SPEECH].input in ("waveform", "log_mel"):
        yield f"Audio is read up to {config.task.max_speech_seconds:g} s; the rest is cut."
    if has_context(config.task):
        yield (
            f"It was trained and scored with up to {config.task.context_past} turns before and "
            f"{config.task.context_future} after each one; `predict` asks about a turn alone, for "
            "which the figures do not hold."
        )
    if len(state.modalities) > 1 and not config.model.modality_dropout:
        yield (
            "It was trained without modality dropout: of missing modalities it knows what the gaps "
            "of its corpus taught it, if there were any."
        )
    yield "Recording conditions, age, accent and culture of the speakers: unknown to this card."


def _speakers(facts: CardFacts) -> str:
    known = None if facts.corpus is None else facts.corpus.splits.get("train", {}).get("speakers")
    if facts.fold is not None or not known:
        return f"How many speakers it was trained on: {_UNKNOWN}."
    return f"It was trained on {known} speakers; others may sound or write otherwise."


def _interval(value: float, *ends: float) -> str:
    return format_interval(ends, 4) if math.isfinite(value) else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return to_markdown(Table(head, [[str(cell) for cell in row] for row in rows])).rstrip("\n")
