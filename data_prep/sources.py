"""Find what a path is, a data dir, a corpus, a table or a folder of recordings, and prepare it.

    source = find_source("labels.csv")
    source.kind, source.name                              # "table", "labels"
    source.prepare_words(Path("data/labels"), options)    # ["table", "labels.csv", "data/labels"]

The words follow ``python -m data_prep.``; those of a data dir are empty.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.files.listing import AUDIO_SUFFIXES
from data_prep.messages import first_few
from data_prep.schema import CORPUS_FILE
from data_prep.tables.datasets_table import HUB, is_saved_dataset
from data_prep.tables.given_options import corpus_name, given_options

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_LEGACY = ("train_size.tsv", "train_t.tsv")  # of the T_data layout
_SHOWN = 4  # names of a folder in a message
_SEARCHED = 100  # most folders inside an unknown one that are checked for a corpus


@dataclass(frozen=True)
class Source:
    """What a model can be trained on, once it is prepared.

    Attributes:
        kind: one of `KINDS`.
        name: of the corpus: that of a corpus of the registry, else made of the path.
        path: the file or folder; of the hub `hf:org/name`.
        tables: split -> its table, where there is one for each.
        command: of ``data_prep`` that prepares it; empty for a data dir.
    """

    kind: str
    name: str
    path: Path
    command: str = ""
    tables: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_prepared(self) -> bool:
        """Whether it is a data dir, of this layout or of the legacy one."""
        return not self.command

    def prepare_words(
        self, out_dir: Path, options: argparse.Namespace, command: Sequence[str] = ()
    ) -> list[str]:
        """Return the words after ``python -m data_prep.`` that prepare it; none for a data dir.

        Args:
            out_dir: the data dir to write.
            options: with those of `add_preparation_options`; others are ignored.
            command: the words that the user gave, to which what is missing of a table is added
                (default: those that prepare it).

        Raises:
            CodedError: options that describe a table, for something else; or what is missing of a
                table, all at once.
        """
        given = given_options(options)
        if self.kind in ("data_dir", "legacy"):
            self._refuse(given, ("--data-raw",), "is prepared")
            return []
        if self.kind == "corpus":
            self._refuse(given, _corpus_options(self.command), f"is the corpus {self.name}")
        further = [word for words in given.values() for word in words]
        if self.kind != "corpus" and "--name" not in given:
            further += ["--name", self.name]
        named = [f"{split}={path}" for split, path in self.tables.items()] or [str(self.path)]
        words = [self.command, *named, str(out_dir), *further]
        if self.command == "table":
            from data_prep.tables.decisions import infer_recipe

            default = ["python", "-m", f"data_prep.{words[0]}", *words[1:]]
            infer_recipe(self.tables or {"": self.path}, options, command or default)
        return words

    def has_videos(self, words: Sequence[str]) -> bool:
        """Return whether preparing it by the words of a command fills the column `video`."""
        if self.kind == "corpus":
            from data_prep.corpora.registry import CORPORA

            return CORPORA[self.command].has_videos(self.path, words)
        return any(word.startswith("video=") for word in words)

    def _refuse(self, given: dict[str, list[str]], taken: Sequence[str], problem: str) -> None:
        if unused := [option for option in given if option not in taken]:
            raise CodedError(
                f"{self.path} {problem}, and {', '.join(unused)} would have no effect; leave "
                f"{'it' if len(unused) == 1 else 'them'} out",
                "option-unused",
            )


def _corpus_options(corpus: str) -> list[str]:
    """Return the options of the command of a corpus."""
    from data_prep.corpora.registry import CORPORA

    parser = argparse.ArgumentParser(add_help=False)
    CORPORA[corpus].add_arguments(parser)
    return list(parser._option_string_actions)


def find_source(path: str | Path) -> Source:
    """Return what a path is.

    Raises:
        CodedError: nothing that can be prepared, with what it looks like; or more than one thing.
    """
    if str(path).startswith(HUB):
        name = str(path).removeprefix(HUB)
        return Source("hf_dataset", corpus_name(name.rpartition("/")[2]), Path(path), "hf_table")
    path = Path(path)
    if path.is_file():
        return _file(path)
    if not path.is_dir():
        remedy = "check the path"
        if re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
            remedy += f", or write {HUB}{path} for a data set of the Hugging Face hub"
        raise CodedError(f"{path}: no such file or folder; {remedy}", "source-missing")
    if prepared := _prepared_in(path):
        return prepared[0]
    sources = list(_sources_in(path))
    _refuse_beside_corpus(path, sources)
    if len(sources) > 1 and all(source.kind == "table" for source in sources):
        names = first_few([source.path.name for source in sources])
        raise CodedError(
            f"{path}: holds {len(sources)} tables ({names}); name one of them", "source-ambiguous"
        )
    if len(sources) > 1:
        choices = "; ".join(f"python -m data_prep.{s.command} {s.path} OUT_DIR" for s in sources)
        kinds = " and ".join(_described(source) for source in sources)
        raise CodedError(f"{path}: could be {kinds}; choose: {choices}", "source-ambiguous")
    if not sources:
        raise CodedError(
            f"{path}: {_looks_like(path)}; give a table such as labels.csv with a row for each "
            "recording or text, or a folder that holds a folder of recordings for each class",
            "source-unknown",
        )
    return sources[0]


def _refuse_beside_corpus(path: Path, sources: Sequence[Source]) -> None:
    """Raise an error if a folder holds that of a corpus or a data dir, or is a part of one.

    Args:
        path: of the folder.
        sources: what it could be; only folders of classes may be something else.
    """
    if sources and sources[0].kind != "class_folders":
        return
    inner = sorted(child for child in path.glob("[!.]*") if child.is_dir())[:_SEARCHED]
    for folder in inner if sources else [*inner, path.resolve().parent]:
        try:
            known = _prepared_in(folder) or _corpora_in(folder)
        except PermissionError:  # such as lost+found of a disk
            continue
        if known:
            place = "holds" if folder in inner else "is in"
            raise CodedError(
                f"{path}: {place} {_described(known[0])}; give {folder}", "source-unknown"
            )


def _file(path: Path) -> Source:
    from data_prep.tables.reader import TABLES

    suffix = path.suffix.lower()
    if suffix in (*TABLES, ".txt"):
        return Source("table", corpus_name(path.stem), path, "table")
    problem = f"no table, which ends in {', '.join(TABLES)} or .txt"
    remedy = "save it as CSV"
    if suffix in AUDIO_SUFFIXES:
        problem, remedy = "a recording", "give a table with a row for each recording, or a folder"
    if suffix in _ARCHIVES:
        problem, remedy = "an archive", "unpack it, and give what was in it"
    raise CodedError(f"{path}: {problem}; {remedy}", "source-unknown")


def _described(source: Source) -> str:
    return f"the corpus {source.name}" if source.kind == "corpus" else KINDS[source.kind]


# -- Folders ---------------------------------------------------------------------------------------

_PREPARED: dict[str, Callable[[Path], bool]] = {
    "data_dir": lambda folder: (folder / CORPUS_FILE).is_file(),
    "legacy": lambda folder: any((folder / name).is_file() for name in _LEGACY),
}


def _corpora_in(folder: Path) -> list[Source]:
    from data_prep.corpora.registry import CORPORA

    names = [name for name, recipe in CORPORA.items() if recipe.recognizes(folder)]
    return [Source("corpus", name, folder, name) for name in names]


def _prepared_in(folder: Path) -> list[Source]:
    name = corpus_name(folder.resolve().name)
    return [Source(kind, name, folder) for kind, is_one in _PREPARED.items() if is_one(folder)]


def _sources_in(folder: Path) -> Iterator[Source]:
    """Yield what a folder could be: corpora first, and nothing else if it is one."""
    corpora = _corpora_in(folder)
    yield from corpora or _tables_in(folder)


def _tables_in(folder: Path) -> Iterator[Source]:
    from data_prep.tables.audformat import HEADER
    from data_prep.tables.folders import has_class_folders, is_audio_folder
    from data_prep.tables.reader import PARQUET
    from data_prep.tables.shards import find_shards

    name = corpus_name(folder.resolve().name)
    if is_saved_dataset(folder):
        yield Source("hf_dataset", name, folder, "hf_table")
        return
    if (folder / HEADER).is_file():
        yield Source("audformat", name, folder, "hf_table")
        return
    try:
        shards = find_shards(folder)
    except CodedError as error:
        if error.code != "table-missing":
            raise
    else:
        files = [path for paths in shards.values() for path in paths]
        if len(files) == len(shards) and not any(f.suffix.lower() == PARQUET for f in files):
            tables = {split: paths[0] for split, paths in shards.items()}
            yield Source("split_tables", name, folder, "table", tables)
        else:  # which may hold the sound itself
            yield Source("split_tables", name, folder, "hf_table")
        return
    if is_audio_folder(folder):
        yield Source("audio_folder", name, folder, "table")
        return
    if paths := _single_tables(folder):
        yield from (Source("table", name, path, "table") for path in paths)
    elif has_class_folders(folder):
        yield Source("class_folders", name, folder, "table")


def _single_tables(folder: Path) -> list[Path]:
    from data_prep.tables.reader import TABLES

    return sorted(p for p in folder.glob("[!.]*") if p.suffix.lower() in TABLES and p.is_file())


def _looks_like(folder: Path) -> str:
    """Describe the content of a folder in a few words."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.glob("[!.]*"))
    if not names:
        return "an empty folder"
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"neither a data dir, a corpus, nor a table, but {', '.join(names[:_SHOWN])}{rest}"


# Kind -> how messages call it.
KINDS = {
    "data_dir": "a data dir",
    "legacy": "a data dir of the T_data layout",
    "corpus": "a corpus",
    "table": "a table",
    "split_tables": "a folder with a table for each split",
    "audformat": "an audformat database",
    "audio_folder": "an AudioFolder with metadata",
    "class_folders": "a folder of recordings for each class",
    "hf_dataset": "a data set of the library datasets",
}
