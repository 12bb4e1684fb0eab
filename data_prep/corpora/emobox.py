"""EmoBox: 32 corpora of 14 languages in one format of metadata, with folds (Ma et al. 2024).

Published layout, of one corpus: `data/{corpus}/fold_{k}/{corpus}_{train,valid,test}_fold_{k}.jsonl`
and `label_map.json`; a JSON object a line with key, dataset, wav, type ("raw"), emo, and, where
many utterances lie in one recording (PAVOQUE), start_time and end_time in seconds. `wav` starts at
the folder in which `downloads/` lies: by default the one above `data/`, else --data-raw.

One fold becomes train, valid and test; several become the split `all` and `folds/emobox.json`.
EmoBox draws the valid set from train where the corpus has none, a fifth of its rows; so do we, with
a seed of our own: the draw, unlike train and test, is not EmoBox's, and the card says its counts.
Assumed: emo is read through label_map.json, whose order is that of the classes; a label that it
lacks drops its row. Of a video (MELD, eNTERFACE) the sound is looked for beside it, as .wav or
.flac of the same name. A line with times is a segment of its recording. There is no text. Speakers
are not in the lines; --speakers takes them from data.seg.wrd.stm, where "spk" is at times the
recording instead (IEMOCAP, MER2023): unless asked, speakers stay unknown. Lines that match no row,
and rows that have no line, are counted and named.
Not used: further test sets (MER2023's).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.audio.loading import AudioError
from data_prep.audio.notes import note_warnings
from data_prep.commands.command_line import (
    make_parser,
    run,
)
from data_prep.commands.folds import (
    ALL,
    write_folds,
)
from data_prep.corpora.emobox_files import (
    LABEL_FILE,
    EmoBoxFolder,
    Speakers,
    read_emobox,
    read_speakers,
)
from data_prep.corpora.emobox_folds import fold_sets, note_speakers
from data_prep.corpora.emobox_sounds import default_raw, find_sounds
from data_prep.folds.composition import (
    composition_lines,
    composition_of,
)
from data_prep.folds.file import (
    fold_faults,
    folds_path,
    refuse_other_folds,
)
from data_prep.folds.records import Folds
from data_prep.schema import Corpus, DroppedRow, Utterance, write_corpus

PROTOCOL = "emobox"
VALID_SHARE = 0.2
LICENCE = "metadata: MIT; the corpus itself is under its own licence"
CITATION = (
    "Ma, Chen, Zhang, Zheng, Chen, Li, Ye, Chen, Hain (2024). EmoBox: Multilingual Multi-corpus "
    "Speech Emotion Recognition Toolkit and Benchmark. Interspeech. Cite the corpus itself too."
)

Rows = dict[str, Utterance]


def prepare_emobox(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    data_raw: str | Path | None = None,
    speakers: bool = False,
    valid_share: float = VALID_SHARE,
    seed: int = 1,
    force: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir of one corpus of EmoBox; `force` replaces other folds that lie there."""
    folder, out_dir = Path(corpus_dir), Path(out_dir)
    raw = default_raw(folder) if data_raw is None else Path(data_raw)
    metadata = read_emobox(folder)
    names = {item.dataset for item in metadata.items.values()}
    if len(names) != 1:
        raise ValueError(f"{folder}: its lines name {len(names)} datasets, not one")
    labels = {"emotion": tuple(dict.fromkeys(metadata.label_of.values()))}
    corpus = Corpus(names.pop(), labels=labels, licence=LICENCE, citation=CITATION)
    known = read_speakers(folder) if speakers else Speakers()
    rows = _rows(metadata, known.speaker_of)
    if speakers:
        note_speakers(known, rows, corpus)
    unknown = {
        key: f"emo {metadata.items[key].emo!r} is not in {LABEL_FILE}"
        for key, row in rows.items()
        if row.emotion is None
    }
    items = [item for key, item in metadata.items.items() if key not in unknown]
    found = find_sounds(items, raw, workers=workers, progress=progress)
    unheard = {key: f"audio: {e}" for key, e in found.items() if isinstance(e, AudioError)}
    _list_dropped({**unknown, **unheard, **metadata.repeated}, metadata, corpus)
    note_warnings(
        corpus, ((key, s if isinstance(s, AudioError) else s.measured) for key, s in found.items())
    )
    rows = {
        key: replace(
            rows[key],
            audio=sound.audio,
            n_samples=sound.measured.n_samples,
            start=sound.start,
            end=sound.end,
        )
        for key, sound in found.items()
        if not isinstance(sound, AudioError)
    }
    if not rows:
        row = corpus.dropped[0]
        raise ValueError(f"{folder}: no row can be used: {row.id}: {row.reason}; check --data-raw")
    folds = fold_sets(metadata, rows, valid_share, seed, corpus)
    if metadata.unused:
        corpus.notes.append(f"not used: {', '.join(metadata.unused)}")
    _write(out_dir, corpus, rows, folds, seed, force)
    return corpus


