"""Start a training from the weights of an earlier stage, as the options ``--init-*`` name it.

An encoder of an earlier stage is taken only if it computes the same as the model's: weights of
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

from data_prep.messages import first_few
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.convolutions import parse_conv_layers
from emo_fairseq.modules.lora import merged_state_dict
from emo_fairseq.tasks.encoder_cache import beside_weights
from emo_fairseq.tasks.resume import stored_provenance
from emo_fairseq.types import MODALITIES

_NAMED = 3
_IDLE = ("_name_or_path", "architectures", "id2label", "label2id")  # of an architecture
_DROPOUT = "drop"  # in the names of what acts in training alone


class Stage(NamedTuple):
    """An earlier stage.

    Attributes:
        option: which names it, and its file, for messages.
        parameters: plain ones; LoRA's updates are merged.
        task_state: what its task knew.
        options: of its model.
    """

    option: str
    parameters: Mapping[str, Tensor]
    task_state: Mapping[str, Any]
    options: Mapping[str, Any]

    def card(self, modality: str) -> EncoderSpec | None:
        """Of its encoder; None where it has none, or where it is too old to tell."""
        state = self.task_state.get("encoders", {}).get(modality)
        return None if state is None else EncoderSpec(**state)

    def left_to_files(self, modality: str) -> EncoderSpec | None:
        """The card of an encoder whose weights ``--checkpoint-weights trained`` has left out."""
        card, backbone = self.card(modality), backbone_prefix(modality)
        is_there = any(name.startswith(backbone) for name in self.parameters)
        return None if is_there or card is None or not card.is_pretrained else card


def prefix(modality: str) -> str:
    """How the names of an encoder's parameters begin."""
    return f"encoders.{modality}."


def backbone_prefix(modality: str) -> str:
    """The same, without what is learned on top of it."""
    return f"{prefix(modality)}backbone."


def check_same(model: nn.Module, task: Any, modality: str, stage: Stage) -> None:
    """See that a stage's encoder is the model's, and knows the same symbols.

    Of one that is left to its files, see that they are the model's.

    Raises:
        UsageError: names what differs, and the remedy.
    """
    known = stage.task_state.get("vocabulary", {}).get(modality)
    card: EncoderSpec = task.encoder_cards()[modality]
    before = stage.card(modality)
    if before is not None:
        check_cards(stage.option, modality, before, card)
        if stage.left_to_files(modality) and before.weights != card.weights:
            raise UsageError(
                f"{missing(stage, modality, before)}; give --{modality}-encoder {before.spec}, or "
                "train the stage with --checkpoint-weights all"
            )
    _check_shapes(model, modality, stage)
    if not card.is_pretrained:
        _check_sizes(model, modality, stage)
    if known is not None and modality in task.vocabularies():
        ours, theirs = task.vocabularies()[modality], Vocabulary.from_state(known)
        ours.check_same(theirs)
        if not card.is_pretrained and ours.specials.pad != theirs.specials.pad:
            raise UsageError(
                f"{stage.option}: its {modality} encoder knows padding by the id "
                f"{theirs.specials.pad}, and the data have {ours.specials.pad}; tokenize them with "
                "the stage's own tokenizer files"
            )


def missing(stage: Stage, modality: str, card: EncoderSpec) -> str:
    """The beginning of a message about an encoder that is left to its files."""
    return (
        f"{stage.option}: was saved with --checkpoint-weights trained and does not hold its "
        f"{modality} encoder, whose weights are those of {card.spec} ({card.weights[:12]})"
    )


