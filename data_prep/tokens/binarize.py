"""Encode the rows of manifests in parallel, and write token files.

The files and their card are defined in `data_prep.tokens.folder`, the encoders in
`text_tokenizers` and `speech_tokenizers`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from data_prep.engines import Workers
from data_prep.errors import CodedError
from data_prep.files.shards import ArrayCodec, ShardStore, shard_map, spans_of
from data_prep.manifest.digests import sequence_digest
from data_prep.manifest.table import ManifestTable
from data_prep.progress import track
from data_prep.schema import SPLITS, read_corpus, read_manifest
from data_prep.tokens.folder import TokenFolder, Tokens

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

_TEXTS = 1024  # that are sent to a worker together


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


def read_splits(data_dir: str | Path) -> dict[str, ManifestTable]:
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
    data_dir: str | Path, splits: Mapping[str, ManifestTable], remedy: str
) -> ManifestTable:
    """Return the rows on which a tokenizer may be fitted.

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
    build_encoder: Callable[[], Callable[[Sequence[Item]], list[Tokens]]],
    workers: Workers,
    costs: Callable[[Item], int | None] | None = None,
) -> None:
    """Write the tokens of every split that is not finished, and log which are skipped.

    Args:
        folder: of the tokens, locked.
        jobs: the input of each split.
        build_encoder: picklable; called once in each worker, returns the function of some items.
        workers: an engine, or a number of processes on this machine.
        costs: samples of an item. The tokens of finished shards of a split are kept then until it
            is written, so that a run which was killed continues; texts are faster tokenized again.
    """
    folder.forget_all_but(jobs)
    remaining = {}
    for split, job in jobs.items():
        if folder.is_finished(split, job.digest, job.manifest):
            logger.info("%s: %s is up to date, skipped", folder.folder, split)
        else:
            remaining[split] = job
    if not remaining:
        return
    with shard_map(build_encoder, workers) as encode_all:
        for split, job in remaining.items():
            name = f"{folder.folder.name} {split}"
            store, spans = None, spans_of(len(job.items), most_rows=_TEXTS)
            if costs is not None:
                store = ShardStore(folder.folder / f".{split}.partial", ArrayCodec())
                spans = spans_of(len(job.items), [costs(item) for item in job.items])
            of = {**folder.identity, "digest": job.digest, "manifest": job.manifest}
            tokens = encode_all(job.items, spans, name, store, sequence_digest(of.items()))
            rows = track(tokens, name, len(job.items))
            missing = sum(item is None for item in job.items)
            folder.write_split(split, job.digest, rows, missing, job.manifest)
            if store is not None:
                store.remove()


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
