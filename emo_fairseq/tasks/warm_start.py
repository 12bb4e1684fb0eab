"""Start a training from the weights of an earlier stage, as the options ``--init-*`` name it.

An encoder of an earlier stage is loaded only if it computes the same as the model's: weights of
the same names and shapes may belong to encoders that compute different things.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fairseq import checkpoint_utils
from torch import Tensor, nn

from data_prep.files.hub import local_folder
from data_prep.messages import first_few
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.modules.convolutions import parse_conv_layers
from emo_fairseq.modules.lora import has_lora, merged_state_dict
from emo_fairseq.pretrained.peft_adapters import library_model, load_adapter
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.outputs_identity import beside_weights
from emo_fairseq.tasks.provenance import Accept, stored_provenance

logger = logging.getLogger(__name__)

_NAMED = 3  # values or parameters that a message names before "..."
_IDLE = ("_name_or_path", "architectures", "id2label", "label2id")  # of an architecture
_DIALOGUE_ENCODER = "dialogue_encoder."  # in the names of its parameters
_FUSED_SCALE = "embedding.standardize.scale"  # with --standardize-fused
_DROPOUT = "drop"  # in the names of what acts in training alone


class Stage(NamedTuple):
    """An earlier stage.

    Attributes:
        option: which names it, and its file or folder, for messages.
        parameters: plain ones; LoRA's updates are merged.
        task_state: state of its task.
        options: of its model.
    """

    option: str
    parameters: Mapping[str, Tensor]
    task_state: Mapping[str, Any]
    options: Mapping[str, Any]

    def spec(self, modality: str) -> EncoderSpec | None:
        """Return its encoder; None if it has none, or its version did not record it."""
        state = self.task_state.get("encoders", {}).get(modality)
        return None if state is None else EncoderSpec(**state)

    def left_to_files(self, modality: str) -> EncoderSpec | None:
        """Return an encoder whose weights ``--checkpoint-weights trained`` has left out."""
        spec, backbone = self.spec(modality), backbone_prefix(modality)
        is_held = any(name.startswith(backbone) for name in self.parameters)
        return None if is_held or spec is None or not spec.is_pretrained else spec


def prefix(modality: str) -> str:
    """Return the beginning of the names of an encoder's parameters."""
    return f"encoders.{modality}."


def backbone_prefix(modality: str) -> str:
    """Return the same without what is learned on top of the encoder."""
    return f"{prefix(modality)}backbone."


def standardization_prefix(modality: str) -> str:
    """Return the beginning of the names of the statistics that standardize its outputs."""
    return f"{prefix(modality)}standardize."


def check_same(model: nn.Module, state: TaskState, modality: str, stage: Stage) -> None:
    """Check that a stage's encoder is the model's, with the same vocabulary.

    Of one that is left to its files, check that these are the model's.

    Raises:
        UsageError: names what differs, and the remedy.
    """
    vocabulary = stage.task_state.get("vocabulary", {}).get(modality)
    spec = state.encoders[modality]
    before = stage.spec(modality)
    if before is not None:
        check_same_outputs(stage.option, modality, before, spec)
        if stage.left_to_files(modality) and before.weights != spec.weights:
            raise UsageError(
                f"{missing(stage, modality, before)}; give --{modality}-encoder {before.spec}, or "
                "train the stage with --checkpoint-weights all",
                "stage-encoder-missing",
            )
    _check_shapes(model, modality, stage)
    if not spec.is_pretrained:
        _check_sizes(model, modality, stage)
    if vocabulary is not None and modality in state.vocabularies:
        ours, theirs = state.vocabularies[modality], Vocabulary.from_state(vocabulary)
        ours.check_same(theirs)
        if not spec.is_pretrained and ours.specials.pad != theirs.specials.pad:
            raise UsageError(
                f"{stage.option}: the id of padding of its {modality} encoder is "
                f"{theirs.specials.pad}, and that of the data {ours.specials.pad}; tokenize them "
                "with the stage's own tokenizer files",
                "stage-padding-other",
            )


def missing(stage: Stage, modality: str, spec: EncoderSpec) -> str:
    """Return the beginning of a message about an encoder that is left to its files."""
    return (
        f"{stage.option}: was saved with --checkpoint-weights trained and does not hold its "
        f"{modality} encoder, whose weights are those of {spec.spec} ({spec.weights[:12]})"
    )


