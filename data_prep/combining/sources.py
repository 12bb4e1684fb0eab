"""Data dirs that can be combined: read them, and refuse what does not fit together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.schema import CORPUS_FILE, Corpus, Utterance, read_corpus, read_manifest

_NOT_IN_NAMES = re.compile(r"[/:=]")  # separators after a name, in ids and options


@dataclass(frozen=True)
class Source:
    """A data dir: its folder, those of audio and video paths, its card and its rows by split."""

    folder: Path
    raw: Path
    videos: Path
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
    """Read the data dirs, with the wanted `splits` (corpus -> names, "" for other corpora).

    Raises:
        ManifestError: no data dir; or a corpus that cannot be combined with the others: without a
            name of its own, of another sample rate, already combined, or with missing audio.
        CodedError: `splits` or `data_raw` of an unknown corpus or split.
    """
    splits, data_raw = splits or {}, data_raw or {}
    folders: dict[str, Path] = {}
    corpora: dict[str, Corpus] = {}
    for data_dir in map(Path, data_dirs):
        corpus = read_corpus(data_dir)
        _check_card(data_dir, corpus, folders, corpora)
        folders[corpus.name], corpora[corpus.name] = data_dir, corpus
    _check_options(corpora, splits, data_raw)
    sources = []
    for name, corpus in corpora.items():
        wanted = splits.get(name, splits.get("", tuple(corpus.splits)))
        rows = {s: read_manifest(folders[name] / f"{s}.tsv") for s in corpus.splits if s in wanted}
        raw = audio_root(folders[name], data_raw.get(name), must_exist=False)
        videos = video_root(folders[name], None, data_raw.get(name), must_exist=False)
        sources.append(Source(folders[name], raw, videos, corpus, rows))
        _check_rows(sources[-1])
    return sources


def relative_path(folder: Path, out_dir: Path) -> str:
    """Return `folder` relative to `out_dir`; links are resolved, since ".." does not undo one."""
    return Path(os.path.relpath(folder.resolve(), out_dir.resolve())).as_posix()


def _check_options(
    corpora: Mapping[str, Corpus],
    splits: Mapping[str, Sequence[str]],
    data_raw: Mapping[str, Path],
) -> None:
    for option, names in {"--splits": splits, "--data-raw": data_raw}.items():
        if unknown := [name for name in names if name and name not in corpora]:
            known = ", ".join(corpora)
            message = f"{option} {unknown[0]}: no such corpus; there are {known}"
            raise CodedError(message, "corpus-unknown")
    for name, wanted in splits.items():
        chosen = [corpora[name]] if name else list(corpora.values())
        known_splits = list(dict.fromkeys(split for corpus in chosen for split in corpus.splits))
        if absent := [split for split in wanted if split not in known_splits]:
            owner = name or "the data dirs"
            known = ", ".join(known_splits)
            message = f"--splits {','.join(absent)}: {owner} have {known}"
            raise CodedError(message, "split-unknown")


def _check_card(
    data_dir: Path, corpus: Corpus, folders: Mapping[str, Path], others: Mapping[str, Corpus]
) -> None:
    """Raise ManifestError for a name or a sample rate that does not fit with `others`."""
    file = str(data_dir / CORPUS_FILE)
    if _NOT_IN_NAMES.search(corpus.name):
        problem, remedy = f"the corpus is named {corpus.name!r}", "remove / : = from its name"
        raise ManifestError(Fault(file, None, problem, remedy, "name-malformed"))
    if corpus.name in folders:
        problem = f"the corpus is named {corpus.name} like that of {folders[corpus.name]}"
        remedy = "name each data dir once, and each corpus differently"
        raise ManifestError(Fault(file, None, problem, remedy, "corpus-repeated"))
    for other in others.values():
        if corpus.sample_rate != other.sample_rate:
            problem = (
                f"n_samples counts at {corpus.sample_rate} Hz, "
                f"in {other.name} at {other.sample_rate}"
            )
            remedy = "prepare both at one sample rate"
            raise ManifestError(Fault(file, None, problem, remedy, "sample-rate-mismatch"))


def _check_rows(source: Source) -> None:
    for split, rows in source.splits.items():
        for number, row in enumerate(rows, start=2):
            for problem, remedy, code in _row_faults(source, row):
                file = str(source.folder / f"{split}.tsv")
                raise ManifestError(Fault(file, number, problem, remedy, code))


def _row_faults(source: Source, row: Utterance) -> Iterator[tuple[str, str, str]]:
    if row.corpus is not None:
        remedy = "combine the data dirs that this one was made of, all at once"
        yield f"the row names a corpus already, {row.corpus}", remedy, "already-combined"
    if row.audio is not None and Path(row.audio).is_absolute():
        problem = f"audio {row.audio} is an absolute path"
        yield problem, "write it relative to --data-raw", "path-absolute"
    elif row.audio is not None and not (source.raw / row.audio).is_file():
        remedy = f"give the folder that its paths start from: --data-raw {source.name}=FOLDER"
        yield f"audio {row.audio} is not in {source.raw}", remedy, "audio-missing"
    if row.video is not None and not (source.videos / row.video).exists():
        remedy = f"write their folder to video_raw of {source.folder / CORPUS_FILE}"
        yield f"video {row.video} is not in {source.videos}", remedy, "video-missing"
