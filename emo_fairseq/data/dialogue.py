"""The modality dataset of a dialogue's texts: each turn among its neighbors."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.schema import Utterance
from data_prep.tokens.folder import SpecialIds
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq.data.modality_dataset import pad_right


class Neighbors(NamedTuple):
    """Rows round one row, the nearest first."""

    past: list[int]
    future: list[int]


def has_context(options: Any) -> bool:
    """Whether a task's options join the turns round each one."""
    return bool(options.context_past or options.context_future)


def find_neighbors(
    utterances: Sequence[Utterance], usable: np.ndarray, n_past: int, n_future: int
) -> list[Neighbors]:
    """The turns before and after each row of a split, of the same dialogue, by turn number.

    Args:
        utterances: N rows.
        usable: (N,) bool; rows that have nothing to say (no text) are passed over, so that the
            turns beyond them come in.
        n_past: how many turns before, at most.
        n_future: how many turns after, at most.

    Returns:
        N entries, without neighbors for a row that has no dialogue or no turn number.

    Raises:
        ValueError: two rows claim the same turn of a dialogue.
    """
    dialogues: dict[str, list[int]] = defaultdict(list)
    for row, utterance in enumerate(utterances):
        if has_place(utterance):
            dialogues[str(utterance.dialogue)].append(row)
    found = [Neighbors([], []) for _ in utterances]
    for name, rows in dialogues.items():
        rows.sort(key=lambda row: utterances[row].turn or 0)
        _check_turns(name, [utterances[row] for row in rows])
        for position, row in enumerate(rows):
            before = [other for other in reversed(rows[:position]) if usable[other]]
            after = [other for other in rows[position + 1 :] if usable[other]]
            found[row] = Neighbors(before[:n_past], after[:n_future])
    return found


def find_hidden(
    utterances: Sequence[Utterance],
    usable: np.ndarray,
    own: np.ndarray,
    n_past: int,
    n_future: int,
) -> np.ndarray:
    """The rows of a set whose nearest turns are partly of another set, and so are not seen.

    Args:
        utterances: N rows, of which the set is a part.
        usable: (N,) bool, as for :func:`find_neighbors`.
        own: (N,) bool, the rows of the set.
        n_past: how many turns before are asked for.
        n_future: how many turns after.

    Returns:
        (N,) bool, False for all rows beyond the set.
    """
    found = find_neighbors(utterances, usable, n_past, n_future)
    missed = [any(not own[other] for side in round_it for other in side) for round_it in found]
    return own & usable & np.array(missed, dtype=bool)


def has_place(utterance: Utterance) -> bool:
    """Whether a row says where in which dialogue it stands."""
    return utterance.dialogue is not None and utterance.turn is not None


def _check_turns(dialogue: str, rows: Sequence[Utterance]) -> None:
    for one, other in pairwise(rows):
        if one.turn == other.turn:
            raise ValueError(
                f"dialogue {dialogue!r}: {one.id} and {other.id} are both turn {one.turn}, so that "
                "nobody knows which comes first; correct the column turn"
            )


# -- The token leaf of a dialogue: each turn among its neighbors -----------------------------------

NO_PREFIX = np.zeros(0, dtype=np.int64)
_BOUNDARIES = 2  # the initial token, and the separator after the last turn


class _Plan(NamedTuple):
    """How many tokens of which rows come before and after a turn, outermost first and last."""

    before: list[tuple[int, int]]
    after: list[tuple[int, int]]


