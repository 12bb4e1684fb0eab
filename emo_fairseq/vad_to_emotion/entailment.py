"""A model of NLI out of a folder of Hugging Face."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY
from fairseq.models.roberta import RobertaModel
from torch import Tensor

from data_prep.messages import first_few
from data_prep.tokens.folder import BOS, DICT_FILE, EOS, PAD, load_dictionary
from data_prep.tokens.text_tokenizers import ENCODER_FILE, MERGES_FILE, Gpt2Tokenizer
from emo_fairseq.compat.torch_files import (
    check_torch_file,
    refuse_non_finite,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.fairseq_files import FairseqCheckpoint, read_checkpoint
from emo_fairseq.pretrained.hf_files import (
    find_weights,
    read_config,
    transformers,
)
from emo_fairseq.pretrained.weights import load_exactly

_TYPES = "token_type_ids"
ENTAILMENT = "entailment"


class Pair(NamedTuple):
    """A premise and a hypothesis as one sequence: T ids, and of which of the two each is."""

    ids: list[int]
    types: list[int]
    is_cut: bool


class EntailmentModel(Protocol):
    """A model of NLI with its tokenizer."""

    def encode(self, premise: str, hypothesis: str) -> Pair:
        """Both as one sequence; the premise is cut where they are too long for the model."""

    def log_entailment(self, pairs: Sequence[Pair]) -> Tensor:
        """(B,) float64: the logarithm of each pair's probability of entailment."""


