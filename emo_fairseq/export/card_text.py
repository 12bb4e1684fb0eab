"""The sections of a model card, in words."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from emo_fairseq.data.dialogue import has_context
from emo_fairseq.evaluation.bootstrap import NOT_SEEDS, OVER_UTTERANCES, Interval
from emo_fairseq.types import (
    SPEECH,
    TEXT,
)

_UNKNOWN = "unknown"
_RARE = 0.05  # share of the training set below which a class is called rare
_COUNTS = ("rows", "hours", "with_text", "with_audio", "with_vad", "speakers", "dialogues")


def _summary_section(facts: CardFacts) -> str:
    """What it predicts from what."""
    task = facts.task
    names = ", ".join(task.labels)
    of = {TEXT: "what is said", SPEECH: "how it sounds"}
    source = " and ".join(of.get(name, name) for name in task.modalities)
    if not task.target.has_labels:
        what = f"numbers for {names}"
    elif task.n_outputs == len(task.labels):
        what = f"one of {len(task.labels)} labels ({names})"
    else:
        what = f"a yes or no for each of {len(task.labels)} labels ({names})"
    more = "".join(f" Beside it, {name}." for name in task.auxiliary)
    cards = task.encoder_cards().items()
    encoders = ", ".join(f"{name} {card.spec if card.place else 'scratch'}" for name, card in cards)
    return (
        f"Predicts {what} of an utterance from {source}.{more}\n\n"
        f"Encoders: {encoders}. {facts.parameters:,} parameters."
    )


def _usage_section(facts: CardFacts) -> str:
    """How it is loaded and asked."""
    given = [f"{m}={x}" for m, x in (("audio", '"speech.wav"'), ("text", '"What was said."'))]
    wanted = [g for g, m in zip(given, (SPEECH, TEXT), strict=True) if m in facts.task.modalities]
    words = {SPEECH: "speech.wav", TEXT: '--text "What was said."'}
    shell = " ".join(x for m, x in words.items() if m in facts.task.modalities)
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
    if corpus.vad is not None and facts.task.target.name == "vad":
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
    if not facts.task.target.has_labels:
        return ""
    counts = zip(facts.task.labels, facts.task.class_counts, strict=True)
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
        rows = [[name, *_written(*estimate)] for name, estimate in one.figures.items()]
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
    task = facts.task
    if known := task.provenance():
        yield from (f"Leak allowed in its training: {leak}." for leak in known.allowed)
    if task.target.has_labels and sum(task.class_counts):
        total = sum(task.class_counts)
        rare = [n for n, x in zip(task.labels, task.class_counts, strict=True) if x / total < _RARE]
        if rare:
            yield f"Less than {_RARE:.0%} of the training set: {', '.join(rare)}; expect little."
    config = facts.config
    if SPEECH in task.modalities and task.encoder_cards()[SPEECH].input in ("waveform", "log_mel"):
        yield f"Audio is heard up to {config.task.max_speech_seconds:g} s; the rest is cut."
    if has_context(config.task):
        yield (
            f"It was trained and scored with up to {config.task.context_past} turns before and "
            f"{config.task.context_future} after each one; `predict` asks about a turn alone, for "
            "which the figures do not hold."
        )
    if len(task.modalities) > 1 and not config.model.modality_dropout:
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


def _written(value: float, ends: Interval) -> tuple[str, str]:
    if not math.isfinite(value):
        return "undefined", ""
    if not all(map(math.isfinite, ends)):
        return f"{value:.4f}", "undefined"
    return f"{value:.4f}", f"{ends.low:.4f} to {ends.high:.4f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines
    )