def check_same_outputs(option: str, modality: str, theirs: EncoderSpec, ours: EncoderSpec) -> None:
    """Check that two encoders compute the same, whatever their weights and paths.

    What only one of the architectures has is a default of another version of a library.

    Args:
        option: that names the stage, with its file.
        modality: of both encoders.
        theirs: the encoder of the stage.
        ours: that of the model.

    Raises:
        UsageError: names what differs, and the remedy.
    """
    before = {"kind": theirs.kind, "input": theirs.input, **_acting(theirs.architecture)}
    now = {"kind": ours.kind, "input": ours.input, **_acting(ours.architecture)}
    differing = [name for name in before if name in now and before[name] != now[name]]
    if not differing:
        return
    remedy = f"give --{modality}-encoder {theirs.spec}"
    if theirs.kind == "scratch" and not theirs.source:
        remedy = f"leave --{modality}-encoder out"
    if theirs.kind == ours.kind == "scratch":
        remedy = f"give --{modality}-input {theirs.input}"
    values = [f"{name} {before[name]}, not {now[name]}" for name in differing]
    raise UsageError(
        f"{option}: its {modality} encoder is another one ({first_few(values, _NAMED)}); {remedy}, "
        "as in that stage",
        "stage-encoder-other",
    )


def _acting(architecture: Mapping[str, Any]) -> dict[str, str]:
    """Return what outputs depend on, by dotted names, as text."""
    return {name: json.dumps(value, default=str) for name, value in _leaves(architecture)}


