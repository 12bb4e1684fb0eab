"""Models of NLI of fairseq: a RoBERTa with a classification head.

The folder of the checkpoint also holds `dict.txt`, and GPT-2's `encoder.json` and `vocab.bpe`.
Labels are named by `label/dict.txt` there, which fairseq's preprocessing writes, or given.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY
from fairseq.models.roberta import RobertaModel
from torch import Tensor

from data_prep.tokens.folder import BOS, DICT_FILE, EOS, PAD, load_dictionary
from data_prep.tokens.text_tokenizers import ENCODER_FILE, MERGES_FILE, Gpt2Tokenizer
from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.fairseq_files import FairseqCheckpoint, read_checkpoint
from emo_fairseq.pretrained.weights import load_exactly
from emo_fairseq.vad_to_emotion.entailment import Pair, entailment_index, padded

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
