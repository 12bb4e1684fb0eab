"""The options of the task ``emotion_prediction``, each with its rule."""

import argparse
from dataclasses import dataclass
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.utils import gen_parser_from_dataclass
from omegaconf import MISSING

from data_prep.prototypes.records import ALL, SCOPES
from emo_fairseq.data.augmentation import AugmentationConfig, changes_inputs
from emo_fairseq.data.curriculum import NONE, ORDERS, PACINGS, PRESET
from emo_fairseq.data.packed_audio import ANY_PACKED, PACKED_AUDIO
from emo_fairseq.data.samplers import SAMPLERS
from emo_fairseq.encoder_spec import DEFAULT_WHISPER_PADDING, WHISPER_PADDINGS
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO
from emo_fairseq.models.dialogue_encoders import (
    DIALOGUE_ENCODERS,
    HAS_DIALOGUE_ENCODER,
)
from emo_fairseq.models.fusions import fusion_of
from emo_fairseq.option_values import BY_TRAIN, CROSS_ATTENTION, NORMALIZATIONS
from emo_fairseq.options.conditions import (
    HAS_FROZEN_ENCODER,
    HAS_LORA,
    KEEPS_OUTPUTS,
    READS_AUDIO,
    READS_FEATURES,
    READS_FRAMES,
    READS_PICTURES,
    READS_TOKENS,
    Condition,
    OptionContext,
    is_read,
    reads_tokens,
)
from emo_fairseq.options.help_groups import group_options
from emo_fairseq.options.option import NOT_NEGATIVE, POSITIVE, PROBABILITY, Kind, Range, option
from emo_fairseq.targets import TARGETS, UNLABELED
from emo_fairseq.task_state import NO_DIALOGUE_ENCODER, TaskOptions

_TRAINED = TaskOptions()  # defaults of the options that a trained model depends on


@dataclass
class DataConfig(FairseqDataclass):
    """Which data are read, and what is predicted."""

    data: str = option(
        MISSING,
        "data dir: a folder with {split}.tsv and corpus.yaml, or the T_data layout of BERT-like",
        kind=Kind.DATA,
    )
    data_raw: Optional[str] = option(
        None,
        "folder that the manifests' audio paths start from (default: that of corpus.yaml)",
        kind=Kind.DATA,
    )
    video_raw: Optional[str] = option(
        None,
        "folder that the manifests' video paths start from (default: that of corpus.yaml)",
        kind=Kind.DATA,
    )
    fold: Optional[str] = option(
        None,
        "train, valid and test are the sets of one fold, PROTOCOL/FOLD of folds/PROTOCOL.json",
        kind=Kind.DATA,
    )
    modality: Optional[str] = option(
        None,
        "what the model reads of an utterance: text, speech, video or several joined by +; also T, "
        "A, V, T+A (default: text+speech)",
    )
    target: Optional[ChoiceEnum([*TARGETS, UNLABELED.name])] = option(  # type: ignore[valid-type]
        None,
        "what the model predicts (default: emotion); emotion_distribution: the shares of the "
        "annotators' votes for each emotion, in the column votes; none: nothing, the default of "
        "the criterions of pretraining, which read rows without labels, too",
    )
    num_classes: int = option(
        _TRAINED.num_classes,
        "number of outputs, checked against the target and its labels (-1: taken from them)",
    )
    allow_leak: bool = option(
        False,
        "go on although the model, or a file that it uses, was made from held-out rows; every "
        "table made from the run shows it",
    )
    mask_modality: Optional[str] = option(
        None,
        "score as if these modalities were missing in every row: text, speech, video, joined by +",
    )


_ENCODER_HELP = "{}stored features:NAME, or scratch:SIZE (default: from scratch, by --arch)"
_PRETRAINED_HELP = _ENCODER_HELP.format("pretrained hf:FOLDER or fairseq:CHECKPOINT, ")
_TOKEN_LIMIT = Range(2, why="a limit of {} tokens has no room for <s> and </s>; ")


_READS_BY_WHISPER = Condition(
    lambda context: any(spec.is_whisper for spec in context.encoders.values()),
    "the speech encoder is not a Whisper, hf:FOLDER",
)


