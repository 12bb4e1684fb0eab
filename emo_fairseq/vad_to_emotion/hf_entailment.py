"""Models of NLI of Hugging Face."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from data_prep.files.model_folders import model_folder
from data_prep.messages import first_few
from emo_fairseq.compat.torch_files import check_torch_file, refuse_non_finite
from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.hf_files import (
    find_weights,
    models_of_transformers,
    read_config,
    transformers,
)
from emo_fairseq.vad_to_emotion.entailment import Pair, entailment_index, padded

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_TYPES = "token_type_ids"


class HuggingFaceEntailment:
    """``AutoModelForSequenceClassification`` and its tokenizer.

    Args:
        path: the folder.
        device: of the model.

    Raises:
        UsageError: the folder lacks either, its weights lack the classifier, or no label is called
            entailment.
    """

    def __init__(self, path: str, device: torch.device) -> None:
        config = read_config(path)
        names = [str(config.id2label[number]) for number in range(config.num_labels)]
        self._entailment = entailment_index(names, f"hf:{path}")
        self._model = _read_model(path).to(device).eval()
        self._tokenizer = _read_tokenizer(path)
        self._device = device
        self._reads_types = _TYPES in self._tokenizer.model_input_names
        self._max_tokens = min(int(self._tokenizer.model_max_length), _max_tokens(config))

    def encode(self, premise: str, hypothesis: str) -> Pair:
        whole = self._tokenizer(premise, hypothesis)
        ids = whole["input_ids"]
        if is_truncated := len(ids) > self._max_tokens:
            whole = self._tokenizer(
                premise, hypothesis, truncation="only_first", max_length=self._max_tokens
            )
        return Pair(
            whole["input_ids"], whole.get(_TYPES) or [0] * len(whole["input_ids"]), is_truncated
        )

    def log_entailment(self, pairs: Sequence[Pair]) -> Tensor:
        pad = self._tokenizer.pad_token_id
        inputs = {
            "input_ids": padded([pair.ids for pair in pairs], pad, self._device),
            "attention_mask": padded([[1] * len(pair.ids) for pair in pairs], 0, self._device),
        }
        if self._reads_types:
            inputs[_TYPES] = padded([pair.types for pair in pairs], 0, self._device)
        logits = self._model(**inputs).logits  # (B, labels)
        return torch.log_softmax(logits.double(), dim=-1)[:, self._entailment]


def _read_model(path: str) -> Any:
    for file in find_weights(path):
        check_torch_file(file)
    try:
        model, loading = (
            models_of_transformers().AutoModelForSequenceClassification.from_pretrained(
                model_folder(path),
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"hf:{path}: no model that classifies texts ({reason}); take one fine-tuned on NLI",
            "nli-model-invalid",
        ) from error
    missing = list(loading["missing_keys"]) + [name for name, *_ in loading["mismatched_keys"]]
    if missing:
        raise UsageError(
            f"hf:{path}: lacks {len(missing)} parameters ({first_few(sorted(missing), 3)}), so its "
            "output would be random; take a model that was fine-tuned on NLI",
            "nli-head-missing",
        )
    refuse_non_finite(model.state_dict(), f"hf:{path}")
    return model


def _read_tokenizer(path: str) -> Any:
    try:
        tokenizer = transformers().AutoTokenizer.from_pretrained(model_folder(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"hf:{path}: holds no tokenizer ({reason}); add its files", "tokenizer-missing"
        ) from error
    if tokenizer.pad_token_id is None:
        raise UsageError(
            f"hf:{path}: its tokenizer cannot pad; take an encoder (BERT, RoBERTa)",
            "tokenizer-without-pad",
        )
    return tokenizer


def _max_tokens(config: "PretrainedConfig") -> int:
    """The number of positions; RoBERTa and its relatives count them from the pad's id on."""
    n_positions = int(getattr(config, "max_position_embeddings", 512))
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet", "data2vec-text"):
        n_positions -= int(config.pad_token_id if config.pad_token_id is not None else 1) + 1
    return n_positions
