"""Classifiers of Hugging Face, as the options and weights of a `robertaEMO` that computes the same.

A classifier of transformers is an encoder, a pooling, a dense layer with an activation, and a
linear layer. So is `robertaEMO` of one modality:

| model type | pooling | dense layer | activation | linear layer |
|---|---|---|---|---|
| BERT | first token | ``pooler.dense`` | tanh | ``classifier`` |
| ALBERT | first token | ``pooler`` | tanh | ``classifier`` |
| RoBERTa, MPNet | first token | ``classifier.dense`` | tanh | ``classifier.out_proj`` |
| ELECTRA | first token | ``classifier.dense`` | GELU | ``classifier.out_proj`` |
| DistilBERT | first token | ``pre_classifier`` | ReLU | ``classifier`` |
| DeBERTa | first token | ``pooler.dense`` | ``pooler_hidden_act`` | ``classifier`` |
| wav2vec 2.0, HuBERT, WavLM, data2vec | mean of frames | ``projector`` | none | ``classifier`` |
| Whisper | mean of 30 seconds | ``projector`` | none | ``classifier`` |
| the same, another class | mean | ``classifier.dense`` | tanh | ``classifier.out_proj`` |

RoBERTa stands for its variants, too. The last row is the head of Wagner et al. 2023, "Dawn of the
transformer era in speech emotion recognition", of which transformers has no class. A projection
before the mean of frames is the same as one after it, since both are linear. The mean of a Whisper
is also over the silence after a recording.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from data_prep.files.model_folders import model_folder
from data_prep.messages import first_few
from data_prep.schema import SAMPLE_RATE
from emo_fairseq import pretrained
from emo_fairseq.compat.torch_files import load_torch_file, refuse_non_finite
from emo_fairseq.encoder_spec import WHISPER, WHISPER_KEPT
from emo_fairseq.errors import UsageError
from emo_fairseq.export.classifiers import Classifier
from emo_fairseq.modalities import SPEECH, TEXT
from emo_fairseq.models.modality_encoder import WEIGHTED
from emo_fairseq.modules.heads import ACTIVATIONS
from emo_fairseq.pretrained.hf_files import find_weights, models_of_transformers, read_config
from emo_fairseq.pretrained.weights import read_tensors


class _Head(NamedTuple):
    dense: str  # name of the dense layer, behind that of the model
    output: str
    activation: str = "tanh"  # of ACTIVATIONS; a name of ``_FROM_CONFIG`` is looked up


_FROM_CONFIG = "pooler_hidden_act"
_ROBERTA = _Head("classifier.dense", "classifier.out_proj")
_DEBERTA = _Head("pooler.dense", "classifier", _FROM_CONFIG)
_PROJECTED = _Head("projector", "classifier", "none")
_SPEECH_HEADS: Mapping[str, Sequence[_Head]] = {
    **dict.fromkeys(("wav2vec2", "hubert", "wavlm", "data2vec-audio"), (_PROJECTED, _ROBERTA)),
    WHISPER: (_PROJECTED,),
}
# By model_type; the first whose layers are stored.
_HEADS: Mapping[str, Sequence[_Head]] = {
    "bert": (_Head("pooler.dense", "classifier"),),
    "albert": (_Head("pooler", "classifier"),),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert", "data2vec-text", "mpnet"), (_ROBERTA,)),
    "electra": (_ROBERTA._replace(activation="gelu"),),
    "distilbert": (_Head("pre_classifier", "classifier", "relu"),),
    **dict.fromkeys(("deberta", "deberta-v2"), (_DEBERTA,)),
    **_SPEECH_HEADS,
}
_PARTS = ("weight", "bias")  # of a linear layer
_ROOTS = ("classifier.", "projector.")  # with what the names of heads begin
_LAYER_WEIGHTS = "layer_weights"
_CLASSES = ("ForSequenceClassification", "ForAudioClassification")  # the first also of speech
_MEAN = "mean"


def read_hf_classifier(source: str) -> Classifier:
    """Read a classifier in a folder, or on the hub.

    Raises:
        UsageError: there is no such model, or it is no classifier that `robertaEMO` can be.
    """
    config = read_config(source)
    heads = _HEADS.get(config.model_type)
    if heads is None:
        raise UsageError(
            f"hf:{source}: classifiers of the model type {config.model_type} cannot be converted; "
            f"give one of {', '.join(_HEADS)}",
            "classifier-unsupported",
        )
    modality = SPEECH if config.model_type in _SPEECH_HEADS else TEXT
    encoder = pretrained.describe(modality, f"hf:{source}", WHISPER_KEPT)
    stored = _read_stored(source)
    head = next((head for head in heads if _is_stored(head, stored)), None)
    if head is None:
        raise UsageError(
            f"hf:{source}: holds no head of a classifier ({_describe(heads)} of a "
            f"{config.model_type}); give a model that was tuned for classification, or train one "
            f"on its encoder by `emotion-recognize train … --{modality}-encoder hf:{source}`",
            "classifier-missing",
        )
    _check_pooling(source, config)
    layers = {"embedding.dense": head.dense, "head.out_proj": head.output}
    weights = {
        f"{ours}.{part}": stored[_name(f"{theirs}.{part}", stored)]
        for ours, theirs in layers.items()
        for part in _PARTS
    }
    options: dict[str, Any] = {
        "embedding_dim": len(weights["embedding.dense.bias"]),
        "embedding_activation": _activation(source, config, head),
    }
    if getattr(config, "use_weighted_layer_sum", False):
        options[f"{modality}_layer"] = WEIGHTED
        name = f"encoders.{modality}.mix.weights"
        weights[name] = stored[_name(_LAYER_WEIGHTS, stored)]
    refuse_non_finite(weights, f"hf:{source}")
    labels = [str(config.id2label[number]) for number in sorted(config.id2label)]
    name = (getattr(config, "architectures", None) or [""])[0]
    is_of_transformers = name.endswith(_CLASSES) and hasattr(models_of_transformers(), name)
    if not is_of_transformers:  # nothing to compare with
        _check_all_used(source, head, stored)
    return Classifier(
        modality,
        encoder,
        options,
        {name: tensor.float() for name, tensor in weights.items()},
        labels,
        getattr(config, "problem_type", None),
        encoder.architecture["front_end"]["chunk_length"] if encoder.is_whisper else None,
        partial(_run, source, modality) if is_of_transformers else None,
    )


def _run(source: str, modality: str, rows: Tensor) -> Tensor:
    """Return the logits of transformers' own class; see :class:`Classifier`."""
    library, folder = models_of_transformers(), model_folder(source)
    if modality == SPEECH:
        extractor = library.AutoFeatureExtractor.from_pretrained(folder)
        samples = list(rows.numpy())
        inputs = extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        rows = inputs[extractor.model_input_names[0]]
    kind = "Audio" if modality == SPEECH else "Sequence"
    automatic = getattr(library, f"AutoModelFor{kind}Classification")
    model = automatic.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits: Tensor = model(rows).logits
    return logits