@dataclass
class InputConfig(FairseqDataclass):
    """Which encoders read the data, and how much of a row."""

    text_encoder: Optional[str] = option(None, _PRETRAINED_HELP, acts=is_read(TEXT))
    speech_encoder: Optional[str] = option(None, _PRETRAINED_HELP, acts=is_read(SPEECH))
    video_encoder: Optional[str] = option(
        None,
        "pretrained hf:FOLDER, of images or videos, or stored features:NAME, a folder under "
        "features/ of --data",
        acts=is_read(VIDEO),
    )
    speech_input: Optional[ChoiceEnum(["waveform", "log_mel", "tokens"])] = option(  # type: ignore[valid-type]
        None,
        "what a speech encoder from scratch reads: the samples, log-mel frames or discrete tokens "
        "(default: waveform; tokens in the layout of "
        "BERT-like)",
        acts=is_read(SPEECH),
    )
    text_tokens: Optional[str] = option(
        None,
        "NAME of the folder text/NAME whose tokens are read (default: that of the encoder's "
        "tokenizer, or the only one)",
        acts=reads_tokens(TEXT),
    )
    speech_tokens: Optional[str] = option(
        None,
        "NAME of the folder speech/NAME whose tokens are read (default: that of the encoder's "
        "quantizer, or the only one)",
        acts=reads_tokens(SPEECH),
    )
    init_token: Optional[int] = option(
        None,
        "id that every token sequence begins with (default: the tokenizer's)",
        acts=READS_TOKENS,
    )
    separator_token: Optional[int] = option(
        None,
        "id that every token sequence ends with (default: the tokenizer's)",
        acts=READS_TOKENS,
    )
    max_text_tokens: Optional[int] = option(
        None,
        "longest text in tokens; longer ones are truncated (default: 512, or the encoder's limit)",
        within=_TOKEN_LIMIT,
        acts=reads_tokens(TEXT),
    )
    max_speech_tokens: Optional[int] = option(
        None,
        "longest speech in discrete tokens; longer is truncated (default: 2048, or the encoder's "
        "limit)",
        within=_TOKEN_LIMIT,
        acts=reads_tokens(SPEECH),
    )
    max_speech_seconds: float = option(
        _TRAINED.max_speech_seconds,
        "longest audio in seconds; longer is truncated at its end",
        acts=READS_AUDIO,
    )
    frames_per_second: float = option(
        _TRAINED.frames_per_second,
        "pictures that are read of a second of video",
        within=POSITIVE,
        acts=READS_PICTURES,
    )
    max_video_seconds: float = option(
        _TRAINED.max_video_seconds,
        "longest video in seconds; longer is truncated at its end",
        within=POSITIVE,
        acts=READS_PICTURES,
    )
    face_detector: Optional[str] = option(
        None,
        "read the face in each picture, and leave out those without one: opencv, or "
        "MODULE:FUNCTION, from pictures to the boxes of faces (default: read whole pictures)",
        acts=READS_PICTURES,
    )
    whisper_padding: ChoiceEnum(list(WHISPER_PADDINGS)) = option(  # type: ignore[valid-type]
        DEFAULT_WHISPER_PADDING,
        "what a Whisper reads after the end of a recording: silence up to 30 s (full), as it was "
        "trained; nothing, which is many times as fast on short recordings (none); or silence "
        "whose frames are kept, as classifiers of Hugging Face average over them, too (kept)",
        acts=_READS_BY_WHISPER,
    )
    packed_audio: ChoiceEnum(list(PACKED_AUDIO)) = option(  # type: ignore[valid-type]
        ANY_PACKED,
        "read the audio that `python -m data_prep.pack_audio` has decoded once, instead of its "
        "files; auto: where there is any; create: pack it first where there is none; off: decode "
        "files in every epoch",
        acts=READS_AUDIO,
        kind=Kind.DATA,
    )
    packed_audio_dir: Optional[str] = option(
        None,
        "folder of the packed audio (default: packed_audio/ in --data)",
        acts=READS_AUDIO,
        kind=Kind.DATA,
    )
    normalize_by: ChoiceEnum(list(NORMALIZATIONS)) = option(  # type: ignore[valid-type]
        BY_TRAIN,
        "mean and deviation that normalize features and log-mel frames: of the train split, or of "
        "the rows that are read themselves, by corpus, speaker or utterance (by corpus or speaker, "
        "figures are transductive, and marked as that)",
        acts=READS_FRAMES,
    )
    max_frames: Optional[int] = option(
        None,
        "most frames of an utterance's stored features; more are truncated (default: no limit)",
        within=Range(1),
        acts=READS_FEATURES,
    )


