"""Items through tokenizers, front ends and leaves, to the batches that a model reads."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.audio.frames import FRAME_MS, SHIFT_MS
from data_prep.audio.loading import resampled
from data_prep.features.log_mel import LOG_MEL
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.speech_tokenizers import load_speech_tokenizer
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq.data.modality_dataset import MissingDataset
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.input_processors import FeatureFrames
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.loading import LoadedModel
from emo_fairseq.types import (
    FRAMES,
    SPEECH,
    TEXT,
    TOKENS,
)

logger = logging.getLogger(__name__)

Contents = Callable[[Sequence[Any]], Sequence[np.ndarray]]
Batch = tuple[list[int], dict[str, dict[str, Tensor]]]


class Preparation:
    """Makes batches for one model.

    Args:
        loaded: the model, with its task and tokenizers.
        device: where encoders of stored features work.

    Raises:
        UsageError: a tokenizer cannot be read.
    """

    def __init__(self, loaded: LoadedModel, device: torch.device) -> None:
        self._task = loaded.task
        self._missing = loaded.front_end.missing
        self._recipes = loaded.front_end.recipes
        self._has_said: set[str] = set()
        self._contents = {
            modality: self._maker(modality, loaded, device)
            for modality in loaded.task.modalities
            if modality not in self._missing
        }

    def _maker(self, modality: str, loaded: LoadedModel, device: torch.device) -> Contents:
        """What makes of recordings or texts the contents that the modality's leaf wants."""
        kind = loaded.task.encoder_cards()[modality].input
        if kind == TOKENS:
            return _tokenizer(modality, loaded.tokenizers[modality])
        if kind == FRAMES:
            return FeatureFrames(loaded.front_end.recipes[modality], device)
        return lambda sounds: sounds

    def longest_seconds(self) -> float:
        """The longest recording that is heard whole, as far as that is known in seconds."""
        if SPEECH not in self._task.modalities:
            return math.inf
        kind = self._task.encoder_cards()[SPEECH].input
        if kind == FRAMES and SPEECH not in self._missing:
            settings = self._recipes[SPEECH].settings
            of_encoder = float(settings.get("max_seconds") or math.inf)
            return min(of_encoder, self._seconds_of_frames(settings))
        return math.inf if kind in (FRAMES, TOKENS) else float(self._task.cfg.max_speech_seconds)

    def _seconds_of_frames(self, settings: Mapping[str, Any]) -> float:
        """What --max-frames allows; infinite where only the encoder has the length of a frame."""
        most = self._task.cfg.max_frames
        is_kaldi = settings["features"] == LOG_MEL and settings.get("pool", "none") == "none"
        return (FRAME_MS + (most - 1) * SHIFT_MS) / 1000 if most and is_kaldi else math.inf

    def batches(
        self, items: Sequence[Item], batch_size: int, cuts_speech: bool = True
    ) -> Iterator[Batch]:
        """Rows of similar length together, the longest first: their numbers, and their input.

        Args:
            items: that are asked about.
            batch_size: rows of a batch.
            cuts_speech: whether speech that is too long is cut, as in training, or refused.

        Raises:
            UsageError: an item has what cannot be computed, or speech that must not be cut.
        """
        leaves = {
            modality: self._leaf(modality, items, cuts_speech or modality != SPEECH)
            for modality in self._task.modalities
        }
        order = np.lexsort([np.asarray(leaf.sizes) for leaf in leaves.values()])[::-1]
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size].tolist()
            yield (
                rows,
                {
                    modality: leaf.collater([leaf[row] for row in rows])
                    for modality, leaf in leaves.items()
                },
            )

    def _leaf(self, modality: str, items: Sequence[Item], may_cut: bool) -> FairseqDataset:
        """The leaf of one modality; nothing is read or encoded if no item has it."""
        there = [number for number, item in enumerate(items) if item.has(modality)]
        if not there:
            return MissingDataset(len(items))
        if modality in self._missing:
            raise UsageError(
                f"{items[there[0]].name}: the model cannot be asked about {modality}, it lacks "
                f"{self._missing[modality]}"
            )
        sources = [_source(modality, items[number]) for number in there]
        rows: list[np.ndarray | None] = [None] * len(items)
        for number, content in zip(there, self._contents[modality](sources), strict=True):
            rows[number] = content
        self._say_cuts(modality, rows, items, may_cut)
        return self._task.source.build_dataset(
            modality,
            rows,
            self._task.vocabularies().get(modality),
            self._task.frame_statistics(modality),
        )

    def _say_cuts(
        self,
        modality: str,
        rows: Sequence[np.ndarray | None],
        items: Sequence[Item],
        may_cut: bool,
    ) -> None:
        """Warn, once a model and modality, that what is too long is cut as in training."""
        limit = self._task.source.max_length(modality)
        lengths = np.array([0 if row is None else len(row) for row in rows])
        longest = int(lengths.argmax())
        if limit is None or lengths[longest] <= limit:
            return
        if not may_cut:
            raise UsageError(
                f"{items[longest].name}: {modality} of {lengths[longest]} frames or tokens, where "
                f"the model reads {limit} at once, as in training; give shorter windows"
            )
        if modality in self._has_said:
            return
        self._has_said.add(modality)
        logger.warning(
            "%s: %s of %d is cut at the %d that the model reads, as in training, and so is any "
            "other that is too long%s",
            *(items[longest].name, modality, lengths[longest], limit),
            "; timeline hears long audio whole" if modality == SPEECH else "",
        )


def _source(modality: str, item: Item) -> Any:
    return item.text if modality == TEXT else item.sound


def _tokenizer(modality: str, folder: Path) -> Contents:
    try:
        if modality == TEXT:
            encode = load_text_tokenizer(folder).encode
            return lambda texts: [encode(text) for text in texts]
        codes = load_speech_tokenizer(folder)
    except ValueError as error:
        raise UsageError(str(error)) from error
    rate = codes.sample_rate
    return lambda sounds: [codes.encode(resampled(sound, SAMPLE_RATE, rate)) for sound in sounds]