def _read_stored(source: str) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for file in find_weights(source):
        is_safetensors = file.suffix == ".safetensors"
        stored |= read_tensors(file) if is_safetensors else load_torch_file(file)
    return stored


def _name(wanted: str, stored: Mapping[str, Tensor]) -> str:
    """Return the full name of a stored tensor: behind that of the model, such as ``bert.``."""
    return next(name for name in stored if name == wanted or name.endswith(f".{wanted}"))


def _is_stored(head: _Head, stored: Mapping[str, Tensor]) -> bool:
    layers = [f"{layer}.{part}" for layer in (head.dense, head.output) for part in _PARTS]
    return all(
        any(name == wanted or name.endswith(f".{wanted}") for name in stored) for wanted in layers
    )


def _check_all_used(source: str, head: _Head, stored: Mapping[str, Tensor]) -> None:
    """Refuse a head that has more than is known of it."""
    used = tuple(f"{layer}." for layer in (head.dense, head.output))
    others = [x for x in stored if x.startswith(_ROOTS) and not x.startswith(used)]
    if others:
        raise UsageError(
            f"hf:{source}: its head has {first_few(sorted(others), 3)}, too, of which nothing is "
            "known here; give another model",
            "classifier-unsupported",
        )


def _describe(heads: Sequence[_Head]) -> str:
    return " or ".join(f"{head.dense} and {head.output}" for head in heads)


def _activation(source: str, config: Any, head: _Head) -> str:
    name = head.activation if head.activation in ACTIVATIONS else getattr(config, head.activation)
    if name not in ACTIVATIONS:
        raise UsageError(
            f"hf:{source}: {head.activation} is {name}, where heads here have one of "
            f"{', '.join(ACTIVATIONS)}; give another model",
            "classifier-unsupported",
        )
    return str(name)


def _check_pooling(source: str, config: Any) -> None:
    pooling = getattr(config, "pooling_mode", _MEAN)
    if pooling != _MEAN:
        raise UsageError(
            f"hf:{source}: pools its frames by {pooling}, where heads of this kind take the mean; "
            "give another model",
            "classifier-unsupported",
        )