class ContextDataset(FairseqDataset):
    """Tokens of each row with those of its neighbors.

    An item is the initial token, then the turns in their order with a separator after each::

        <s> past </s> past </s> CURRENT </s> future </s>

    It is at most ``max_tokens`` long and is cut from the outside in: the nearest turns come in
    first, past before future; the first that does not fit whole gives the tokens that are nearest
    to the current turn, and nothing beyond it comes in. A turn of whose text no token is left adds
    nothing, not even a separator. The current turn is cut at its end, if it is too long by itself.

    Args:
        source: N sequences of ids, without the initial token, ending with the separator.
        present: (N,) bool; a row that is not present becomes the two boundary tokens.
        neighbors: for each row those round it.
        prefixes: for each row tokens that come before its own, such as the speaker's name.
        specials: ids of the boundary tokens and of padding.
        max_tokens: the longest item.
        pool_all: let the fusion look at the neighbors' tokens too, and not only at the current
            turn's and the initial one's.
    """

    def __init__(
        self,
        source: FairseqDataset,
        present: np.ndarray,
        neighbors: Sequence[Neighbors],
        prefixes: Sequence[np.ndarray],
        specials: SpecialIds,
        max_tokens: int,
        pool_all: bool,
    ) -> None:
        super().__init__()
        self.source = source
        self.present = present
        self.neighbors = neighbors
        self.prefixes = prefixes
        self.specials = specials
        self.max_tokens = max_tokens
        self.pool_all = pool_all
        # Without the separator that ends every row, with the prefix.
        self._lengths = np.asarray(source.sizes) - 1 + np.array([len(p) for p in prefixes])
        self.sizes = np.array([self._size(row) for row in range(len(present))])
        whole = np.array([self._whole(row) for row in range(len(present))])
        self.is_cut = np.asarray(present) & (whole > max_tokens)

    def __getitem__(self, index: int) -> tuple[Tensor, bool, tuple[int, int]]:
        first = torch.tensor([self.specials.init])
        last = torch.tensor([self.specials.separator])
        if not self.present[index]:
            return torch.cat([first, last]), False, (0, 2)
        plan = self._plan(index)
        before = [
            part
            for row, kept in plan.before
            for part in (self._turn(row)[int(self._lengths[row]) - kept :], last)
        ]
        current = self._turn(index)[: self.max_tokens - _BOUNDARIES]
        after = [part for row, kept in plan.after for part in (self._turn(row)[:kept], last)]
        start = 1 + sum(map(len, before))
        tokens = torch.cat([first, *before, current, last, *after])
        return tokens, True, (start, start + len(current) + 1)

    def __len__(self) -> int:
        return len(self.present)

    def collater(self, samples: list[tuple[Tensor, bool, tuple[int, int]]]) -> dict[str, Tensor]:
        """``tokens``, ``padding_mask`` and ``focus`` (B, T), ``present`` (B,)."""
        tokens, padding_mask = pad_right([sample[0] for sample in samples], self.specials.pad)
        batch = {
            "tokens": tokens,
            "padding_mask": padding_mask,
            "present": torch.tensor([sample[1] for sample in samples]),
        }
        if not self.pool_all:
            position = torch.arange(tokens.size(1))
            start, end = torch.tensor([sample[2] for sample in samples]).T[..., None]  # (B, 1) each
            batch["focus"] = ((position >= start) & (position < end)) | (position == 0)
        return batch

    def _turn(self, row: int) -> Tensor:
        """Tokens of one turn, its prefix first, no separator."""
        body = torch.as_tensor(self.source[row]).long()[:-1]
        return torch.cat([torch.as_tensor(self.prefixes[row], dtype=torch.long), body])

    def _plan(self, index: int) -> _Plan:
        past, future = self.neighbors[index]
        room = self.max_tokens - _BOUNDARIES - int(self._lengths[index])
        plan = _Plan([], [])
        by_distance = [
            (row, side)
            for distance in range(max(len(past), len(future)))
            for side, rows in ((plan.before, past), (plan.after, future))
            for row in rows[distance : distance + 1]
        ]
        for row, side in by_distance:
            if self._lengths[row] == 0:
                continue
            kept = min(int(self._lengths[row]), room - 1)  # a separator belongs to each turn
            if kept <= 0:
                break
            side.append((row, kept))
            room -= kept + 1
            if kept < self._lengths[row]:
                break
        plan.before.reverse()
        return plan

    def _size(self, index: int) -> int:
        if not self.present[index]:
            return _BOUNDARIES
        plan = self._plan(index)
        context = sum(kept + 1 for _, kept in (*plan.before, *plan.after))
        return min(int(self._lengths[index]) + _BOUNDARIES + context, self.max_tokens)

    def _whole(self, index: int) -> int:
        """Length of an item if nothing were cut."""
        past, future = self.neighbors[index]
        lengths = [int(self._lengths[row]) for row in (*past, *future)]
        context = sum(length + 1 for length in lengths if length > 0)
        return int(self._lengths[index]) + _BOUNDARIES + context


def speaker_prefixes(text_folder: Path, speakers: Sequence[str | None]) -> list[np.ndarray]:
    """For each row the tokens of its speaker's name and a colon; nothing where there is no name.

    Args:
        text_folder: a token folder, whose own tokenizer tokenizes the names.
        speakers: N names.
    """
    tokenizer = load_text_tokenizer(text_folder)
    names = {name: tokenizer.encode(f"{name}:")[:-1] for name in set(speakers) if name is not None}
    return [NO_PREFIX if name is None else names[name] for name in speakers]