_HAS_CONTEXT = Condition(
    lambda context: bool(context.task.context_past or context.task.context_future),
    "there is no --context-past and no --context-future",
)


def _pools_beyond_first(context: OptionContext) -> bool:
    """Return whether the fusion reads the text's tokens, and not the first one alone."""
    pooling = str(getattr(context.model, "text_pooling", None) or "first")
    name = fusion_of(context)
    return name == CROSS_ATTENTION or pooling != "first"


_POOLS_BEYOND_FIRST = Condition(
    _pools_beyond_first,
    "--text-pooling first, the default, reads the first token alone",
    needs="model",
)


@dataclass
class DialogueConfig(FairseqDataclass):
    """How much of its dialogue is read with a turn."""

    context_past: int = option(
        _TRAINED.context_past,
        "number of turns of the same dialogue that are joined before each text",
        within=NOT_NEGATIVE,
        acts=reads_tokens(TEXT),
    )
    context_future: int = option(
        _TRAINED.context_future,
        "number of turns of the same dialogue that are joined after each text",
        within=NOT_NEGATIVE,
        acts=reads_tokens(TEXT),
    )
    context_speakers: bool = option(
        False,
        "begin every turn with its speaker's name",
        acts=(reads_tokens(TEXT), _HAS_CONTEXT),
    )
    context_pooling: ChoiceEnum(["turn", "all"]) = option(  # type: ignore[valid-type]
        _TRAINED.context_pooling,
        "pool the tokens of the current turn alone, or those of all joined turns",
        acts=(reads_tokens(TEXT), _HAS_CONTEXT, _POOLS_BEYOND_FIRST),
    )
    dialogue_encoder: ChoiceEnum([NO_DIALOGUE_ENCODER, *DIALOGUE_ENCODERS]) = option(  # type: ignore[valid-type]
        _TRAINED.dialogue_encoder,
        "predict a turn with the other turns of its dialogue, whatever the modalities: layers over "
        "the embeddings of all turns; none: predict each turn alone",
    )
    dialogue_causal: bool = option(
        False,
        "predict a turn from itself and the turns before it, as live use needs it",
        acts=HAS_DIALOGUE_ENCODER,
    )
    dialogue_window: int = option(
        _TRAINED.dialogue_window,
        "most turns that the dialogue encoder reads at once; longer dialogues are read in "
        "overlapping windows",
        within=Range(2, why="a window of {} has no other turns; "),
        acts=HAS_DIALOGUE_ENCODER,
    )


_AUGMENTS_FROZEN = Condition(
    lambda context: any(
        context.stores_outputs_of(name) and changes_inputs(context.task, name, spec.input)
        for name, spec in context.encoders.items()
    ),
    "no --augment-… option changes what a frozen encoder reads",
    needs="model",
)


@dataclass
class EncoderCacheConfig(FairseqDataclass):
    """Where the outputs of frozen encoders are kept."""

    cache_dir: Optional[str] = option(
        None,
        "folder for the outputs of frozen encoders, which run once (default: cache/ in --data)",
        acts=(HAS_FROZEN_ENCODER, KEEPS_OUTPUTS),
        kind=Kind.OUTPUT,
    )
    cache_dtype: ChoiceEnum(["float16", "float32"]) = option(  # type: ignore[valid-type]
        "float16",
        "precision in which these outputs are stored",
        acts=(HAS_FROZEN_ENCODER, KEEPS_OUTPUTS),
    )
    no_encoder_cache: bool = option(
        False,
        "run frozen encoders in every batch, and store no outputs",
        acts=HAS_FROZEN_ENCODER,
    )
    augment_copies: int = option(
        0,
        "training: store the outputs of a frozen encoder for so many augmented copies of its "
        "inputs, too; each epoch reads, of every row, its input or one of the copies, in turn",
        within=Range(0, most=100),
        acts=(_AUGMENTS_FROZEN, KEEPS_OUTPUTS),
    )


_STAGE = "checkpoint or model folder of the same task, or hf:ORG/NAME of the hub"
_INIT_HELP = f"start with the {{}} encoder of this {_STAGE}"


