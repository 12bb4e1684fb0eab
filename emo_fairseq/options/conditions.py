"""Conditions on which an option has an effect: a predicate, and why the option does not act.

Conditions that several options share are here; those of one group are beside its options.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.modalities import FRAMES, LOG_MEL, PIXELS, SPEECH, TEXT, TOKENS, WAVEFORM
from emo_fairseq.option_values import FROZEN, FULL, LORA
from emo_fairseq.targets import Target, TargetKind

_BUILT_HERE = ("scratch", "features")  # kinds of encoders whose sizes are options of the model


@dataclass(frozen=True)
class OptionContext:
    """What conditions depend on: the encoders, and the options of a run as far as they are known.

    Attributes:
        encoders: of the modalities that are read.
        task: options of the task.
        target: what is predicted; None while it is not known.
        model: options of the model, before the architecture fills them in; None as above.
        criterion: options of the criterion; None as above.
        trains: whether the run is a training, and no scoring.
        takes_prototypes: whether the criterion, or the curriculum, has read prototypes; None as
            above.
    """

    encoders: Mapping[str, EncoderSpec]
    task: Any
    target: Target | None = None
    model: Any = None
    criterion: Any = None
    takes_prototypes: bool | None = None
    trains: bool = True

    def reads(self, modality: str, *inputs: str) -> bool:
        """Return whether the modality is read, and as one of these inputs if any is named."""
        return modality in self.encoders and (not inputs or self.encoders[modality].input in inputs)

    def reads_any(self, *inputs: str) -> bool:
        """Return whether any modality is read as one of these inputs."""
        return any(spec.input in inputs for spec in self.encoders.values())

    def is_built_here(self, modality: str, *kinds: str) -> bool:
        """Return whether the encoder is not pretrained, and of one of these kinds, if named."""
        return modality in self.encoders and self.encoders[modality].kind in (kinds or _BUILT_HERE)

    def tuning(self, modality: str) -> str:
        """Return ``--{modality}-tuning``."""
        return str(getattr(self.model, f"{modality}_tuning", None) or FULL)

    def tunes(self, *tunings: str) -> bool:
        """Return whether an encoder has one of these tunings."""
        return any(self.tuning(name) in tunings for name in self.encoders)

    def freezes_lower_part(self, modality: str) -> bool:
        """Return whether the lower part alone of an encoder of waveforms is frozen.

        A Whisper has no front end of waveforms, and the outputs of its lower layers are not stored.
        """
        if not self.reads(modality, WAVEFORM) or self.tuning(modality) == FROZEN:
            return False
        if self.encoders[modality].is_whisper:
            return False
        grad_mult = getattr(self.model, "speech_feature_grad_mult", None)
        return bool(
            self.tuning(modality) == LORA
            or getattr(self.model, "speech_freeze_layers", 0)
            or getattr(self.model, "speech_freeze_front_end", False)
            or grad_mult == 0
            or (grad_mult is None and self.encoders[modality].is_pretrained)
        )

    def stores_outputs_of(self, modality: str) -> bool:
        """Return whether the outputs of an encoder, or of its lower part, can be stored."""
        return self.tuning(modality) == FROZEN or self.freezes_lower_part(modality)

    @property
    def stores_outputs(self) -> bool:
        """Return whether an encoder, or its lower part, has outputs that can be stored."""
        return any(map(self.stores_outputs_of, self.encoders))

    def reads_augmented(self, *inputs: str, modality: str | None = None) -> bool:
        """Return whether an encoder of these inputs (and this modality) can read augmented ones.

        The outputs of a frozen encoder are computed once, and read from disk: of the inputs as they
        are, and of ``--augment-copies`` of them.
        """
        runs_again = self.task.no_encoder_cache or self.task.augment_copies > 0
        return any(
            spec.input in inputs
            and modality in (None, name)
            and (runs_again or self.tuning(name) != FROZEN)
            for name, spec in self.encoders.items()
        )


@dataclass(frozen=True)
class Condition:
    """When an option acts.

    Attributes:
        holds: whether it does.
        otherwise: why it does not; ``{modalities}`` are those that are read, ``{some}`` is one.
        needs: the attribute of the context that has to be known.
        only_warns: log a warning instead of refusing the option, since legacy commands carry it.
    """

    holds: Callable[[OptionContext], bool]
    otherwise: str
    needs: str = "task"
    only_warns: bool = False

    def is_violated(self, context: OptionContext) -> bool:
        """Return whether the option is known not to act."""
        return getattr(context, self.needs) is not None and not self.holds(context)

    def reason(self, context: OptionContext) -> str:
        """Return why the option does not act."""
        modalities, some = "+".join(context.encoders), next(iter(context.encoders), TEXT)
        return self.otherwise.format(modalities=f" {modalities}", some=some)

    def describe(self) -> str:
        """Return the same for documentation, where nothing is known of the run."""
        return self.otherwise.format(modalities="", some="MODALITY")


def is_read(modality: str, only_warns: bool = False) -> Condition:
    """Return the condition of an option of one modality."""
    return Condition(
        lambda context: context.reads(modality),
        f"--modality{{modalities}} has no {modality}",
        only_warns=only_warns,
    )


def reads_tokens(modality: str) -> Condition:
    """Return the condition of an option of one modality's tokens."""
    return Condition(
        lambda context: context.reads(modality, TOKENS), f"no encoder reads {modality} as tokens"
    )


