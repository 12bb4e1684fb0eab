"""Encode the rows of manifests in parallel, and write token files.

The files and their card are defined in `data_prep.tokens.folder`, the encoders in
`text_tokenizers` and `speech_tokenizers`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from data_prep.errors import CodedError
from data_prep.progress import track
from data_prep.schema import SPLITS, Utterance, read_corpus, read_manifest
from data_prep.tokens.folder import TokenFolder, Tokens

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class SplitJob(Generic[Item]):
    """The input of the tokenization of one split.

    Attributes:
        items: texts or audio of the rows; None is encoded as `</s>`.
        digest: digest of the content of the items.
        manifest: digest of the ids and sources in the manifest.
    """

    items: Sequence[Item]
    digest: str
    manifest: str = ""


def read_splits(data_dir: str | Path) -> dict[str, list[Utterance]]:
    """Read the manifests listed in corpus.yaml, in its order. Raises ValueError if one is empty."""
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
    data_dir: str | Path, splits: Mapping[str, list[Utterance]], remedy: str
) -> list[Utterance]:
    """Return the rows on which a tokenizer may be fitted.

    Args:
        data_dir: named in the message.
        splits: rows of every split.
        remedy: appended to the message.

    Raises:
        ValueError: there is no train split, as with folds, whose train rows are test rows of
            another fold.
    """
    if "train" not in splits:
        raise CodedError(
            f"{data_dir}: no train split, and a tokenizer is only fitted on train; {remedy}",
            "train-missing",
        )
    return splits["train"]


def binarize_splits(
    folder: TokenFolder,
    jobs: Mapping[str, SplitJob[Item]],
    build_encoder: Callable[[], Callable[[Item], Tokens]],
    workers: int,
) -> None:
    """Write the tokens of every split that is not finished, and log which are skipped."""
    folder.forget_all_but(jobs)
    remaining = {}
    for split, job in jobs.items():
        if folder.is_finished(split, job.digest, job.manifest):
            logger.info("%s: %s is up to date, skipped", folder.folder, split)
        else:
            remaining[split] = job
    if not remaining:
        return
    with ordered_map(build_encoder, workers) as encode_all:
        for split, job in remaining.items():
            name = f"{folder.folder.name} {split}"
            rows = track(encode_all(job.items), name, len(job.items))
            missing = sum(item is None for item in job.items)
            folder.write_split(split, job.digest, rows, missing, job.manifest)


@contextmanager
def ordered_map(
    build: Callable[[], Callable[[Item], Result]], workers: int, at_once: int = 64
) -> Iterator[Callable[[Sequence[Item]], Iterator[Result]]]:
    """Yield an ordered `map` of a function over several processes.

    A few items per process are computed ahead of the results that are taken, so that memory is
    bounded when these are large, and written slowly.

    Args:
        build: picklable; called once in each process, returns the function.
        workers: number of processes; 1 = this process. They are not forked, since a forked child of
            a process with OpenMP threads may deadlock.
        at_once: most items that are sent to a process together.
    """
    if workers <= 1:
        function = build()
        yield lambda items: map(function, items)
        return
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_set_up, initargs=(build,))

    def over(items: Sequence[Item]) -> Iterator[Result]:
        size = max(1, min(at_once, len(items) // (4 * workers)))
        groups = (items[start : start + size] for start in range(0, len(items), size))
        waiting = deque(pool.submit(_call_all, group) for group in islice(groups, 4 * workers))
        while waiting:
            results = waiting.popleft().result()
            waiting.extend(pool.submit(_call_all, group) for group in islice(groups, 1))
            yield from results

    try:
        yield over
    finally:
        pool.shutdown(cancel_futures=True)


_worker_state: dict[str, Callable[[Any], Any]] = {}


def _set_up(build: Callable[[], Callable[[Any], Any]]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker_state["function"] = build()


def _end_with_parent() -> None:
    """Exit when the parent is killed, instead of waiting for its next item forever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _call_all(items: Sequence[Any]) -> list[Any]:
    return [_worker_state["function"](item) for item in items]


def summary_table(folder: TokenFolder) -> str:
    """Format a line per split: rows, tokens with `</s>`, share of unknown, rows without source."""
    lines = [f"{folder.folder}: {folder.vocab_size} symbols"]
    lines.append(f"{'split':<12}{'rows':>9}{'tokens':>12}{'unknown':>10}{'missing':>9}")
    for split, counts in folder.splits.items():
        share = counts.unknown / max(1, counts.tokens)
        lines.append(
            f"{split:<12}{counts.rows:>9}{counts.tokens:>12}{share:>10.3%}{counts.missing:>9}"
        )
    return "\n".join(lines)
