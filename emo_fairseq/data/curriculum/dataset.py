"""The dataset of a curriculum, which has the rows of the epoch alone."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from fairseq.data import BaseWrapperDataset, FairseqDataset

from emo_fairseq.data.curriculum.orders import MODEL_CONFIDENCE, NONE, ORDERS, CurriculumTraits
from emo_fairseq.data.curriculum.pacing import rows_of_share, share_of_epoch

logger = logging.getLogger(__name__)

# epoch, counted from 1 -> (N,) confidence of the model before it; None where there is no model yet.
Confidence = Callable[[int], np.ndarray | None]


class CurriculumDataset(BaseWrapperDataset):
    """Leaves the rows that are not in the epoch out of ``ordered_indices``; nothing else changes.

    Rows keep their numbers, and ``len`` is that of all. Which rows an epoch has depends on the
    arguments and the epoch alone, so that ranks agree, and so do a resumed and an uninterrupted
    epoch; whoever computes `confidence` has to ensure that for it.

    Args:
        dataset: N rows, an ``EmotionDataset`` or one with the attributes forwarded below.
        order: a name of `ORDERS`; ``none`` has all rows in every epoch, whatever the pacing.
        pacing: a name of `PACINGS`.
        n_epochs: epochs until all rows are seen.
        traits: what the order sorts by.
        seed: of random orders, the same on every rank.
        confidence: for the order ``model_confidence`` alone. Called once when the batches of an
            epoch are first made, unless the epoch has all rows; where it returns None the order is
            random.
        class_names: of the labels in `traits`, so that the log counts the classes.

    Raises:
        UsageError: the order cannot sort these rows.
    """

    def __init__(
        self,
        dataset: FairseqDataset,
        order: str,
        pacing: str,
        n_epochs: int,
        traits: CurriculumTraits,
        seed: int,
        confidence: Confidence | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__(dataset)
        self.order = order
        self.pacing = NONE if order == NONE else pacing
        self.n_epochs = n_epochs
        self.traits = traits
        self.seed = seed
        self.confidence = confidence
        self.class_names = class_names
        self.epoch = 1
        self._seen: tuple[int, np.ndarray] | None = None  # an epoch and its rows, (N,) bool
        self._fixed_order: np.ndarray | None = None
        if order != MODEL_CONFIDENCE:
            self._fixed_order = ORDERS[order](traits, np.random.default_rng(seed))

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.epoch = epoch

    def ordered_indices(self) -> np.ndarray:
        """Return the wrapped dataset's order, of the rows of this epoch."""
        if self._seen is None or self._seen[0] != self.epoch:
            self._seen = self.epoch, self._rows_of_epoch()
        indices = self.dataset.ordered_indices()
        return indices[self._seen[1][indices]]

    # What BaseWrapperDataset does not forward.

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        return self.dataset.num_tokens_vec(indices)

    def largest_batch(self, max_sentences: int) -> np.ndarray:
        return self.dataset.largest_batch(max_sentences)

    def check_max_tokens(self, max_tokens: int | None) -> None:
        self.dataset.check_max_tokens(max_tokens)

    @property
    def split(self) -> str:
        return self.dataset.split

    @property
    def shuffle(self) -> bool:
        return self.dataset.shuffle

    @property
    def utterance_ids(self) -> Sequence[str]:
        return self.dataset.utterance_ids

    def _rows_of_epoch(self) -> np.ndarray:
        """(N,) bool."""
        n_rows = len(self)
        share = share_of_epoch(self.pacing, self.epoch - 1, self.n_epochs)  # fairseq's first is 1
        n_seen = rows_of_share(share, n_rows)
        seen = np.full(n_rows, n_seen == n_rows)
        if n_seen < n_rows:  # else neither the order nor the model's confidence matters
            seen[self._current_order()[:n_seen]] = True
        logger.info(
            "curriculum: epoch %d, order %s, pacing %s, share %.3f, %d of %d rows%s",
            self.epoch,
            self.order,
            self.pacing,
            share,
            n_seen,
            n_rows,
            self._describe_classes(seen),
        )
        return seen

    def _current_order(self) -> np.ndarray:
        if self._fixed_order is not None:
            return self._fixed_order
        assert self.confidence is not None, f"the order {self.order} needs it"
        rng = np.random.default_rng((self.seed, self.epoch))
        confidence = self.confidence(self.epoch)
        if confidence is None:
            logger.info("curriculum: there is no model yet, epoch %d is at random", self.epoch)
            return rng.permutation(len(self))
        assert confidence.shape == (len(self),)
        return ORDERS[MODEL_CONFIDENCE](self.traits._replace(confidence=confidence), rng)

    def _describe_classes(self, seen: np.ndarray) -> str:
        """Count the rows of every class for the log, also of those without any."""
        if self.traits.labels is None or not self.class_names:
            return ""
        labels = self.traits.labels[seen]
        counts = np.bincount(labels[labels >= 0], minlength=len(self.class_names))
        return f", {dict(zip(self.class_names, counts.tolist(), strict=True))}"
