"""The options of the task ``emotion_prediction``."""

import argparse
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.utils import gen_parser_from_dataclass
from omegaconf import MISSING

from emo_fairseq.data.augmentation import AugmentationConfig
from emo_fairseq.tasks.curriculum_options import CurriculumConfig
from emo_fairseq.tasks.objective_options import ObjectiveConfig
from emo_fairseq.types import TARGETS

_ENCODER_HELP = "{}features:NAME or scratch:SIZE (default: from scratch, in the size of --arch)"


@dataclass
class EmotionPredictionConfig(
    AugmentationConfig, CurriculumConfig, ObjectiveConfig, FairseqDataclass
):
    """Where the data are, what is read of them, and what is predicted."""

    data: str = field(
        default=MISSING,
        metadata={"help": "data dir: {split}.tsv and corpus.yaml, or the seed's T_data layout"},
    )
    data_raw: Optional[str] = field(
        default=None,
        metadata={"help": "folder that the manifests' audio paths start from (default: --data)"},
    )
    fold: Optional[str] = field(
        default=None,
        metadata={"help": "PROTOCOL/FOLD: train, valid and test are those of folds/PROTOCOL.json"},
    )
    modality: Optional[str] = field(
        default=None, metadata={"help": "text, speech or text+speech (default); also T, A, T+A"}
    )
    target: Optional[ChoiceEnum(list(TARGETS))] = field(  # type: ignore[valid-type]
        default=None, metadata={"help": "what to predict (default: emotion)"}
    )
    num_classes: int = field(
        default=-1,
        metadata={"help": "width of the output, checked against target and labels (-1: derived)"},
    )
    text_encoder: Optional[str] = field(
        default=None, metadata={"help": _ENCODER_HELP.format("hf:FOLDER, fairseq:CHECKPOINT, ")}
    )
    speech_encoder: Optional[str] = field(
        default=None, metadata={"help": _ENCODER_HELP.format("hf:FOLDER, fairseq:CHECKPOINT, ")}
    )
    video_encoder: Optional[str] = field(
        default=None, metadata={"help": "features:NAME, a folder under features/"}
    )
    speech_input: Optional[ChoiceEnum(["waveform", "log_mel", "tokens"])] = field(  # type: ignore[valid-type]
        default=None,
        metadata={
            "help": "what a speech encoder from scratch reads (default: waveform; tokens in the "
            "seed's layout)"
        },
    )
    init_token: Optional[int] = field(
        default=None,
        metadata={"help": "id that every token sequence begins with (default: the tokenizer's)"},
    )
    separator_token: Optional[int] = field(
        default=None,
        metadata={"help": "id that every token sequence ends with (default: the tokenizer's)"},
    )
    max_text_tokens: Optional[int] = field(
        default=None,
        metadata={"help": "longer texts are cut (default: 512, or the encoder's reach)"},
    )
    max_speech_tokens: Optional[int] = field(
        default=None,
        metadata={"help": "longer code sequences are cut (default: 2048, or the encoder's reach)"},
    )
    max_frames: Optional[int] = field(
        default=None, metadata={"help": "longer rows of features:NAME are cut (default: none is)"}
    )
    context_past: int = field(
        default=0, metadata={"help": "turns of the same dialogue that are joined before each text"}
    )
    context_future: int = field(
        default=0, metadata={"help": "turns of the same dialogue that are joined after each text"}
    )
    context_speakers: bool = field(
        default=False, metadata={"help": "begin every turn with its speaker's name"}
    )
    context_pooling: ChoiceEnum(["turn", "all"]) = field(  # type: ignore[valid-type]
        default="turn",
        metadata={"help": "pool the current turn's tokens, or those of its neighbors too"},
    )
    cache_dir: Optional[str] = field(
        default=None,
        metadata={"help": "where outputs of frozen encoders are kept (default: cache/ in --data)"},
    )
    cache_dtype: ChoiceEnum(["float16", "float32"]) = field(  # type: ignore[valid-type]
        default="float16", metadata={"help": "numbers in that cache"}
    )
    no_encoder_cache: bool = field(
        default=False,
        metadata={"help": "run frozen encoders in every batch, and keep no outputs"},
    )
    init_from: Optional[str] = field(
        default=None,
        metadata={"help": "start from a checkpoint of this task: take all parameters that fit"},
    )
    init_text_from: Optional[str] = field(
        default=None, metadata={"help": "start the text encoder from a checkpoint of this task"}
    )
    init_speech_from: Optional[str] = field(
        default=None, metadata={"help": "start the speech encoder from a checkpoint of this task"}
    )
    init_video_from: Optional[str] = field(
        default=None, metadata={"help": "start the video encoder from a checkpoint of this task"}
    )
    allow_leak: bool = field(
        default=False,
        metadata={
            "help": "take what has seen held-out rows; every table made from the run shows it"
        },
    )
    mask_modality: Optional[str] = field(
        default=None,
        metadata={"help": "take these modalities for missing in every row (text, speech, video)"},
    )
    max_speech_seconds: float = field(
        default=20.0, metadata={"help": "longer audio is cut at its end"}
    )
    save_predictions: Optional[str] = field(
        default=None,
        metadata={"help": "fairseq-validate: write id, truth, prediction and scores to this TSV"},
    )
    save_embeddings: Optional[str] = field(
        default=None,
        metadata={"help": "fairseq-validate: write the vectors before the head to this .npz"},
    )
    save_attention: Optional[str] = field(
        default=None,
        metadata={"help": "fairseq-validate: write what the fusion looked at to this .npz"},
    )
    attention_ids: Optional[str] = field(
        default=None, metadata={"help": "of these utterances, joined by commas"}
    )
    a_only: bool = field(default=False, metadata={"help": "the seed's flag: use speech"})
    t_only: bool = field(default=False, metadata={"help": "the seed's flag: use text"})
    binary_target_iemocap: bool = field(
        default=False, metadata={"help": "the seed's flag: --target binary_emotion"}
    )
    regression_target_mos: bool = field(
        default=False, metadata={"help": "the seed's flag: --target sentiment_score"}
    )
    regression_target: bool = field(
        default=False, metadata={"help": "the seed's flag: --target vad"}
    )
    eval_metric: bool = field(
        default=False, metadata={"help": "the seed's flag: refused, its metrics are always logged"}
    )


class _NamedData:
    """Lets ``--data DIR`` through: fairseq makes a field called `data` positional."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser

    def add_argument(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Pass an argument on, `data` as ``--data``."""
        self._parser.add_argument("--data" if name == "data" else name, *args, **kwargs)


def add_task_args(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command line."""
    gen_parser_from_dataclass(_NamedData(parser), EmotionPredictionConfig())
