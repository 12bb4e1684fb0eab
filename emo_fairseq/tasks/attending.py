"""The attention weights of a few utterances, with what the model reads of each."""

from collections.abc import Collection, Sequence

import torch

from data_prep.manifest.table import rows_of_ids
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.text_tokenizers import TextTokenizer, load_text_tokenizer
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.dialogue_dataset import EmotionDataset
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.attention import Attended
from emo_fairseq.modalities import SPEECH, TEXT, TOKENS
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.predicting import run


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

    Args:
        model: in evaluation.
        dataset: of a split.
        ids: of utterances in it.
        data: the data dir of the split.
        state: of the task.
        masked: modalities that are taken for missing.

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
