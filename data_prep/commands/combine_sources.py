"""The data dirs that `combine` joins: read, and held to what can be joined."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.manifest.corpus_card import read_corpus
from data_prep.manifest.records import (
    CORPUS_FILE,
    Corpus,
    Utterance,
)
from data_prep.manifest.tsv import read_manifest

_NOT_IN_NAMES = re.compile(r"[/:=]")  # they part a name from what follows it, in ids and options


@dataclass(frozen=True)
class Source:
    """One data dir: its folder, where its audio paths start, its card and its rows by split."""

    folder: Path
    raw: Path
    corpus: Corpus
    splits: Mapping[str, Sequence[Utterance]]

    @property
    def name(self) -> str:
        return self.corpus.name


def read_sources(
    data_dirs: Sequence[str | Path],
    splits: Mapping[str, Sequence[str]] | None = None,
    data_raw: Mapping[str, Path] | None = None,
) -> list[Source]:
    """Read the data dirs, with those of `splits` (corpus -> names, "" for the others) they have.

    Raises:
        ManifestError: no data dir; or a corpus that cannot be joined with the others: without a
            name of its own, of another sample rate, combined already, or with audio that is not
            where its paths lead to.
        ValueError: `splits` or `data_raw` of a corpus, or a split, that is not there.
    """
    splits, data_raw = splits or {}, data_raw or {}
    folders: dict[str, Path] = {}
    corpora: dict[str, Corpus] = {}
    for data_dir in map(Path, data_dirs):
        corpus = read_corpus(data_dir)
        _check_card(data_dir, corpus, folders, corpora)
        folders[corpus.name], corpora[corpus.name] = data_dir, corpus
    _check_asked(corpora, splits, data_raw)
    sources = []
    for name, corpus in corpora.items():
        wanted = splits.get(name, splits.get("", tuple(corpus.splits)))
        rows = {s: read_manifest(folders[name] / f"{s}.tsv") for s in corpus.splits if s in wanted}
        sources.append(Source(folders[name], data_raw.get(name, folders[name]), corpus, rows))
        _check_rows(sources[-1])
    return sources


def way_to(folder: Path, out_dir: Path) -> str:
    """`folder` as seen from `out_dir`; both by their true places: ".." does not undo a link."""
    return Path(os.path.relpath(folder.resolve(), out_dir.resolve())).as_posix()


def _check_asked(
    corpora: Mapping[str, Corpus],
    splits: Mapping[str, Sequence[str]],
    data_raw: Mapping[str, Path],
) -> None:
    for option, names in {"--splits": splits, "--data-raw": data_raw}.items():
        if unknown := [name for name in names if name and name not in corpora]:
            known = ", ".join(corpora)
            raise ValueError(f"{option} {unknown[0]}: no such corpus; there are {known}")
    for name, asked in splits.items():
        of = [corpora[name]] if name else list(corpora.values())
        there = list(dict.fromkeys(split for corpus in of for split in corpus.splits))
        if absent := [split for split in asked if split not in there]:
            whose = name or "the data dirs"
            raise ValueError(f"--splits {','.join(absent)}: {whose} have {', '.join(there)}")


def _check_card(
    data_dir: Path, corpus: Corpus, folders: Mapping[str, Path], others: Mapping[str, Corpus]
) -> None:
    """Raise ManifestError where the corpus cannot be told from `others`, or counts otherwise."""
    file = str(data_dir / CORPUS_FILE)
    if _NOT_IN_NAMES.search(corpus.name):
        what = f"the corpus is named {corpus.name!r}"
        raise ManifestError(Fault(file, None, what, "take / : = out of its name"))
    if corpus.name in folders:
        what = f"the corpus is named {corpus.name} like that of {folders[corpus.name]}"
        remedy = "name each data dir once, and each corpus differently"
        raise ManifestError(Fault(file, None, what, remedy))
    for other in others.values():
        if corpus.sample_rate != other.sample_rate:
            what = (
                f"n_samples counts at {corpus.sample_rate} Hz, "
                f"in {other.name} at {other.sample_rate}"
            )
            raise ManifestError(Fault(file, None, what, "prepare both at one sample rate"))


def _check_rows(source: Source) -> None:
    for split, rows in source.splits.items():
        for number, row in enumerate(rows, start=2):
            for what, remedy in _row_faults(source, row):
                file = str(source.folder / f"{split}.tsv")
                raise ManifestError(Fault(file, number, what, remedy))


def _row_faults(source: Source, row: Utterance) -> Iterator[tuple[str, str]]:
    if row.corpus is not None:
        remedy = "combine the data dirs that this one was made of, all at once"
        yield f"the row names a corpus already, {row.corpus}", remedy
    if row.audio is not None and Path(row.audio).is_absolute():
        yield f"audio {row.audio} is an absolute path", "write it relative to --data-raw"
    elif row.audio is not None and not (source.raw / row.audio).is_file():
        remedy = f"say where its paths start: --data-raw {source.name}=FOLDER"
        yield f"audio {row.audio} is not in {source.raw}", remedy