@dataclass
class WarmStartConfig(FairseqDataclass):
    """Which checkpoints of this task a training starts from."""

    init_from: Optional[str] = option(
        None,
        f"start with the parameters of this {_STAGE}, as far as they fit",
        kind=Kind.OTHER_RUN,
    )
    init_text_from: Optional[str] = option(
        None, _INIT_HELP.format(TEXT), acts=is_read(TEXT), kind=Kind.OTHER_RUN
    )
    init_speech_from: Optional[str] = option(
        None, _INIT_HELP.format(SPEECH), acts=is_read(SPEECH), kind=Kind.OTHER_RUN
    )
    init_video_from: Optional[str] = option(
        None, _INIT_HELP.format(VIDEO), acts=is_read(VIDEO), kind=Kind.OTHER_RUN
    )
    lora_from: Optional[str] = option(
        None,
        "start with LoRA of this folder, an adapter of a Hugging Face encoder in peft's format",
        acts=HAS_LORA,
        kind=Kind.OTHER_RUN,
    )


_BATCHES_ROWS = Condition(
    lambda context: str(context.task.dialogue_encoder) == NO_DIALOGUE_ENCODER,
    "with --dialogue-encoder a batch has whole dialogues, or windows of them",
)
_HAS_ORDER = Condition(
    lambda context: str(context.task.curriculum_order) != NONE, "there is no --curriculum-order"
)
_IS_PRESET = Condition(
    lambda context: str(context.task.curriculum_order) == PRESET,
    "--curriculum-order is not preset",
)


@dataclass
class CurriculumConfig(FairseqDataclass):
    """Which rows an epoch has, and how they fall into batches."""

    batch_sampler: ChoiceEnum(list(SAMPLERS)) = option(  # type: ignore[valid-type]
        "length", "what the rows of a training batch have in common", acts=_BATCHES_ROWS
    )
    curriculum_order: ChoiceEnum(list(ORDERS)) = option(  # type: ignore[valid-type]
        NONE,
        "train on a part of the train split that grows, to which rows are added in this order; "
        "none: train on all rows from the start",
    )
    curriculum_pacing: ChoiceEnum(list(PACINGS)) = option(  # type: ignore[valid-type]
        "linear", "how fast that part grows", acts=_HAS_ORDER
    )
    curriculum_epochs: int = option(
        15,
        "epochs until that part is the whole train split",
        within=Range(1),
        acts=_HAS_ORDER,
    )
    curriculum_preset: Optional[str] = option(
        None,
        "file with all ids of the train split, one a line, for --curriculum-order preset",
        acts=(_HAS_ORDER, _IS_PRESET),
    )
    curriculum_final_dropout: float = option(
        0.6,
        "dropout rate before the embedding and the head after the curriculum (that of "
        "--pooler-dropout to leave it)",
        within=PROBABILITY,
        acts=_HAS_ORDER,
    )


_TAKES_PROTOTYPES = Condition(
    lambda context: bool(context.takes_prototypes),
    "neither --criterion nor --curriculum-order uses prototypes, as emotion_supcon does",
    needs="takes_prototypes",
)


@dataclass
class ObjectiveConfig(FairseqDataclass):
    """What is learned beside the target, and which prototypes criterions use."""

    auxiliary_targets: Optional[str] = option(
        None,
        "train to predict these, too: vad, sentiment, emotion, or the names of other columns of "
        "labels, such as gender, joined by commas",
    )
    prototypes: Optional[str] = option(
        None,
        "file with the VAD prototype of each class, or published: those of the literature "
        "(default: prototypes.json in --data)",
        acts=_TAKES_PROTOTYPES,
        kind=Kind.OTHER_RUN,
    )
    prototype_scope: ChoiceEnum(list(SCOPES)) = option(  # type: ignore[valid-type]
        ALL, "corpus: compare a row with the prototypes of its own corpus", acts=_TAKES_PROTOTYPES
    )


_PROBES = Condition(lambda context: bool(context.task.probe), "there is no --probe")


