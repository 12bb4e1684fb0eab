"""What both tokenizers share: manifests in, rows encoded in parallel and in order, token files out.

The files and their card are `token_folder`'s; the encoders are `text_tokenizers`' and
`speech_tokenizers`'.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from data_prep.errors import CodedError
from data_prep.schema import SPLITS, Utterance, read_corpus, read_manifest
from data_prep.tokens.folder import TokenFolder, Tokens

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class SplitJob(Generic[Item]):
    """What one split's tokens are made from; an item of None becomes the row `</s>`.

    `digest` covers the content itself, `manifest` only what the manifest says of it.
    """

    items: Sequence[Item]
    digest: str
    manifest: str = ""


def read_splits(data_dir: str | Path) -> dict[str, list[Utterance]]:
    """The manifests that corpus.yaml names, in its order. Raises ValueError for an empty one."""
    data_dir = Path(data_dir)
    names = list(read_corpus(data_dir).splits)
    names = names or [split for split in SPLITS if (data_dir / f"{split}.tsv").is_file()]
    if not names:
        raise CodedError(
            f"{data_dir}: holds no {{split}}.tsv; write it with a data_prep command",
            "manifest-missing",
        )
    splits = {split: read_manifest(data_dir / f"{split}.tsv") for split in names}
    for split, rows in splits.items():
        if not rows:
            raise CodedError(
                f"{data_dir / split}.tsv: has no rows; fill it or take the split out",
                "manifest-empty",
            )
    return splits


def train_rows(
    data_dir: str | Path, splits: Mapping[str, list[Utterance]], instead: str
) -> list[Utterance]:
    """The rows that a tokenizer may be fitted on.

    Raises ValueError without a train split: folds cut it anew each time, out of rows that another
    fold tests on.
    """
    if "train" not in splits:
        raise CodedError(
            f"{data_dir}: no train split, and a tokenizer is fitted on train alone; {instead}",
            "train-missing",
        )
    return splits["train"]


def binarize_splits(
    folder: TokenFolder,
    jobs: Mapping[str, SplitJob[Item]],
    build_encoder: Callable[[], Callable[[Item], Tokens]],
    workers: int,
) -> None:
    """Write the tokens of every split that is not finished; say which are skipped."""
    folder.forget_all_but(jobs)
    left = {}
    for split, job in jobs.items():
        if folder.is_finished(split, job.digest, job.manifest):
            logger.info("%s: %s is up to date, skipped", folder.folder, split)
        else:
            left[split] = job
    if not left:
        return
    with ordered_map(build_encoder, workers) as encode_all:
        for split, job in left.items():
            name = f"{folder.folder.name} {split}"
            rows = tqdm(encode_all(job.items), name, len(job.items), disable=None)
            missing = sum(item is None for item in job.items)
            folder.write_split(split, job.digest, rows, missing, job.manifest)


@contextmanager
def ordered_map(
    build: Callable[[], Callable[[Item], Result]], workers: int
) -> Iterator[Callable[[Sequence[Item]], Iterator[Result]]]:
    """A `map` of the function that `build` makes, in order, over `workers` processes (1: this one).

    Each process calls the picklable `build` once. They are started afresh rather than forked: the
    parent may hold OpenMP threads, whose locks a forked child can wait for in vain.
    """
    if workers <= 1:
        function = build()
        yield lambda items: map(function, items)
        return
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_set_up, initargs=(build,))

    def over(items: Sequence[Item]) -> Iterator[Result]:
        return pool.map(_call, items, chunksize=max(1, min(64, len(items) // (4 * workers))))

    try:
        yield over
    finally:
        pool.shutdown(cancel_futures=True)


_of_this_worker: dict[str, Callable[[Any], Any]] = {}


def _set_up(build: Callable[[], Callable[[Any], Any]]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _of_this_worker["function"] = build()


def _end_with_parent() -> None:
    """Without this, the workers of a parent ended by kill -9 wait for its next item forever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    return _of_this_worker["function"](item)


def summary_table(folder: TokenFolder) -> str:
    """A line per split: rows, tokens (with `</s>`), share of unknown ones, rows without source."""
    lines = [f"{folder.folder}: {folder.vocab_size} symbols"]
    lines.append(f"{'split':<12}{'rows':>9}{'tokens':>12}{'unknown':>10}{'missing':>9}")
    for split, counts in folder.splits.items():
        share = counts.unknown / max(1, counts.tokens)
        lines.append(
            f"{split:<12}{counts.rows:>9}{counts.tokens:>12}{share:>10.3%}{counts.missing:>9}"
        )
    return "\n".join(lines)
