"""What ``train`` finds in a folder, and what has to be done before a training can read it."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.corpora.meld import COLUMNS as MELD_COLUMNS
from data_prep.schema import CORPUS_FILE, Utterance, read_manifest
from data_prep.tables.reader import TableFormat, read_table
from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq.cli import processes
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    MODALITY_LETTERS,
    SPEECH,
    TARGETS,
    TEXT,
    parse_modalities,
)

_MELD_TRAIN = "train_sent_emo.csv"
_MELD_VIDEOS = ("train_splits", "train/train_splits")
_PREPARED = "_prepared"  # what follows the name of a raw corpus in that of its data dir


@dataclass(frozen=True)
class DataPlan:
    """What is trained on.

    Attributes:
        folder: the data dir, there or about to be written.
        data_raw: what `audio` is relative to; None = `folder`.
        modalities: that are read.
        n_rows: of the train split, with the target; None where that cannot be counted.
        steps: commands to be run first.
    """

    folder: Path
    data_raw: Path | None
    modalities: tuple[str, ...]
    n_rows: int | None
    steps: list[list[str]] = field(default_factory=list)

    @property
    def is_legacy(self) -> bool:
        """Whether it is in the seed's layout, which holds tokens and no audio."""
        return self.n_rows is None


def plan_data(options: argparse.Namespace) -> DataPlan:
    """Look at what ``train`` was given.

    Raises:
        UsageError: no data dir and no corpus that is known here, or one without what is asked for.
    """
    folder: Path = options.data
    modalities = parse_modalities(options.modality, "--modality")
    if (folder / _MELD_TRAIN).is_file() and not (folder / CORPUS_FILE).is_file():
        return _of_raw_meld(options, modalities)
    if not (folder / CORPUS_FILE).is_file():
        if (folder / "train_size.tsv").is_file() or (folder / "train_t.tsv").is_file():
            return DataPlan(folder, options.data_raw, modalities, None)  # the seed's T_data layout
        raise UsageError(
            f"{folder}: no data dir, it has no {CORPUS_FILE}; make one of your corpus with "
            f"`emotion-recognize prepare CORPUS {folder} OUT`"
        )
    rows = _train_rows(folder, options.fold)
    _check_inputs(folder, rows, modalities, options)
    columns = TARGETS[options.target].columns
    n_rows = sum(any(getattr(row, c) is not None for c in columns) for row in rows)
    if not n_rows:
        raise UsageError(
            f"{folder}/train.tsv: no row has {' or '.join(columns)}; give another --target"
        )
    steps = _token_steps(folder, modalities, options)
    return DataPlan(folder, options.data_raw, modalities, n_rows, steps)


def _train_rows(folder: Path, fold: str | None) -> Sequence[Utterance]:
    if fold is None:
        return read_manifest(folder / "train.tsv")
    from emo_fairseq.data.manifest import read_fold

    base, sets = read_fold(folder, fold)
    ids = set(sets["train"])
    return [row for row in read_manifest(folder / f"{base}.tsv") if row.id in ids]


def _check_inputs(
    folder: Path,
    rows: Sequence[Utterance],
    modalities: tuple[str, ...],
    options: argparse.Namespace,
) -> None:
    columns = {TEXT: "text", SPEECH: "audio"}
    for modality in modalities:
        spec = getattr(options, f"{modality}_encoder") or ""
        column = columns.get(modality)
        if column is None or spec.startswith("features:"):
            continue
        if not any(getattr(row, column) is not None for row in rows):
            others = "+".join(MODALITY_LETTERS[name] for name in modalities if name != modality)
            raise UsageError(
                f"{folder}/train.tsv: no row has {column}, which --modality {options.modality} "
                f"reads; prepare the corpus with its {column}, or give --modality "
                f"{others or 'another'}"
            )


def _token_steps(
    folder: Path, modalities: tuple[str, ...], options: argparse.Namespace
) -> list[list[str]]:
    """The command that tokenizes the text, unless that is done or nobody reads tokens."""
    spec = options.text_encoder or "scratch"
    kind, _, place = spec.partition(":")
    done = (folder / TEXT / TOKENIZER_FILE).is_file() or (folder / TEXT / "train.idx").is_file()
    if TEXT not in modalities or kind == "features" or done:
        return []
    if kind == "fairseq":
        raise UsageError(
            f"{folder / TEXT}: the text is not tokenized for {spec}; run `emotion-recognize "
            f"tokenize {folder} --bpe gpt2 --encoder-json FILE --vocab-bpe FILE --dict FILE` first"
        )
    if kind != "hf" and options.fold is not None:
        _check_train_is_apart(folder, options.fold)
    bpe = ["--bpe", f"hf:{place}"] if kind == "hf" else []
    return [processes.module("data_prep.tokenize_text", folder, *bpe)]


def _check_train_is_apart(folder: Path, fold: str) -> None:
    """Refuse to fit a tokenizer that the training under the fold would refuse.

    Raises:
        UsageError: there is no train split to fit it on, or the fold tests on rows of it.
    """
    from emo_fairseq.data.manifest import (
        FOLD_SETS,
        read_fold,
    )

    _, sets = read_fold(folder, fold)
    held_out = {name for part in FOLD_SETS if part != "train" for name in sets[part]}
    file = folder / "train.tsv"
    if file.is_file() and held_out.isdisjoint(row.id for row in read_manifest(file)):
        return
    raise UsageError(
        f"--fold {fold}: the text of {folder} is not tokenized, and a tokenizer is fitted on the "
        "train split, of which the fold tests on parts; tokenize it first by one that is not "
        f"fitted: `emotion-recognize tokenize {folder} --bpe hf:FOLDER`, or --bpe gpt2 with its "
        "--encoder-json, --vocab-bpe and --dict"
    )


def _of_raw_meld(options: argparse.Namespace, modalities: tuple[str, ...]) -> DataPlan:
    """MELD's CSV files: a data dir is made beside them, if that has not been done yet."""
    raw: Path = options.data
    folder = raw.resolve().with_name(f"{raw.resolve().name}{_PREPARED}")
    videos = next((raw for name in _MELD_VIDEOS if (raw / name).is_dir()), None)
    has_clips = any((raw / "audios").glob("*/*.flac"))
    prepared = (folder / CORPUS_FILE).is_file()
    if SPEECH in modalities and not (videos or has_clips or prepared):
        raise UsageError(
            f"{raw}: no audio, which --modality {options.modality} reads: neither "
            "audios/train/*.flac nor the folders of MELD.Raw with its videos are beside the CSV "
            "files; put them there, or give --modality T"
        )
    options.data_raw = options.data_raw or (raw if has_clips else None)
    if prepared:
        options.data = folder
        return plan_data(options)
    words = ["--video", str(videos)] if videos and SPEECH in modalities else []
    prepare = processes.module("data_prep.meld", raw, folder, *words)
    n_rows = len(read_table(raw / _MELD_TRAIN, MELD_COLUMNS, TableFormat(legacy_bytes=True)))
    if options.target not in ("emotion", "sentiment", "binary_emotion"):
        raise UsageError(f"--target {options.target}: MELD has emotion and sentiment")
    steps = [prepare, *_token_steps(folder, modalities, options)]
    return DataPlan(folder, options.data_raw, modalities, n_rows, steps)