def _rows(metadata: EmoBoxFolder, speaker_of: Mapping[str, str]) -> Rows:
    return {
        key: Utterance(key, speaker=speaker_of.get(key), emotion=metadata.label_of.get(item.emo))
        for key, item in metadata.items.items()
    }


def _list_dropped(dropped: Mapping[str, str], metadata: EmoBoxFolder, corpus: Corpus) -> None:
    split_of: dict[str, str] = {}
    if len(metadata.folds) == 1:
        (parts,) = metadata.folds.values()
        split_of = {key: split for split, keys in parts.items() for key in keys}
    corpus.dropped += [
        DroppedRow(split_of.get(key, ALL), key, reason) for key, reason in dropped.items()
    ]


def _write(
    out_dir: Path,
    corpus: Corpus,
    rows: Rows,
    folds: Mapping[str, Mapping[str, Sequence[str]]],
    seed: int,
    force: bool,
) -> None:
    if len(folds) == 1:
        (sets,) = folds.values()
        splits = {split: [rows[key] for key in keys] for split, keys in sets.items() if keys}
        write_corpus(out_dir, corpus, splits)
        return
    composition = composition_of(folds, list(rows.values()))
    made = Folds(PROTOCOL, "row", seed, (ALL,), folds, composition)
    if faults := fold_faults(made, rows):
        raise ValueError(f"{out_dir}: nothing is written: {'; '.join(faults)}")
    if not force:
        refuse_other_folds(folds_path(out_dir, PROTOCOL), made)
    corpus.folds = {PROTOCOL: {"unit": made.unit, "folds": len(folds), "seed": seed}}
    write_corpus(out_dir, corpus, {ALL: list(rows.values())})
    write_folds(out_dir, made, list(rows.values()), force=force)
    print(*composition_lines(composition), sep="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `prepare_emobox`."""
    parser = make_parser("emobox", __doc__ or "")
    add = parser.add_argument
    add("corpus_dir", type=Path, help="folder of one corpus, such as EmoBox/data/iemocap")
    add("out_dir", type=Path, help="data dir to write")
    add("--data-raw", type=Path, metavar="DIR", help="folder in which downloads/ lies")
    add("--speakers", action="store_true", help="take speakers from data.seg.wrd.stm")
    share = "of train, where a corpus has no valid set (default: %(default)s)"
    add("--valid-fraction", type=float, default=VALID_SHARE, metavar="F", help=share)
    add("--seed", type=int, default=1, help="of that draw (default: %(default)s)")
    add("--force", action="store_true", help="replace other folds/emobox.json")
    options = parser.parse_args(arguments)
    return run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> None:
    corpus = prepare_emobox(
        options.corpus_dir,
        options.out_dir,
        data_raw=options.data_raw,
        speakers=options.speakers,
        valid_share=options.valid_fraction,
        seed=options.seed,
        force=options.force,
        workers=options.workers,
        progress=True,
    )
    raw = options.data_raw or default_raw(options.corpus_dir)
    fold = f" --fold {PROTOCOL}/1" if corpus.folds else ""
    print(f"train with: --data {options.out_dir} --data-raw {raw}{fold}")
