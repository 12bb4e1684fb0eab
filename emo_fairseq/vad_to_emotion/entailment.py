"""Models of natural language inference (NLI): from Hugging Face, or a RoBERTa of fairseq."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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
    folder_of,
    models_of_transformers,
    read_config,
    transformers,
)
from emo_fairseq.pretrained.weights import load_exactly

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_TYPES = "token_type_ids"
ENTAILMENT = "entailment"


class Pair(NamedTuple):
    """A premise and a hypothesis as one sequence.

    Attributes:
        ids: (T,) of the tokens.
        types: (T,) 0 for tokens of the premise, 1 for those of the hypothesis; empty without.
        is_truncated: whether the premise was too long for the model.
    """

    ids: list[int]
    types: list[int]
    is_truncated: bool


class EntailmentModel(Protocol):
    """A model of NLI with its tokenizer."""

    def encode(self, premise: str, hypothesis: str) -> Pair:
        """Encode both as one sequence; truncate the premise if they are too long."""

    def log_entailment(self, pairs: Sequence[Pair]) -> Tensor:
        """Return the logarithm of each pair's probability of entailment, (B,) float64."""


def open_entailment(spec: str, device: torch.device, labels: Sequence[str] = ()) -> EntailmentModel:
    """Load the model of ``hf:FOLDER`` or ``fairseq:CHECKPOINT``.

    Args:
        spec: see above.
        device: of the model.
        labels: of a fairseq checkpoint's head, in its order; empty = those of its dictionary.

    Raises:
        UsageError: another prefix, or a model that is none of NLI.
    """
    kind, _, path = spec.partition(":")
    if kind == "hf" and path:
        if labels:
            raise UsageError(
                f"--nli-labels: {spec} names its labels itself; leave it out", "nli-labels-idle"
            )
        return HuggingFaceEntailment(path, device)
    if kind == "fairseq" and path:
        return FairseqEntailment(path, device, labels)
    raise UsageError(f"--model {spec}: write hf:FOLDER or fairseq:CHECKPOINT", "nli-spec-invalid")


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> Tensor:
    """Pad sequences of ids on the right, to (B, T) int64."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)


def entailment_index(names: Sequence[str], source: str) -> int:
    """Return the index of the label that is called entailment.

    Raises:
        UsageError: there is none, or more than one.
    """
    indices = [index for index, name in enumerate(names) if name.strip().lower() == ENTAILMENT]
    if len(indices) != 1:
        raise UsageError(
            f"{source}: its labels are {', '.join(names)}, and not one of them is {ENTAILMENT}: "
            "which one is meant is not guessed; take a model of NLI that names its labels",
            "entailment-missing",
        )
    return indices[0]


# --- Hugging Face ---------------------------------------------------------------------------------


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
                folder_of(path),
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
        tokenizer = transformers().AutoTokenizer.from_pretrained(folder_of(path))
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


# --- fairseq --------------------------------------------------------------------------------------
# The folder of the checkpoint also holds `dict.txt`, and GPT-2's `encoder.json` and `vocab.bpe`.
# Labels are named by `label/dict.txt` there, which fairseq's preprocessing writes, or given.

_LABELS = Path("label") / DICT_FILE
_HEADS = "classification_heads."
_WORDS = "encoder.sentence_encoder.embed_tokens.weight"
_POSITIONS = "encoder.sentence_encoder.embed_positions.weight"


class FairseqEntailment:
    """fairseq's own RoBERTa with its one head, and GPT-2's BPE.

    Args:
        path: the checkpoint, or its folder.
        device: of the model.
        labels: of the head in its order; empty = those of ``label/dict.txt``.

    Raises:
        UsageError: a checkpoint of another model, without a head or with several; files that are
            not beside it; no label is called entailment.
    """

    def __init__(self, path: str, device: torch.device, labels: Sequence[str] = ()) -> None:
        checkpoint = read_checkpoint(path)
        if checkpoint.model != "roberta":
            raise UsageError(
                f"{checkpoint.file}: a model {checkpoint.model}; give a RoBERTa",
                "nli-model-invalid",
            )
        folder = checkpoint.file.parent
        for name in (DICT_FILE, ENCODER_FILE, MERGES_FILE):
            if not (folder / name).is_file():
                raise UsageError(
                    f"{folder / name}: there is no such file, which tokenizing needs; put it there",
                    "tokenizer-missing",
                )
        self._tokenizer = Gpt2Tokenizer(folder)
        weights = RobertaWeights(checkpoint)
        names = list(labels) or _read_labels(folder, weights.n_labels)
        if len(names) != weights.n_labels:
            raise UsageError(
                f"{checkpoint.file}: its head has {weights.n_labels} labels, but {len(names)} are "
                f"named ({', '.join(names)}); name each once",
                "nli-labels-mismatch",
            )
        self._entailment = entailment_index(names, f"fairseq:{path}")
        self._head = weights.head
        self._max_tokens = weights.n_positions
        self._model = weights.build(self._tokenizer.dictionary, f"fairseq:{path}").to(device).eval()
        self._device = device

    def encode(self, premise: str, hypothesis: str) -> Pair:
        first, second = (self._tokenizer.encode(text).tolist() for text in (premise, hypothesis))
        # <s> premise </s> </s> hypothesis </s>, as in fairseq's RobertaHubInterface
        n_left = self._max_tokens - len(second) - 3
        is_truncated = len(first) - 1 > n_left
        ids = [BOS, *first[:-1][:n_left], EOS, EOS, *second]
        return Pair(ids, [], is_truncated)

    def log_entailment(self, pairs: Sequence[Pair]) -> Tensor:
        tokens = padded([pair.ids for pair in pairs], PAD, self._device)  # (B, T)
        logits, _ = self._model(
            tokens, features_only=True, classification_head_name=self._head
        )  # (B, labels)
        return torch.log_softmax(logits.double(), dim=-1)[:, self._entailment]


class RobertaWeights:
    """The weights of a checkpoint under fairseq's present names, and the sizes that they imply."""

    def __init__(self, checkpoint: FairseqCheckpoint) -> None:
        self._checkpoint = checkpoint
        self._weights = {_present_name(name): x for name, x in checkpoint.weights.items()}
        heads = sorted({n.split(".")[1] for n in self._weights if n.startswith(_HEADS)})
        if len(heads) != 1 or _WORDS not in self._weights or _POSITIONS not in self._weights:
            raise UsageError(
                f"{checkpoint.file}: a RoBERTa with one classification head is needed, this one "
                f"has {', '.join(heads) or 'none'}; give one that was fine-tuned on NLI",
                "nli-head-missing",
            )
        self.head = heads[0]
        self.n_labels = len(self._weights[f"{_HEADS}{self.head}.out_proj.weight"])
        self.n_positions = len(self._weights[_POSITIONS]) - PAD - 1

    def build(self, dictionary: Dictionary, source: str) -> Any:
        """Build fairseq's model with these weights.

        Raises:
            UsageError: a parameter is missing or superfluous, or the dictionary does not fit.
        """
        symbols = len(self._weights[_WORDS])
        if len(dictionary) < symbols:
            dictionary.add_symbol("<mask>")  # which the task adds behind what dict.txt names
        if len(dictionary) != symbols:
            raise UsageError(
                f"{source}: has {symbols} words, its {DICT_FILE} {len(dictionary)}; give its own",
                "vocabulary-mismatch",
            )
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


def _present_name(name: str) -> str:
    """A parameter's name, whichever fairseq wrote it."""
    if name.startswith("decoder."):
        name = f"encoder.{name.removeprefix('decoder.')}"
    return name.replace(".emb_layer_norm.", ".layernorm_embedding.")


def _read_labels(folder: Path, n_labels: int) -> list[str]:
    file = folder / _LABELS
    if not file.is_file():
        raise UsageError(
            f"{folder}: nothing names the {n_labels} labels of the head; give them in its order by "
            f"--nli-labels contradiction,neutral,entailment, or put fairseq's {_LABELS} there",
            "nli-labels-missing",
        )
    dictionary = load_dictionary(file)
    names = [str(word) for word in dictionary.symbols[dictionary.nspecial :]]
    return [name for name in names if not name.startswith("madeupword")]