def _leaves(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if name in _IDLE or _DROPOUT in name:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _check_shapes(model: nn.Module, modality: str, stage: Stage) -> None:
    begins, backbone = prefix(modality), backbone_prefix(modality)
    own = {n: v.shape for n, v in model.state_dict().items() if n.startswith(begins)}
    if stage.left_to_files(modality):
        own = {n: shape for n, shape in own.items() if not n.startswith(backbone)}
    theirs = {n: v.shape for n, v in stage.parameters.items() if n.startswith(begins)}
    # Statistics of outputs that one of them has alone are no part of the encoder.
    statistics = standardization_prefix(modality)
    compared = {n for n in own.keys() ^ theirs.keys() if not n.startswith(statistics)}
    compared |= own.keys() & theirs.keys()
    differing = sorted(n for n in compared if own.get(n) != theirs.get(n))
    if differing:
        raise UsageError(
            f"{stage.option}: its {modality} encoder is another one, {len(differing)} parameters "
            f"differ ({first_few(differing, _NAMED)}); give the same encoder, with the same "
            f"--{modality}-layer, to both stages",
            "stage-encoder-other",
        )


def _check_standardized(own: Iterable[str], modality: str, stage: Stage) -> None:
    """Refuse what was trained on standardized outputs, in a model that has them as they are."""
    begins = standardization_prefix(modality)
    is_own = any(name.startswith(begins) for name in own)
    if not is_own and any(name.startswith(begins) for name in stage.parameters):
        raise UsageError(
            f"{stage.option}: was trained with --standardize-frozen; give --{modality}-tuning "
            f"frozen --standardize-frozen, or take its encoder alone by --init-{modality}-from",
            "stage-encoder-other",
        )


def _check_standardized_fused(own: Iterable[str], stage: Stage) -> None:
    """Refuse what was trained on standardized fused vectors, in a model without."""
    if _FUSED_SCALE in stage.parameters and _FUSED_SCALE not in own:
        raise UsageError(
            f"{stage.option}: was trained with --standardize-fused; give that option here, too, or "
            "take its encoders alone by --init-text-from and the like",
            "stage-encoder-other",
        )


def _check_sizes(model: nn.Module, modality: str, stage: Stage) -> None:
    """Check the sizes of our own encoders that no shape depends on."""
    backbone = model.get_submodule(backbone_prefix(modality).rstrip("."))
    heads = stage.options.get(f"{modality}_attention_heads")
    for own in {*beside_weights(backbone)["num_heads"]}:
        if heads is not None and heads != own:
            raise _other_size(stage, modality, f"--{modality}-attention-heads", heads, own)
    convolutions, own = stage.options.get("speech_conv_layers"), getattr(backbone, "conv_layers", 0)
    if own and convolutions and parse_conv_layers(convolutions, stage.option) != own:
        option, ours = "--speech-conv-layers", "[" + ", ".join(map(str, own)) + "]"
        raise _other_size(stage, modality, option, f'"{convolutions}"', f'"{ours}"')


def _other_size(stage: Stage, modality: str, option: str, theirs: Any, ours: Any) -> UsageError:
    return UsageError(
        f"{stage.option}: its {modality} encoder has {option} {theirs}, and this one {ours}; give "
        f"{option} {theirs}",
        "stage-encoder-other",
    )


def warm_start(
    model: nn.Module, cfg: EmotionPredictionConfig, state: TaskState, accept: Accept
) -> None:
    """Load the parameters of ``--init-from`` and ``--init-{modality}-from`` into a new model.

    The former loads whatever fits: a bare text model grows into one of text and speech; heads of
    other labels are left. Of an encoder, by either, all is loaded or nothing. LoRA's updates are
    merged.

    Args:
        model: just built.
        cfg: options of the task.
        state: modalities, labels, encoders and vocabularies of the model.
        accept: lets a stage into the training, or refuses it.

    Raises:
        UsageError: a checkpoint of another task, or one whose encoder is missing, is another one
            or has another vocabulary.
    """
    if cfg.init_from:
        _load_what_fits(model, state, _read("--init-from", cfg.init_from, accept))
    for modality in state.modalities:
        if path := getattr(cfg, f"init_{modality}_from"):
            stage = _read(f"--init-{modality}-from", path, accept, only=prefix(modality))
            _load_encoder(model, state, modality, stage)


def start_with_adapter(
    model: RobertaEMOModel, cfg: EmotionPredictionConfig, accept: Accept
) -> None:
    """Load the adapter of ``--lora-from`` into LoRA of the encoder that it belongs to.

    Args:
        model: has LoRA.
        cfg: options of the task.
        accept: lets the adapter into the training, or refuses it.

    Raises:
        UsageError: several encoders have LoRA, or none of Hugging Face, or the adapter is another
            one.
    """
    if not cfg.lora_from:
        return
    adapted = [
        encoder.backbone for encoder in model.encoders.values() if has_lora(encoder.backbone)
    ]
    if len(adapted) != 1:
        raise UsageError(
            f"--lora-from {cfg.lora_from}: {len(adapted)} encoders have LoRA, and an adapter is of "
            "one; give --tuning lora to the encoder of the adapter alone",
            "adapter-other",
        )
    accept("--lora-from", cfg.lora_from, None)
    load_adapter(library_model(adapted[0]), Path(cfg.lora_from))


def check_files_give_weights(cfg: EmotionPredictionConfig) -> None:
    """Refuse ``--checkpoint-weights trained`` with encoders that an earlier stage initializes.

    Raises:
        UsageError: their weights are not those of their files; names the option.
    """
    for option in ("init_from", *(f"init_{name}_from" for name in MODALITIES)):
        if getattr(cfg, option):
            flag = option.replace("_", "-")
            raise UsageError(
                f"--checkpoint-weights trained with --{flag}: the encoder's weights are then not "
                "those of its files; leave one of the two out",
                "options-conflict",
            )


def _read(option: str, path: str, accept: Accept, only: str = "") -> Stage:
    """Read a stage, of its parameters those whose names begin with `only`."""
    source = local_folder(path)
    saved = _read_folder(source) if source.is_dir() else _read_checkpoint(source)
    accept(option, path, stored_provenance(saved.task_state, path))
    parameters = {name: value for name, value in saved.parameters.items() if name.startswith(only)}
    try:
        merged = merged_state_dict(parameters)
    except ValueError as error:
        raise UsageError(
            f"{option} {path}: was saved with --checkpoint-weights trained and holds LoRA's "
            f"updates alone ({error}); train that stage with --checkpoint-weights all",
            "stage-encoder-missing",
        ) from error
    return saved._replace(option=f"{option} {path}", parameters=merged)


def _read_checkpoint(file: Path) -> Stage:
    state = checkpoint_utils.load_checkpoint_to_cpu(str(file), {"task": TASK_NAME})
    return Stage("", state["model"], state.get("task_state", {}), state["cfg"]["model"])


def _read_folder(folder: Path) -> Stage:
    from emo_fairseq.inference.model_folder.config import read_config, read_task_state
    from emo_fairseq.inference.model_folder.reading import read_model_folder

    parameters = read_model_folder(folder).model.state_dict()
    config = read_config(folder)
    return Stage("", parameters, read_task_state(folder, config), config.model)


def _load_what_fits(model: nn.Module, state: TaskState, stage: Stage) -> None:
    own = model.state_dict()
    loaded = {
        name: value
        for name, value in stage.parameters.items()
        if name in own and own[name].shape == value.shape
    }
    of_files: list[str] = []
    for modality in state.modalities:
        begins, left = prefix(modality), stage.left_to_files(modality)
        if left or any(name.startswith(begins) for name in stage.parameters):
            check_same(model, state, modality, stage)
        _check_standardized(own, modality, stage)
        if left:
            logger.info(
                "%s: its %s encoder is that of %s, as here", stage.option, modality, left.spec
            )
            of_files += [name for name in own if name.startswith(backbone_prefix(modality))]
    _check_standardized_fused(own, stage)
    loaded = _without_other_labels(loaded, state, stage)
    loaded = _without_other_dialogues(loaded, own, stage)
    if not loaded:
        raise UsageError(
            f"{stage.option}: nothing there fits this model; see --modality", "stage-unfit"
        )
    model.load_state_dict({**own, **loaded})
    logger.info("%s: loaded %s", stage.option, _count(loaded))
    logger.info("%s: new %s", stage.option, _count(own.keys() - loaded.keys() - {*of_files}))
    logger.info("%s: not used %s", stage.option, _count(stage.parameters.keys() - loaded.keys()))


def _without_other_labels(
    parameters: Mapping[str, Tensor], state: TaskState, stage: Stage
) -> dict[str, Tensor]:
    """Return the parameters without heads whose outputs mean something else in the new model."""
    theirs = stage.task_state.get("auxiliary_labels", {})
    heads = {"head": (stage.task_state.get("labels"), state.labels)} | {
        f"auxiliary_heads.{name}": (theirs.get(name), labels)
        for name, labels in state.auxiliary_labels.items()
    }
    kept = dict(parameters)
    for head, (before, now) in heads.items():
        others = [name for name in kept if name.startswith(f"{head}.")]
        if others and before != list(now):
            logger.warning("%s: its %s is of other labels, and is not loaded", stage.option, head)
            kept = {name: value for name, value in kept.items() if name not in others}
    return kept


def _without_other_dialogues(
    parameters: Mapping[str, Tensor], own: Mapping[str, Tensor], stage: Stage
) -> dict[str, Tensor]:
    """Return the parameters without a dialogue encoder of another kind or size.

    Some of its parameters may fit, but mean nothing without the others.
    """
    theirs = [name for name in stage.parameters if name.startswith(_DIALOGUE_ENCODER)]
    ours = [name for name in own if name.startswith(_DIALOGUE_ENCODER)]
    if not theirs or not ours or {*theirs} == {*ours} <= {*parameters}:
        return dict(parameters)
    logger.warning("%s: its dialogue encoder is another one, and is not loaded", stage.option)
    return {name: value for name, value in parameters.items() if name not in theirs}


def _load_encoder(model: nn.Module, state: TaskState, modality: str, stage: Stage) -> None:
    if left := stage.left_to_files(modality):
        raise UsageError(
            f"{missing(stage, modality, left)}; leave the option out and give --{modality}-encoder "
            f"{left.spec}, or train the stage with --checkpoint-weights all",
            "stage-encoder-missing",
        )
    if not stage.parameters:
        raise UsageError(
            f"{stage.option}: that model has no {modality} encoder; see its --modality",
            "stage-encoder-missing",
        )
    check_same(model, state, modality, stage)
    own = model.state_dict()
    part = {name: value for name, value in stage.parameters.items() if name in own}
    model.load_state_dict({**own, **part})
    logger.info("%s: loaded %s", stage.option, _count(part))


def _count(names: Iterable[str]) -> str:
    """Count the tensors of each part of the model: ``199 of encoders.text, 2 of head``."""
    counts = Counter(map(_part, names))
    return ", ".join(f"{n} of {part}" for part, n in sorted(counts.items())) or "nothing"


def _part(name: str) -> str:
    return ".".join(name.split(".")[: 2 if name.startswith("encoders.") else 1])