def open_entailment(spec: str, device: torch.device, labels: Sequence[str] = ()) -> EntailmentModel:
    """The model that ``hf:FOLDER`` or ``fairseq:CHECKPOINT`` names.

    Raises:
        UsageError: another word before the colon, or what the model itself refuses.
    """
    kind, _, place = spec.partition(":")
    if kind == "hf" and place:
        if labels:
            raise UsageError(f"--nli-labels: {spec} names its labels itself; leave it out")
        return HuggingFaceEntailment(place, device)
    if kind == "fairseq" and place:
        return FairseqEntailment(place, device, labels)
    raise UsageError(f"--model {spec}: write hf:FOLDER or fairseq:CHECKPOINT")


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> Tensor:
    """Sequences of ids as (B, T) int64, padded on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)


def entailment_place(names: Sequence[str], source: str) -> int:
    """Which of a model's labels is entailment, by its name.

    Raises:
        UsageError: none is called so.
    """
    places = [n for n, name in enumerate(names) if name.strip().lower() == ENTAILMENT]
    if len(places) != 1:
        raise UsageError(
            f"{source}: its labels are {', '.join(names)}, and not one of them is {ENTAILMENT}: "
            "which one is meant is not guessed; take a model of NLI that names its labels"
        )
    return places[0]


# --- Hugging Face ---------------------------------------------------------------------------------


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


# --- A model of NLI out of fairseq: a RoBERTa checkpoint with a classification head ---------------
# The folder of the checkpoint also holds `dict.txt`, and GPT-2's `encoder.json` and `vocab.bpe`.
# Labels are named by `label/dict.txt` there, which fairseq's preprocessing writes, or given.

_LABELS = Path("label") / DICT_FILE
_HEADS = "classification_heads."
_WORDS = "encoder.sentence_encoder.embed_tokens.weight"
_POSITIONS = "encoder.sentence_encoder.embed_positions.weight"


class FairseqEntailment:
    """fairseq's own RoBERTa with its one head, and GPT-2's BPE.

    Raises a `UsageError` for a checkpoint of another model, without a head or with several, for
    files that are not beside it, and where no label is called entailment.
    """

    def __init__(self, place: str, device: torch.device, labels: Sequence[str] = ()) -> None:
        checkpoint = read_checkpoint(place)
        if checkpoint.model != "roberta":
            raise UsageError(f"{checkpoint.file}: a model {checkpoint.model}; give a RoBERTa")
        folder = checkpoint.file.parent
        for name in (DICT_FILE, ENCODER_FILE, MERGES_FILE):
            if not (folder / name).is_file():
                raise UsageError(f"{folder / name}: is not there, and the model's words need it")
        self._tokenizer = Gpt2Tokenizer(folder)
        weights = RobertaWeights(checkpoint)
        names = list(labels) or _read_labels(folder, weights.n_labels)
        if len(names) != weights.n_labels:
            raise UsageError(
                f"{checkpoint.file}: its head has {weights.n_labels} labels, but {len(names)} are "
                f"named ({', '.join(names)})"
            )
        self._entailment = entailment_place(names, f"fairseq:{place}")
        self._head = weights.head
        self._reach = weights.n_positions
        self._model = (
            weights.build(self._tokenizer.dictionary, f"fairseq:{place}").to(device).eval()
        )
        self._device = device

    def encode(self, premise: str, hypothesis: str) -> Pair:
        first, second = (self._tokenizer.encode(text).tolist() for text in (premise, hypothesis))
        # <s> premise </s> </s> hypothesis </s>, as in fairseq's RobertaHubInterface
        room = self._reach - len(second) - 3
        is_cut = len(first) - 1 > room
        ids = [BOS, *first[:-1][:room], EOS, EOS, *second]
        return Pair(ids, [], is_cut)

    def log_entailment(self, pairs: Sequence[Pair]) -> Tensor:
        tokens = padded([pair.ids for pair in pairs], PAD, self._device)  # (B, T)
        logits, _ = self._model(
            tokens, features_only=True, classification_head_name=self._head
        )  # (B, labels)
        return torch.log_softmax(logits.double(), dim=-1)[:, self._entailment]


class RobertaWeights:
    """The weights of a checkpoint under the names of today, and the sizes that they tell."""

    def __init__(self, checkpoint: FairseqCheckpoint) -> None:
        self._checkpoint = checkpoint
        self._weights = {_of_today(name): x for name, x in checkpoint.weights.items()}
        heads = sorted({n.split(".")[1] for n in self._weights if n.startswith(_HEADS)})
        if len(heads) != 1 or _WORDS not in self._weights or _POSITIONS not in self._weights:
            found = ", ".join(heads) or "none"
            raise UsageError(
                f"{checkpoint.file}: a RoBERTa with one classification head is wanted, this one "
                f"has {found}; give one that was fine-tuned on NLI"
            )
        self.head = heads[0]
        self.n_labels = len(self._weights[f"{_HEADS}{self.head}.out_proj.weight"])
        self.n_positions = len(self._weights[_POSITIONS]) - PAD - 1

    def build(self, dictionary: Dictionary, source: str) -> Any:
        """fairseq's model with these weights.

        Raises:
            UsageError: a parameter is missing or superfluous, or the dictionary does not fit.
        """
        symbols = len(self._weights[_WORDS])
        if len(dictionary) < symbols:
            dictionary.add_symbol("<mask>")  # which the task adds behind what dict.txt names
        if len(dictionary) != symbols:
            raise UsageError(f"{source}: knows {symbols} words, its {DICT_FILE} {len(dictionary)}")
        options = Namespace(**{**self._checkpoint.config, "max_positions": self.n_positions})
        ARCH_CONFIG_REGISTRY[self._checkpoint.arch](options)
        model = RobertaModel.build_model(options, Namespace(source_dictionary=dictionary))
        dense = self._weights[f"{_HEADS}{self.head}.dense.weight"]
        model.register_classification_head(self.head, self.n_labels, len(dense))
        weights = dict(self._weights)
        for name, module in model.named_modules():
            if name and hasattr(module, "upgrade_state_dict_named"):  # q, k and v in one matrix
                module.upgrade_state_dict_named(weights, name)
        version = "encoder.sentence_encoder.version"
        weights[version] = model.state_dict()[version]
        load_exactly(model, weights, (), source)
        return model


def _of_today(name: str) -> str:
    """A parameter's name, whichever fairseq wrote it."""
    if name.startswith("decoder."):
        name = f"encoder.{name.removeprefix('decoder.')}"
    return name.replace(".emb_layer_norm.", ".layernorm_embedding.")


def _read_labels(folder: Path, n_labels: int) -> list[str]:
    file = folder / _LABELS
    if not file.is_file():
        raise UsageError(
            f"{folder}: nothing names the {n_labels} labels of the head; give them in its order by "
            f"--nli-labels contradiction,neutral,entailment, or put fairseq's {_LABELS} there"
        )
    dictionary = load_dictionary(file)
    names = [str(word) for word in dictionary.symbols[dictionary.nspecial :]]
    return [name for name in names if not name.startswith("madeupword")]
