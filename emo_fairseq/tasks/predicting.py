"""Predict rows of a dataset with a model in evaluation, and the attention weights of a few."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fairseq import utils

from data_prep.manifest.table import rows_of_ids
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.text_tokenizers import TextTokenizer, load_text_tokenizer
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.dialogue_dataset import EmotionDataset
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.attention import Attended
from emo_fairseq.modalities import SPEECH, TEXT, TOKENS
from emo_fairseq.models.roberta_emo import EmotionOutput, RobertaEMOModel
from emo_fairseq.task_state import TaskState

_ROWS_OF_A_BATCH = 32


def predict_rows(
    model: RobertaEMOModel,
    dataset: EmotionDataset,
    device: torch.device,
    part: slice = slice(None),
) -> tuple[np.ndarray, np.ndarray]:
    """Predict some rows of a dataset, without gradient, dropout or augmentation.

    Args:
        model: goes back to the mode it was in.
        dataset: that was not built for training.
        device: that the model is on.
        part: of the batches.

    Returns:
        The row numbers (n,), and the outputs (n, n_outputs) float64.
    """
    batches = batches_of(dataset)[part]
    if not batches:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 0))
    logits = [run(model, dataset, batch, device).logits.double().cpu() for batch in batches]
    return np.concatenate(batches), torch.cat(logits).numpy()


def batches_of(dataset: EmotionDataset) -> list[np.ndarray]:
    """Return the row numbers of batches that have all rows of a dataset."""
    rows = np.asarray(dataset.ordered_indices())
    batches = dataset.batch_by_size(rows, max_sentences=_ROWS_OF_A_BATCH)
    return [np.asarray(batch) for batch in batches]


def run(
    model: RobertaEMOModel,
    dataset: EmotionDataset,
    rows: Iterable[int],
    device: torch.device,
    **options: Any,
) -> EmotionOutput:
    """Return the output of the model for some rows in one batch.

    Args:
        model: goes back to the mode it was in.
        dataset: as :func:`predict_rows` takes it.
        rows: their numbers.
        device: that the model is on.
        options: further arguments of the model, such as ``return_attention``.
    """
    return run_batch(model, read_batch(dataset, rows), device, **options)


def read_batch(dataset: EmotionDataset, rows: Iterable[int]) -> dict[str, Any]:
    """Return a batch of some rows."""
    items: list[Any] = [dataset[int(row)] for row in rows]
    return dataset.collater(items)


def run_batch(
    model: RobertaEMOModel, batch: Mapping[str, Any], device: torch.device, **options: Any
) -> EmotionOutput:
    """Return the output of the model for a collated batch; see :func:`run`."""
    precision = next(model.head.parameters()).dtype
    was_training = model.training

    def in_precision(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(precision) if tensor.dtype == torch.float32 else tensor

    inputs = batch["net_input"]
    inputs = utils.move_to_cuda(inputs, device) if device.type == "cuda" else inputs
    inputs = utils.apply_to_sample(in_precision, inputs)
    model.eval()
    with torch.no_grad():
        output: EmotionOutput = model(**inputs, **options)
    model.train(was_training)
    return output


def attend(
    model: RobertaEMOModel,
    dataset: EmotionDataset,
    ids: Sequence[str],
    data: DataDir,
    state: TaskState,
    masked: Collection[str],
) -> list[Attended]:
    """Score each utterance alone, so that nothing is padded, and return its attention weights.

    The fusion, which has them, reads one utterance at a time in a model of dialogues, too.

    Raises:
        UsageError: the model has no attention in its fusion.
    """
    device = next(model.parameters()).device
    turns = dataset.turns
    row_of = {name: row for row, name in enumerate(turns.utterance_ids)}
    attended = []
    for name in ids:
        attention = run(model, turns, [row_of[name]], device, return_attention=True).attention
        if not attention:
            raise UsageError(
                "--save-attention: the fusion of this model has no attention; train with "
                "--fusion cross_attention, or with --text-pooling or --speech-pooling attention",
                "attention-missing",
            )
        weights = {key: value[0].float().cpu().numpy() for key, value in attention.items()}
        # Of a modality that the row lacks, or that is masked, all are 0.
        nonzero = {key: values for key, values in weights.items() if values.any()}
        words, seconds = _read_input(data, state, dataset.split, name, masked)
        attended.append(Attended(name, dataset.split, words, seconds, nonzero))
    return attended


def _read_input(
    data: DataDir, state: TaskState, split: str, name: str, masked: Collection[str]
) -> tuple[list[str] | None, float | None]:
    """Return the words and the seconds of an utterance that the model reads."""
    part = data.split(split)
    row = int(rows_of_ids(part.utterances, [name])[0])
    words = seconds = None
    read = [modality for modality in state.modalities if modality not in masked]
    if TEXT in read and state.encoders[TEXT].input == TOKENS:
        texts = data.build_dataset(TEXT, part, state.vocabularies[TEXT])
        # The legacy layout has ids only.
        tokenizer = None if data.is_legacy else load_text_tokenizer(data.token_folder(TEXT))
        words = _words(texts[row][0], tokenizer)
    n_samples = part.utterances[row].n_samples
    if SPEECH in read and n_samples:
        seconds = min(n_samples / SAMPLE_RATE, state.options.max_speech_seconds)
    return words, seconds


def _words(tokens: torch.Tensor, tokenizer: TextTokenizer | None) -> list[str]:
    if tokenizer is None:
        return [str(token) for token in tokens.tolist()]
    return [tokenizer.decode([token]).strip() or "·" for token in tokens.tolist()]
