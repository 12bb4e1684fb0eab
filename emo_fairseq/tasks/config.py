"""The options of the task ``emotion_prediction``."""

import argparse
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.utils import gen_parser_from_dataclass
from omegaconf import MISSING

from emo_fairseq.targets import TARGETS


@dataclass
class EmotionPredictionConfig(FairseqDataclass):
    """Where the data are, what is read of them, and what is predicted."""

    data: str = field(
        default=MISSING,
        metadata={"help": "data dir: {split}.tsv and corpus.yaml, or the seed's T_data layout"},
    )
    data_raw: Optional[str] = field(
        default=None,
        metadata={"help": "folder that the manifests' audio paths start from (default: --data)"},
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
    speech_input: Optional[ChoiceEnum(["waveform", "log_mel", "tokens"])] = field(  # type: ignore[valid-type]
        default=None,
        metadata={
            "help": "what the speech encoder reads (default: waveform; tokens in the seed's layout)"
        },
    )
    init_token: int = field(
        default=0, metadata={"help": "id that every token sequence begins with: <s>"}
    )
    separator_token: int = field(
        default=2, metadata={"help": "id that every token sequence ends with: </s>"}
    )
    max_text_tokens: int = field(default=512, metadata={"help": "longer texts are cut before </s>"})
    max_speech_tokens: int = field(
        default=2048, metadata={"help": "longer code sequences are cut before </s>"}
    )
    max_speech_seconds: float = field(
        default=20.0, metadata={"help": "longer audio is cut at its end"}
    )
    save_predictions: Optional[str] = field(
        default=None,
        metadata={"help": "fairseq-validate: write id, truth, prediction and scores to this TSV"},
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