READS_TOKENS = Condition(lambda context: context.reads_any(TOKENS), "no encoder reads tokens")
READS_FEATURES = Condition(lambda context: context.reads_any(FRAMES), "no encoder is features:NAME")
READS_AUDIO = Condition(
    lambda context: context.reads(SPEECH, WAVEFORM, LOG_MEL), "no encoder reads audio"
)
READS_PICTURES = Condition(
    lambda context: context.reads_any(PIXELS), "no encoder reads videos, as hf:FOLDER does"
)
READS_FRAMES = Condition(
    lambda context: context.reads_any(LOG_MEL, FRAMES),
    "no encoder reads log-mel frames or is features:NAME",
)
HAS_LORA = Condition(
    lambda context: context.tunes(LORA), "no encoder has --{some}-tuning lora", needs="model"
)
HAS_FROZEN_ENCODER = Condition(
    lambda context: context.stores_outputs,
    "no encoder has --{some}-tuning frozen, and outputs of others are not kept",
    needs="model",
)
KEEPS_OUTPUTS = Condition(
    lambda context: not context.task.no_encoder_cache, "--no-encoder-cache keeps no outputs"
)
PREDICTS_LABELS = Condition(
    lambda context: context.target.has_labels,  # type: ignore[union-attr]
    "--target has numbers, and no labels",
    needs="target",
)
PREDICTS_NUMBERS = Condition(
    lambda context: not context.target.has_labels,  # type: ignore[union-attr]
    "--target has labels, and no numbers",
    needs="target",
)
PREDICTS_DISTRIBUTION = Condition(
    lambda context: context.target.kind is TargetKind.DISTRIBUTION,  # type: ignore[union-attr]
    "--target is not emotion_distribution",
    needs="target",
)
PREDICTS_ONE_LABEL = Condition(
    lambda context: context.target.kind is not TargetKind.DISTRIBUTION,  # type: ignore[union-attr]
    "--target emotion_distribution has no true label, whose probability decides how hard a row is",
    needs="target",
)


def is_none_of(option: str, values: Sequence[str]) -> str:
    """Return the reason why an option does not act beside another value of a second option.

    >>> is_none_of("--fusion", ["lmf"]), is_none_of("--fusion", ["lmf", "gated"])
    ('--fusion is not lmf', '--fusion is none of lmf, gated')
    """
    return f"{option} is {'not' if len(values) == 1 else 'none of'} {', '.join(values)}"


def reads_augmented(encoder: str, *inputs: str, modality: str | None = None) -> Condition:
    """Return the condition of an augmentation of these inputs.

    Args:
        encoder: how the sentence names the encoder.
        inputs: see :data:`emo_fairseq.modalities.INPUTS`.
        modality: of the encoder; None for any.
    """
    return Condition(
        lambda context: context.reads_augmented(*inputs, modality=modality),
        f"{encoder} is frozen, and reads augmented inputs only with --augment-copies",
        needs="model",
    )
