"""``--save-attention``: what a fusion looked at in the utterances of ``--attention-ids``."""

from collections.abc import Sequence
from typing import Any

import torch

from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.text_tokenizers import TextTokenizer, load_text_tokenizer
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.attention import Attended
from emo_fairseq.tasks.predicting import run
from emo_fairseq.types import (
    SPEECH,
    TEXT,
    TOKENS,
    masked_modalities,
)


def attention_ids(cfg: Any) -> tuple[str, ...]:
    """The utterances that are asked for.

    Raises:
        UsageError: one of the two options without the other.
    """
    if bool(cfg.save_attention) != bool(cfg.attention_ids):
        raise UsageError(
            "--save-attention FILE and --attention-ids ID,ID belong together: attention is written "
            "of a few utterances, not of all"
        )
    return tuple(name.strip() for name in (cfg.attention_ids or "").split(",") if name.strip())


def attend(task: Any, model: Any, split: str, ids: Sequence[str]) -> list[Attended]:
    """Score each utterance alone, so that nothing is padded, and keep what was looked at.

    Args:
        task: an :class:`emo_fairseq.tasks.emotion_prediction.EmotionPredictionTask`.
        model: in evaluation.
        split: loaded by the task.
        ids: of utterances in it.

    Raises:
        UsageError: the model has no attention in its fusion.
    """
    dataset, device = task.dataset(split), next(model.parameters()).device
    places = {name: place for place, name in enumerate(dataset.utterance_ids)}
    found = []
    for name in ids:
        attention = run(model, dataset, [places[name]], device, return_attention=True).attention
        if not attention:
            raise UsageError(
                "--save-attention: the fusion of this model attends to nothing; train with "
                "--fusion cross_attention, or with --text-pooling or --speech-pooling attention"
            )
        weights = {key: value[0].float().cpu().numpy() for key, value in attention.items()}
        # Of a modality that the row lacks, or that is masked, all are 0.
        told = {key: values for key, values in weights.items() if values.any()}
        found.append(Attended(name, split, *_heard(task, split, name), told))
    return found


def _heard(task: Any, split: str, name: str) -> tuple[list[str] | None, float | None]:
    """The words and the seconds of an utterance, of what the model reads."""
    part = task.source.split(split).stored
    row = next(n for n, utterance in enumerate(part.utterances) if utterance.id == name)
    words = seconds = None
    masked = masked_modalities(task.cfg.mask_modality, task.modalities)
    read = [modality for modality in task.modalities if modality not in masked]
    if TEXT in read and task.encoder_cards()[TEXT].input == TOKENS:
        leaf = task.source.leaf(TEXT, task.source.split(split), task.vocabularies()[TEXT])
        words = _words(leaf[row][0], _tokenizer(task))
    n_samples = part.utterances[row].n_samples
    if SPEECH in read and n_samples:
        seconds = min(n_samples / SAMPLE_RATE, float(task.cfg.max_speech_seconds))
    return words, seconds


def _tokenizer(task: Any) -> TextTokenizer | None:
    """None in the seed's layout, which has ids only."""
    return None if task.source.is_legacy else load_text_tokenizer(task.source.folder / TEXT)


def _words(tokens: torch.Tensor, tokenizer: TextTokenizer | None) -> list[str]:
    if tokenizer is None:
        return [str(token) for token in tokens.tolist()]
    return [tokenizer.decode([token]).strip() or "·" for token in tokens.tolist()]
