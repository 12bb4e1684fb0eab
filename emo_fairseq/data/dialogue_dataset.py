"""The dataset of a split whose rows are predicted as turns of dialogues."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.manifest.table import take
from emo_fairseq.data.dialogue_windows import Window, collate_windows
from emo_fairseq.data.utterance_dataset import UtteranceDataset
from emo_fairseq.errors import UsageError

_OF_TURNS = ("utterance_id", "target", "annotations")  # of a batch, a value for each turn


class DialogueDataset(FairseqDataset):
    """Wraps the dataset of all turns; its rows are those that are scored.

    An item is a row number alone. The collater reads the windows that score the rows, with all
    their turns, so that any choice of rows, such as a curriculum's, has its whole context. A batch
    has inputs of U turns, and everything else of the B scored rows::

        {"id": (B,), "nsentences": B, "ntokens": B, "split": "train", "utterance_id": [B names],
         "net_input": {"text": {...}, "speech": {...},   of U turns
                       "dialogue": {...}},               see `collate_windows`
         "target": (B,) or (B, A), "annotations": {...}, "case": [B names], "cases": [...]}

    Batches consist of whole windows. ``--batch-size`` limits their turns, those that give context
    alone included, and ``--max-tokens`` their turns, all padded to the longest, times its length.

    Args:
        turns: the dataset of M turns, without cases.
        windows: of these; each scored row is scored in one of them, and each has one.
        speakers: of the M turns; None where unknown.
        cases: of the N rows, as :class:`UtteranceDataset` takes them; None where all of these
            have the same modalities.
    """

    def __init__(
        self,
        turns: UtteranceDataset,
        windows: Sequence[Window],
        speakers: Sequence[str | None],
        cases: Sequence[str] | None,
    ) -> None:
        super().__init__()
        self.turns = turns
        self.windows = windows
        self.speakers = speakers
        window_of = np.full(len(turns), -1)  # (M,)
        for number, window in enumerate(windows):
            window_of[window.rows[window.scored]] = number
        self._turn_of = np.flatnonzero(window_of >= 0)  # (N,), by row
        self._window_of = window_of[self._turn_of]  # (N,)
        self._cases = cases
        self.utterance_ids = take(turns.utterance_ids, self._turn_of)
        self.split = turns.split
        self.shuffle = turns.shuffle
        lengths = turns.num_tokens_vec(np.arange(len(turns)))  # (M,)
        self._n_turns = np.array([len(window.rows) for window in windows])  # (W,)
        self._longest = np.array([lengths[window.rows].max() for window in windows])  # (W,)
        self.sizes = lengths[self._turn_of]

    def __getitem__(self, index: int) -> int:
        return index

    def __len__(self) -> int:
        return len(self._turn_of)

    def size(self, index: int) -> int:
        return int(self.sizes[index])

    def num_tokens(self, index: int) -> int:
        return int(self.sizes[index])

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(self.sizes[indices])

    def truth(self, rows: np.ndarray) -> Tensor:
        """Return the truth of some rows, (B,) or (B, A)."""
        return self.turns.truth(self._turn_of[rows])

    def collater(self, samples: list[int]) -> dict[str, Any]:
        """Return a batch; empty for no rows."""
        if not samples:
            return {}
        wanted = self._turn_of[samples]  # (B,)
        windows = [
            Window(window.rows, window.scored & np.isin(window.rows, wanted))
            for window in map(self.windows.__getitem__, dict.fromkeys(self._windows_of(samples)))
        ]
        dialogue = collate_windows(windows, self.speakers)
        rows = np.concatenate([window.rows for window in windows])  # (U,)
        number_of = {int(rows[number]): number for number in dialogue["scored"].tolist()}
        scored = [number_of[turn] for turn in wanted.tolist()]  # in the order of the samples
        batch = self.turns.collater([self.turns[row] for row in rows.tolist()])
        selected = {name: _select(batch[name], scored) for name in _OF_TURNS if name in batch}
        if self._cases is not None:
            selected["case"] = [self._cases[row] for row in samples]
            selected["cases"] = sorted({*self._cases})
        return {
            **batch,
            **selected,
            "id": torch.tensor(samples),
            "nsentences": len(samples),
            "ntokens": len(samples),
            "net_input": {
                **batch["net_input"],
                "dialogue": {
                    **{name: torch.from_numpy(values) for name, values in dialogue.items()},
                    "scored": torch.tensor(scored),
                },
            },
        }

    def ordered_indices(self) -> np.ndarray:
        """Return the rows window after window: at random, or the most expensive window first."""
        if self.shuffle:
            # numpy's global generator, which fairseq seeds by epoch before it calls this.
            rank = np.random.permutation(len(self.windows))
        else:
            rank = np.argsort(np.argsort(-self._n_turns * self._longest, kind="stable"))
        return np.argsort(rank[self._window_of], kind="stable")

    def batch_by_size(
        self,
        indices: np.ndarray,
        max_tokens: int | None = None,
        max_sentences: int | None = None,
        required_batch_size_multiple: int = 1,
    ) -> list[np.ndarray]:
        """Return batches of whole windows, in the order of their first rows.

        A window that is larger than `max_sentences` is a batch of its own.
        """
        indices = np.asarray(indices)
        numbers = np.array(self._windows_of(indices), dtype=np.int64)
        batches: list[list[int]] = []
        n_turns = longest = 0
        for number in dict.fromkeys(numbers.tolist()):
            n_turns += int(self._n_turns[number])
            longest = max(longest, int(self._longest[number]))
            is_full = (max_sentences is not None and n_turns > max_sentences) or (
                max_tokens is not None and n_turns * longest > max_tokens
            )
            if is_full or not batches:
                batches.append([])
                n_turns, longest = int(self._n_turns[number]), int(self._longest[number])
            batches[-1].append(number)
        rows_of = _group(indices, numbers)
        return [np.concatenate([rows_of[number] for number in batch]) for batch in batches]

    def largest_batch(self, max_sentences: int) -> np.ndarray:
        """Return the rows of the windows with most tokens, as many as a batch may have."""
        order = np.argsort(-(self._n_turns * self._longest)[self._window_of], kind="stable")
        return self.batch_by_size(order, max_sentences=max_sentences)[0]

    def check_max_tokens(self, max_tokens: int | None) -> None:
        """Raise a `UsageError` if a single window has more tokens than ``--max-tokens``."""
        tokens = self._n_turns * self._longest
        largest = int(tokens.argmax())
        if max_tokens is not None and tokens[largest] > max_tokens:
            raise UsageError(
                f"--max-tokens {max_tokens}: a window of {self.split} has {self._n_turns[largest]} "
                f"turns of up to {self._longest[largest]}, {tokens[largest]} in all; give at least "
                "so many, a smaller --dialogue-window, or --batch-size in its place",
                "max-tokens-too-small",
            )

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.turns.set_epoch(epoch)

    def _windows_of(self, rows: Sequence[int] | np.ndarray) -> list[int]:
        return self._window_of[np.asarray(rows, dtype=np.int64)].tolist()


EmotionDataset = UtteranceDataset | DialogueDataset


def _select(values: Any, numbers: Sequence[int]) -> Any:
    """Select among the turns of a batch: of a tensor, a list, or a mapping of these."""
    if isinstance(values, Mapping):
        return {name: _select(value, numbers) for name, value in values.items()}
    if isinstance(values, Tensor):
        return values[torch.tensor(numbers)]
    return [values[number] for number in numbers]


def _group(rows: np.ndarray, numbers: np.ndarray) -> dict[int, np.ndarray]:
    """Return the rows of each number, in their order."""
    order = np.argsort(numbers, kind="stable")
    firsts = np.flatnonzero(np.diff(numbers[order])) + 1
    parts = np.split(order, firsts)
    return {int(numbers[part[0]]): rows[part] for part in parts if len(part)}
