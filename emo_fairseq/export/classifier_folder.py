"""Write a classifier of Hugging Face or FunASR as a model folder."""

import hashlib
import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fairseq.dataclass.utils import merge_with_parent
from omegaconf import OmegaConf
from torch import Tensor

from data_prep.files.replacing import write_atomically
from data_prep.manifest.columns import AXES
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.folder import TokenFolder
from data_prep.tokens.hf_tokenizer import HuggingFaceTokenizer
from emo_fairseq.compat.initialization import SkipRandomParameters
from emo_fairseq.data.vocabulary import read_vocabulary
from emo_fairseq.errors import UsageError
from emo_fairseq.export.classifiers import MULTI_LABEL, REGRESSION, Classifier
from emo_fairseq.export.funasr_classifiers import read_funasr_classifier
from emo_fairseq.export.hf_classifiers import read_hf_classifier
from emo_fairseq.export.model_folder import (
    FolderContent,
    check_out,
    portable_spec,
    write_folder,
)
from emo_fairseq.inference.input_processor import InputProcessor
from emo_fairseq.inference.model_folder.files import CARD_FILE
from emo_fairseq.modalities import SPEECH, TEXT
from emo_fairseq.models.build import fill_config, load_pretrained, plain
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.targets import TARGETS, Target
from emo_fairseq.task_state import TaskOptions, TaskState

# By the kind of a source, as encoders have it.
READERS: Mapping[str, Callable[[str], Classifier]] = {
    "hf": read_hf_classifier,
    "fairseq": read_funasr_classifier,
}
_MODEL = "robertaEMO"
_WEIGHT, _BIAS = "head.out_proj.weight", "head.out_proj.bias"
_UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls a label without a name
_EMOTION, _SENTIMENT, _VAD, _BINARY = "emotion", "sentiment", "vad", "binary_emotion"
_CHECKED_ROWS, _CHECKED_LENGTH = 2, 12
_TOLERANCE = 1e-3  # of logits, in float32 with other kernels