def check_cards(option: str, modality: str, theirs: EncoderSpec, ours: EncoderSpec) -> None:
    """See that two encoders compute the same, whatever their weights and where these lie.

    What only one of the architectures says is a default of another version of a library.

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
        "as in that stage"
    )


def _acting(architecture: Mapping[str, Any]) -> dict[str, str]:
    """What outputs depend on, by dotted names, as text that can be compared and shown."""
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
    differing = sorted(n for n in own.keys() | theirs.keys() if own.get(n) != theirs.get(n))
    if differing:
        raise UsageError(
            f"{stage.option}: its {modality} encoder is another one, {len(differing)} parameters "
            f"differ ({first_few(differing, _NAMED)}); give the same encoder, with the same "
            f"--{modality}-layer, to both stages"
        )


def _check_sizes(model: nn.Module, modality: str, stage: Stage) -> None:
    """The sizes of our own encoders that no shape tells."""
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
        f"{option} {theirs}"
    )


# -- Staged training: parameters of an earlier stage's checkpoint, and the word on what was taken

logger = logging.getLogger(__name__)


def initialize(model: nn.Module, task: Any) -> None:
    """Put the parameters of ``--init-from`` and ``--init-{modality}-from`` into a new model.

    The former takes whatever fits: a bare text model grows into one of text and speech; heads of
    other labels are left. Of an encoder, by either, all is taken or nothing. LoRA's updates are
    merged.

    Args:
        model: just built.
        task: its modalities, labels, vocabularies and options.

    Raises:
        UsageError: a checkpoint of another task, or one whose encoder is not in it, is another one
            or knows other words.
    """
    if task.cfg.init_from:
        _take_what_fits(model, task, _read(task, "--init-from", task.cfg.init_from))
    for modality in task.modalities:
        if path := getattr(task.cfg, f"init_{modality}_from"):
            stage = _read(task, f"--init-{modality}-from", path, only=prefix(modality))
            _take_encoder(model, task, modality, stage)


def load_resumed(model: nn.Module, checkpoint: Path) -> None:
    """Load the parameters of the checkpoint that a training resumes into its model.

    fairseq does so too, but later: by then frozen encoders have been run.

    Raises:
        UsageError: they do not fit; names the file.
    """
    state = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint), {"task": TASK_NAME})
    try:
        model.load_state_dict(state["model"])
    except UsageError as error:
        raise UsageError(f"{checkpoint}: {error}", error.code) from error


def check_files_give_weights(cfg: Any) -> None:
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


def _read(task: Any, option: str, path: str, only: str = "") -> Stage:
    """Read a stage that has seen no held-out row; of its parameters those whose names begin so."""
    state = checkpoint_utils.load_checkpoint_to_cpu(path, {"task": TASK_NAME})
    task.take(option, path, stored_provenance(state.get("task_state", {}), path))
    parameters = {name: value for name, value in state["model"].items() if name.startswith(only)}
    try:
        merged = merged_state_dict(parameters)
    except ValueError as error:
        raise UsageError(
            f"{option} {path}: was saved with --checkpoint-weights trained and holds LoRA's "
            f"updates alone ({error}); train that stage with --checkpoint-weights all"
        ) from error
    return Stage(f"{option} {path}", merged, state.get("task_state", {}), state["cfg"]["model"])


def _take_what_fits(model: nn.Module, task: Any, stage: Stage) -> None:
    own = model.state_dict()
    taken = {
        name: value
        for name, value in stage.parameters.items()
        if name in own and own[name].shape == value.shape
    }
    of_files: list[str] = []
    for modality in task.modalities:
        begins, left = prefix(modality), stage.left_to_files(modality)
        if left or any(name.startswith(begins) for name in stage.parameters):
            check_same(model, task, modality, stage)
        if left:
            logger.info(
                "%s: its %s encoder is that of %s, as here", stage.option, modality, left.spec
            )
            of_files += [name for name in own if name.startswith(backbone_prefix(modality))]
    taken = _without_other_labels(taken, task, stage)
    if not taken:
        raise UsageError(f"{stage.option}: nothing there fits this model; see --modality")
    model.load_state_dict({**own, **taken})
    logger.info("%s: taken %s", stage.option, _count(taken))
    logger.info("%s: new %s", stage.option, _count(own.keys() - taken.keys() - {*of_files}))
    logger.info("%s: not used %s", stage.option, _count(stage.parameters.keys() - taken.keys()))


def _without_other_labels(
    parameters: Mapping[str, Tensor], task: Any, stage: Stage
) -> dict[str, Tensor]:
    """Without the heads whose outputs mean something else in the new model."""
    theirs = stage.task_state.get("auxiliary_labels", {})
    heads = {"head": (stage.task_state.get("labels"), task.labels)} | {
        f"auxiliary_heads.{name}": (theirs.get(name), labels)
        for name, labels in task.auxiliary_labels.items()
    }
    kept = dict(parameters)
    for head, (before, now) in heads.items():
        others = [name for name in kept if name.startswith(f"{head}.")]
        if others and before != list(now):
            logger.warning("%s: its %s is of other labels, and is not taken", stage.option, head)
            kept = {name: value for name, value in kept.items() if name not in others}
    return kept


def _take_encoder(model: nn.Module, task: Any, modality: str, stage: Stage) -> None:
    if left := stage.left_to_files(modality):
        raise UsageError(
            f"{missing(stage, modality, left)}; leave the option out and give --{modality}-encoder "
            f"{left.spec}, or train the stage with --checkpoint-weights all"
        )
    if not stage.parameters:
        raise UsageError(
            f"{stage.option}: that model has no {modality} encoder; see its --modality"
        )
    check_same(model, task, modality, stage)
    begins = prefix(modality)
    part = {name.removeprefix(begins): value for name, value in stage.parameters.items()}
    model.get_submodule(begins.rstrip(".")).load_state_dict(part)
    logger.info("%s: taken %s", stage.option, _count(stage.parameters))


def _count(names: Iterable[str]) -> str:
    """How many tensors of which part of the model: ``199 of encoders.text, 2 of head``."""
    counts = Counter(map(_part, names))
    return ", ".join(f"{n} of {part}" for part, n in sorted(counts.items())) or "nothing"


def _part(name: str) -> str:
    return ".".join(name.split(".")[: 2 if name.startswith("encoders.") else 1])