@dataclass
class ProbeConfig(FairseqDataclass):
    """A linear model of frozen encoders, in place of a training."""

    probe: bool = option(
        False,
        "solve a regularized linear layer on the pooled outputs of frozen encoders (logistic or "
        "ridge regression), validate and end: a baseline in seconds",
    )
    probe_strengths: str = option(
        "1e-5,3e-5,1e-4,3e-4,1e-3,3e-3,1e-2,3e-2,1e-1,3e-1,1,3,10",
        "strengths of the regularization, joined by commas, of which the valid split chooses one "
        "by --best-checkpoint-metric",
        acts=_PROBES,
    )
    refit: bool = option(
        False,
        "with --probe: solve it again on the train and valid split, with the strength that was "
        "chosen; checkpoint_last.pt is this model, checkpoint_best.pt the one that was validated",
        acts=_PROBES,
    )


_SCORES = Condition(
    lambda context: not context.trains, "the run is a training, and fairseq-validate writes it"
)


@dataclass
class ScoringConfig(FairseqDataclass):
    """What fairseq-validate writes."""

    save_predictions: Optional[str] = option(
        None,
        "TSV file for id, truth, prediction and probabilities (or numbers) of every utterance",
        acts=_SCORES,
        kind=Kind.OUTPUT,
    )
    save_embeddings: Optional[str] = option(
        None,
        ".npz file for the embedding of every utterance, the vector before the head",
        acts=_SCORES,
        kind=Kind.OUTPUT,
    )
    save_attention: Optional[str] = option(
        None,
        ".npz file for the attention weights of the fusion",
        acts=_SCORES,
        kind=Kind.OUTPUT,
    )
    attention_ids: Optional[str] = option(
        None,
        "ids of the utterances of --save-attention, joined by commas",
        acts=_SCORES,
        kind=Kind.OUTPUT,
    )


_LEGACY_HELP = "legacy flag of BERT-like (Siriwardhana et al. 2020): {}"


@dataclass
class LegacyConfig(FairseqDataclass):
    """Legacy flags of BERT-like (Siriwardhana et al. 2020).

    :mod:`emo_fairseq.options.legacy_flags` maps them onto the other options.
    """

    a_only: bool = option(False, _LEGACY_HELP.format("use speech"), kind=Kind.LEGACY)
    t_only: bool = option(False, _LEGACY_HELP.format("use text"), kind=Kind.LEGACY)
    v_only: bool = option(False, _LEGACY_HELP.format("use video"), kind=Kind.LEGACY)
    all_in: bool = option(
        False, _LEGACY_HELP.format("--modality text+speech+video"), kind=Kind.LEGACY
    )
    binary_target_iemocap: bool = option(
        False, _LEGACY_HELP.format("--target binary_emotion"), kind=Kind.LEGACY
    )
    softmax_target_meld: bool = option(
        False, _LEGACY_HELP.format("--target emotion"), kind=Kind.LEGACY
    )
    regression_target_mos: bool = option(
        False, _LEGACY_HELP.format("--target sentiment_score"), kind=Kind.LEGACY
    )
    regression_target: bool = option(False, _LEGACY_HELP.format("--target vad"), kind=Kind.LEGACY)
    eval_metric: bool = option(
        False,
        _LEGACY_HELP.format("refused, its metrics are always logged"),
        kind=Kind.LEGACY,
    )
    no_shuffle: bool = option(
        False,
        _LEGACY_HELP.format("refused, see --curriculum-order preset and fairseq's --curriculum"),
        kind=Kind.LEGACY,
    )


@dataclass
class EmotionPredictionConfig(  # fields of the last base come first, in --help too
    LegacyConfig,
    ScoringConfig,
    ProbeConfig,
    ObjectiveConfig,
    CurriculumConfig,
    AugmentationConfig,
    WarmStartConfig,
    EncoderCacheConfig,
    DialogueConfig,
    InputConfig,
    DataConfig,
):
    """All options of the task."""


class _NamedData:
    """Accept ``--data DIR``: fairseq makes a field called `data` positional."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser

    def add_argument(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Pass an argument on, `data` as ``--data``."""
        self._parser.add_argument("--data" if name == "data" else name, *args, **kwargs)


def add_task_args(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command line, whose ``--help`` groups them."""
    if isinstance(parser, argparse.ArgumentParser):  # else a group, for fairseq's documentation
        group_options(parser)
    gen_parser_from_dataclass(_NamedData(parser), EmotionPredictionConfig())