@dataclass(frozen=True)
class OutputSpec:
    """What the outputs of a classifier mean, as far as its user states it.

    Attributes:
        target: ``emotion`` or ``sentiment``, of labels.
        labels: names of the outputs, in order; empty: those of its configuration.
        renamed: new names of labels.
        vad_scale: the lowest and the highest value of each axis; None where it is not stated.
    """

    target: str = _EMOTION
    labels: Sequence[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    vad_scale: tuple[float, float] | None = None


class Conversion(NamedTuple):
    """What was written.

    Attributes:
        modality: that the model reads.
        target: that it predicts.
        labels: its labels, or axes.
        is_compared: whether its outputs were compared with those of its own implementation.
    """

    modality: str
    target: str
    labels: Sequence[str]
    is_compared: bool


def write_classifier_folder(
    source: str, out: Path, spec: OutputSpec, finish: Callable[[Path], object] = lambda folder: None
) -> Conversion:
    """Write a classifier as a model folder, which computes the same.

    Args:
        source: ``hf:`` and a folder, or a name on the hub; or ``fairseq:`` and a folder of FunASR.
        out: the folder; if it is there, a model folder or empty.
        spec: of its outputs.
        finish: is given the new folder before it is put in place, and may write graphs into it.

    Raises:
        UsageError: no classifier that can be converted, outputs without names or scale, outputs
            that are not those of transformers, or `out` holds other things.
    """
    check_out(out)
    kind, _, path = source.partition(":")
    if kind not in READERS or not path:
        raise UsageError(
            f"{source}: give hf:FOLDER or hf:ORG/NAME, or of FunASR fairseq:FOLDER",
            "encoder-spec-invalid",
        )
    classifier = READERS[kind](path)
    outputs = _read_outputs(source, classifier, spec)
    with tempfile.TemporaryDirectory() as folder:
        processor = _write_tokenizer(path, classifier.modality, Path(folder))
        state = _describe(classifier, outputs, processor)
        options, model = _build(classifier, outputs, state)
        if classifier.run is not None:
            _compare(source, classifier, outputs, state, model)
        task_options = {f"{classifier.modality}_encoder": classifier.encoder.spec}
        content = FolderContent(
            state, task_options, options, state.to_state(), model.state_dict(), processor
        )

        def complete(new: Path) -> None:
            write_atomically(new / CARD_FILE, _card(source, state, classifier))
            finish(new)

        write_folder(content, out, complete)
    target = outputs.target.name
    return Conversion(classifier.modality, target, outputs.labels, classifier.run is not None)


class _Outputs(NamedTuple):
    """Outputs of the new model, a linear map of those of the classifier.

    Attributes:
        target: what is predicted.
        labels: their names.
        matrix: (n_outputs, K).
        offset: (n_outputs,).
    """

    target: Target
    labels: Sequence[str]
    matrix: Tensor
    offset: Tensor


def _read_outputs(source: str, classifier: Classifier, spec: OutputSpec) -> _Outputs:
    names = _label_names(source, classifier, spec)
    identity = torch.eye(len(names))
    if classifier.problem in (REGRESSION, MULTI_LABEL) and spec.target != _EMOTION:
        raise UsageError(
            f"--target {spec.target}: {source} does not choose one of its labels (its "
            f"problem_type is {classifier.problem}); leave it out",
            "option-idle",
        )
    if classifier.problem == REGRESSION:
        return _read_axes(source, names, spec)
    if spec.vad_scale is not None:
        raise UsageError(
            f"--vad-scale: {source} predicts labels ({', '.join(names)}), which have no scale; "
            "leave it out",
            "option-idle",
        )
    if classifier.problem == MULTI_LABEL:  # a sigmoid of x is a softmax of (0, x)
        pairs = torch.stack([torch.zeros_like(identity), identity], dim=1).flatten(0, 1)
        return _Outputs(TARGETS[_BINARY], names, pairs, torch.zeros(len(pairs)))
    return _Outputs(TARGETS[spec.target], names, identity, torch.zeros(len(names)))


def _label_names(source: str, classifier: Classifier, spec: OutputSpec) -> list[str]:
    named = list(spec.labels) or list(classifier.labels)
    n_outputs = classifier.n_outputs
    if named and len(named) != n_outputs:
        of_whom = "--labels" if spec.labels else f"{source}: its labels"
        raise UsageError(
            f"{of_whom}: {len(named)} names, and {source} has {n_outputs} outputs; name each, in "
            "their order, by --labels",
            "classifier-labels",
        )
    if not named or any(map(_UNNAMED.fullmatch, named)):
        raise UsageError(
            f"{source}: its files do not name its {n_outputs} labels; give them in the order of "
            "the outputs, as its authors state it: --labels NAME NAME …",
            "classifier-labels",
        )
    if unknown := [name for name in spec.renamed if name not in named]:
        raise UsageError(
            f"--label-map {unknown[0]}=…: {source} has no such label; its labels are "
            f"{', '.join(named)}",
            "classifier-labels",
        )
    renamed = [spec.renamed.get(name, name) for name in named]
    if odd := [
        name for name in renamed if not name.isprintable() or not name or name.strip() != name
    ]:
        raise UsageError(
            f"{source}: the label {odd[0]!r} is empty, has blanks around it, or characters that "
            "are not printed; name the outputs in their order by --labels",
            "classifier-labels",
        )
    if twice := [name for name, count in Counter(renamed).items() if count > 1]:
        raise UsageError(
            f"{source}: two outputs are called {twice[0]}; give each a name of its own by "
            "--label-map OLD=NEW or --labels",
            "classifier-labels",
        )
    return renamed


def _read_axes(source: str, names: Sequence[str], spec: OutputSpec) -> _Outputs:
    places = [name.lower() for name in names]
    if sorted(places) != sorted(AXES):
        raise UsageError(
            f"{source}: predicts the numbers {', '.join(names)}, where models here predict "
            f"{', '.join(AXES)}; if its outputs are these, name them in their order: --labels",
            "classifier-labels",
        )
    if spec.vad_scale is None:
        raise UsageError(
            f"{source}: predicts {', '.join(names)} on a scale that its configuration does not "
            "name; give the values of its lowest and highest annotation, as its authors state "
            "them, such as --vad-scale 0 1 or --vad-scale 1 7",
            "vad-scale-missing",
        )
    low, high = spec.vad_scale
    if not low < high or not math.isfinite(high - low):
        raise UsageError(
            f"--vad-scale {low:g} {high:g}: give two numbers, the lowest value before the highest",
            "vad-scale-missing",
        )
    order = torch.eye(len(AXES))[[places.index(axis) for axis in AXES]]
    offset = torch.full((len(AXES),), -low / (high - low))
    return _Outputs(TARGETS[_VAD], AXES, order / (high - low), offset)


def _write_tokenizer(source: str, modality: str, folder: Path) -> InputProcessor:
    """Write the tokenizer of a text model into a token folder without tokens."""
    if modality != TEXT:
        return InputProcessor(normalizes_text=False)
    tokenizer = HuggingFaceTokenizer(source)
    files = tokenizer.files()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    tokens = TokenFolder(folder / TEXT, {"bpe": "hf", "sources": digests})
    with tokens.locked():
        tokens.replace_tokenizer(files, len(tokenizer.symbols), tokenizer.specials)
    return InputProcessor({TEXT: tokens.folder}, normalizes_text=False)


def _describe(classifier: Classifier, outputs: _Outputs, processor: InputProcessor) -> TaskState:
    vocabularies = {}
    for modality, folder in processor.tokenizers.items():
        vocabulary = read_vocabulary(folder)
        assert vocabulary is not None
        vocabularies[modality] = vocabulary
    options = TaskOptions(modality=classifier.modality, target=outputs.target.name)
    if classifier.max_seconds is not None:
        options = options.model_copy(update={"max_speech_seconds": float(classifier.max_seconds)})
    encoders = {classifier.modality: classifier.encoder}
    return TaskState(options, list(outputs.labels), encoders, vocabularies)


def _build(
    classifier: Classifier, outputs: _Outputs, state: TaskState
) -> tuple[dict[str, Any], RobertaEMOModel]:
    """Return the options of the model, and the model with its weights."""
    given = OmegaConf.create({"_name": _MODEL, **classifier.options})
    cfg = merge_with_parent(RobertaEMOConfig(), given, True)
    fill_config(cfg, state)
    with SkipRandomParameters():
        model = RobertaEMOModel.build(cfg, state)
    load_pretrained(model, state.encoders)
    weights = dict(classifier.weights)
    weights[_WEIGHT] = outputs.matrix @ weights[_WEIGHT]
    weights[_BIAS] = outputs.matrix @ weights[_BIAS] + outputs.offset
    model.load_state_dict({**model.state_dict(), **weights})
    return plain(cfg), model.eval()


def _compare(
    source: str, classifier: Classifier, outputs: _Outputs, state: TaskState, model: RobertaEMOModel
) -> None:
    """Raise a `UsageError` unless the outputs are those of its own implementation."""
    generator = torch.Generator().manual_seed(0)
    if classifier.modality == SPEECH:
        shape = (_CHECKED_ROWS, SAMPLE_RATE)
        rows = torch.randn(shape, generator=generator) / 10
        name = "waveform"
    else:
        special = state.vocabularies[TEXT].specials
        shape = (_CHECKED_ROWS, _CHECKED_LENGTH)
        rows = torch.randint(state.vocabularies[TEXT].size, shape, generator=generator)
        rows[rows == special.pad] = special.separator
        rows[:, 0], rows[:, -1] = special.init, special.separator
        name = "tokens"
    inputs = {
        name: rows,
        "padding_mask": torch.zeros_like(rows, dtype=torch.bool),
        "present": torch.ones(len(rows), dtype=torch.bool),
    }
    with torch.no_grad():
        ours = model(**{classifier.modality: inputs}).logits
    assert classifier.run is not None
    theirs = classifier.run(rows)
    expected = theirs @ outputs.matrix.T + outputs.offset
    difference = float((ours - expected).abs().max())
    if not difference <= _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise UsageError(
            f"{source}: as a model here its outputs differ from its own by "
            f"{difference:.2g}; it has another head than its weights and configuration show, and "
            "cannot be converted",
            "classifier-unsupported",
        )


def _card(source: str, state: TaskState, classifier: Classifier) -> str:
    name = portable_spec(source).partition(":")[2]
    names = ", ".join(state.labels)
    return (
        f"---\nlicense: unknown\nlibrary_name: emo_fairseq\n---\n\n# {name}\n\n"
        f"The classifier {name} (weights {classifier.encoder.weights[:12]}), "
        f"converted by `emotion-recognize import`. It reads {classifier.modality} and predicts "
        f"{state.target.name}: {names}.\n\nWhat it was trained on, and how well it predicts, is "
        f"not known here; see the card of {name}. Its license holds for these weights, too.\n"
    )
