"""A model of NLI out of a folder of Hugging Face."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from emo_fairseq.compat.torch_files import (
    check_torch_file,
    refuse_non_finite,
)
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.hf_extra import transformers
from emo_fairseq.pretrained.hf_files import find_weights, read_config
from emo_fairseq.vad_to_emotion.zero_shot import Pair, entailment_place, padded

_TYPES = "token_type_ids"


class HuggingFaceEntailment:
    """``AutoModelForSequenceClassification`` and its tokenizer.

    Raises a `UsageError` for a folder without them, for weights without the classifier, and where
    no label is called entailment.
    """

    def __init__(self, place: str, device: torch.device) -> None:
        config = read_config(place)
        names = [str(config.id2label[number]) for number in range(config.num_labels)]
        self._entailment = entailment_place(names, f"hf:{place}")
        self._model = _read_model(place).to(device).eval()
        self._tokenizer = _read_tokenizer(place)
        self._device = device
        self._reads_types = _TYPES in self._tokenizer.model_input_names
        self._reach = min(int(self._tokenizer.model_max_length), _reach(config))

    def encode(self, premise: str, hypothesis: str) -> Pair:
        whole = self._tokenizer(premise, hypothesis)
        ids = whole["input_ids"]
        if is_cut := len(ids) > self._reach:
            whole = self._tokenizer(
                premise, hypothesis, truncation="only_first", max_length=self._reach
            )
        return Pair(whole["input_ids"], whole.get(_TYPES) or [0] * len(whole["input_ids"]), is_cut)

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


def _read_model(place: str) -> Any:
    for file in find_weights(place):
        check_torch_file(file)
    try:
        model, found = transformers().AutoModelForSequenceClassification.from_pretrained(
            place, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"hf:{place}: no model that classifies texts ({reason})") from error
    absent = [*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])]
    if absent:
        raise UsageError(
            f"hf:{place}: lacks {len(absent)} parameters ({first_few(sorted(absent), 3)}), so its "
            "answers would be random; take a model that was fine-tuned on NLI"
        )
    refuse_non_finite(model.state_dict(), f"hf:{place}")
    return model


def _read_tokenizer(place: str) -> Any:
    try:
        tokenizer = transformers().AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"hf:{place}: holds no tokenizer ({reason})") from error
    if tokenizer.pad_token_id is None:
        raise UsageError(f"hf:{place}: its tokenizer cannot pad; take an encoder (BERT, RoBERTa)")
    return tokenizer


def _reach(config: Any) -> int:
    """Tokens that there are positions for; RoBERTa's kin count them from the pad's id on."""
    reach = int(getattr(config, "max_position_embeddings", 512))
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet", "data2vec-text"):
        reach -= int(config.pad_token_id if config.pad_token_id is not None else 1) + 1
    return reach
