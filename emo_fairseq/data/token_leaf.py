"""The leaf of a modality that is read as tokens: each row alone, or a turn among its neighbors."""

from pathlib import Path

import numpy as np
from fairseq.data import FairseqDataset

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.context import NO_PREFIX, ContextDataset, speaker_prefixes
from emo_fairseq.data.dialogue import find_hidden, find_neighbors, has_context, has_place
from emo_fairseq.data.limits import InputLimits
from emo_fairseq.data.manifest import Split, report_rows
from emo_fairseq.data.tokens import TokenDataset, open_binarized
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TEXT


def token_leaf(
    folder: Path, limits: InputLimits, modality: str, split: Split, specials: SpecialIds
) -> FairseqDataset:
    """The dataset of one modality's tokens, an item a row of the stored split.

    Args:
        folder: the data dir.
        limits: with the task's options, which say how long an item may be, and what surrounds it.
        modality: which one; text alone has context.
        split: whose own rows are the ones that context is taken from.
        specials: ids of the boundary tokens and of padding.

    Raises:
        UsageError: context is asked for, and the rows have no dialogues, or contradictory ones.
    """
    stored = split.stored
    if stored.tokens:
        source = stored.tokens[modality]
        lengths = np.array([len(ids) for ids in source])
    else:
        source = open_binarized(folder / modality, stored.name, stored.utterances)
        lengths = np.asarray(source.sizes)
    if modality == TEXT and has_context(limits.cfg):
        return _in_context(folder, limits, split, source, specials)
    limit = limits.max_tokens(modality)
    whole = (lengths if stored.tokens else lengths + 1)[split.stored_rows]  # no <s> is stored
    report_rows(split, whole > limit, f"are cut at --max-{modality}-tokens {limit}")
    return TokenDataset(source, lengths, stored.present(modality), specials, limit)


def _in_context(
    folder: Path, limits: InputLimits, split: Split, source: FairseqDataset, specials: SpecialIds
) -> ContextDataset:
    """The text leaf under ``--context-past`` and ``--context-future``."""
    if split.stored.tokens:
        raise UsageError(
            "--context-past / --context-future: the seed's layout names no dialogues; leave "
            "the options out, or prepare the corpus as a data dir"
        )
    cfg = limits.cfg
    rows, has_text, own = split.stored.utterances, split.stored.present(TEXT), split.stored_rows
    within = np.isin(np.arange(len(rows)), own)
    present = has_text & within
    nowhere = np.array([not has_place(row) for row in rows])
    what = "stand alone, they have no dialogue or no turn"
    report_rows(split, (present & nowhere)[own], what)
    try:
        neighbors = find_neighbors(rows, present, cfg.context_past, cfg.context_future)
        hidden = find_hidden(rows, has_text, within, cfg.context_past, cfg.context_future)
    except ValueError as error:
        raise UsageError(f"{split.file}: {error}") from error
    what = "have neighboring turns in another set of the fold, which they do not see"
    report_rows(split, hidden[own], f"of {split.name} {what}")
    prefixes = [NO_PREFIX] * len(rows)
    if cfg.context_speakers:
        prefixes = speaker_prefixes(folder / TEXT, [row.speaker for row in rows])
    limit, pool_all = limits.max_tokens(TEXT), cfg.context_pooling == "all"
    leaf = ContextDataset(source, present, neighbors, prefixes, specials, limit, pool_all)
    report_rows(split, leaf.is_cut[own], f"have context cut at --max-text-tokens {limit}")
    return leaf
