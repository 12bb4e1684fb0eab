"""The task ``emotion_prediction``: its options, its state in a checkpoint, its datasets."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.tasks import FairseqTask, register_task
from omegaconf import MISSING, open_dict

from emo_fairseq import predictions, seed_flags
from emo_fairseq.criterions.metric_logging import log_metrics
from emo_fairseq.data import legacy
from emo_fairseq.data.inputs import InputBuilder, InputOptions
from emo_fairseq.data.log_mel import LogMelStatistics
from emo_fairseq.data.manifest import (
    Split,
    check_data_dir,
    read_corpus_file,
    read_split,
    select_rows,
    truth_array,
)
from emo_fairseq.data.raw_audio_text_dataset import RawAudioTextDataset
from emo_fairseq.data.rows import RowsDataset
from emo_fairseq.data.vocabulary import (
    Vocabulary,
    assume_vocabulary,
    check_fits,
    read_vocabulary,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT
from emo_fairseq.models.architectures import fill_from_architecture
from emo_fairseq.targets import TARGETS

logger = logging.getLogger(__name__)

_STATISTICS_SAMPLE = 1000  # utterances whose frames the log-mel statistics are fitted on
_STATISTICS_SEED = 0
_TRAIN = "train"


@dataclass
class EmotionPredictionConfig(FairseqDataclass):
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
    target: Optional[ChoiceEnum(list(TARGETS))] = field(  # type: ignore[valid-type, misc]
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
    max_text_tokens: int = field(
        default=512, metadata={"help": "longer texts are cut before </s>"}
    )
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
        self._parser.add_argument("--data" if name == "data" else name, *args, **kwargs)


@register_task("emotion_prediction", dataclass=EmotionPredictionConfig)
class EmotionPredictionTask(FairseqTask):
    """Emotion, sentiment or VAD of an utterance from its text, its speech, or both.

    Its state (labels, vocabularies, log-mel statistics, class counts of the train split) is
    settled by the training data, saved in every checkpoint, and taken from there ever after.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.modalities = seed_flags.modalities(cfg)
        self.target = seed_flags.target(cfg)
        self.data_dir = Path(cfg.data)
        check_data_dir(self.data_dir)
        self.data_raw = Path(cfg.data_raw or cfg.data)
        self.is_legacy = not (self.data_dir / f"{_TRAIN}.tsv").exists() and any(
            self.data_dir.glob("label_file_*.csv")
        )
        self.speech_input = cfg.speech_input or ("tokens" if self.is_legacy else "waveform")
        if self.is_legacy and SPEECH in self.modalities and self.speech_input != "tokens":
            raise UsageError(
                f"--speech-input {self.speech_input}: {self.data_dir} is in the seed's layout, "
                "which holds speech as tokens only; leave the option out"
            )
        self._splits: dict[str, Split] = {}
        self._prediction_rows: list[predictions.Row] = []
        self.state.add_factory("labels", self._read_labels)
        self.state.add_factory("class_counts", self._count_classes)
        self.state.add_factory("vocabulary", self._read_vocabularies)
        self.state.add_factory("log_mel_statistics", self._fit_log_mel_statistics)

    @classmethod
    def add_args(cls, parser: argparse.ArgumentParser) -> None:
        gen_parser_from_dataclass(_NamedData(parser), EmotionPredictionConfig())

    @classmethod
    def setup_task(cls, cfg: Any, from_checkpoint: bool = False, **kwargs: Any) -> Any:
        task = cls(cfg)
        if not from_checkpoint:
            task.settle_state()
        return task

    # -- state ---------------------------------------------------------------------------------

    def settle_state(self) -> None:
        """Read from the training data whatever a checkpoint must carry."""
        self.target.check_num_classes(self.cfg.num_classes, self.labels)
        if self.target.has_labels:
            logger.info("class counts: %s", dict(zip(self.labels, self.class_counts, strict=True)))
        _ = self.state.vocabulary
        if SPEECH in self.modalities and self.speech_input == "log_mel":
            _ = self.state.log_mel_statistics

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a checkpoint's state.

        Raises:
            UsageError: the checkpoint is of another task, or was trained on other labels.
        """
        if "labels" not in state_dict:
            raise UsageError("the checkpoint is not of the task emotion_prediction")
        settled = self.state.state_dict.get("labels")
        if settled is not None and settled != state_dict["labels"]:
            raise UsageError(
                f"the checkpoint knows {', '.join(state_dict['labels'])}, but {self.data_dir} has "
                f"{', '.join(settled)}; start afresh with another --save-dir"
            )
        super().load_state_dict(state_dict)

    @property
    def labels(self) -> list[str]:
        """Label names in the order of the class ids, or the names of the axes."""
        return self.state.labels

    @property
    def class_counts(self) -> list[int]:
        """How often each label occurs in the train split."""
        return self.state.class_counts

    @property
    def n_outputs(self) -> int:
        """Width of the model's output."""
        return self.target.n_outputs(len(self.labels))

    def vocabulary(self, modality: str) -> Vocabulary:
        """The vocabulary that the model's tokens of this modality come from."""
        return Vocabulary(**self.state.vocabulary[modality])

    def max_tokens(self, modality: str) -> int:
        """The longest token sequence of this modality."""
        return self.cfg.max_text_tokens if modality == TEXT else self.cfg.max_speech_tokens

    def _read_labels(self) -> list[str]:
        if not self.target.has_labels:
            return list(self.target.columns)
        if self.is_legacy:
            return list(legacy.EMOTION_LABELS)
        (column,) = self.target.columns
        corpus = read_corpus_file(self.data_dir)
        labels = corpus.labels.get(column) if corpus is not None else None
        if not labels:
            raise UsageError(
                f"{self.data_dir}/corpus.yaml names no {column} labels, which --target "
                f"{self.target.name} needs; list them there in order, under labels"
            )
        return list(labels)

    def _count_classes(self) -> list[int]:
        truth = truth_array(self._split(_TRAIN), self.target, self.labels)
        return np.bincount(truth[truth >= 0], minlength=len(self.labels)).tolist()

    def _token_modalities(self) -> list[str]:
        return [
            name
            for name in self.modalities
            if name == TEXT or (name == SPEECH and self.speech_input == "tokens")
        ]

    def _dictionary_file(self, modality: str) -> Path:
        return self.data_dir / modality / "dict.txt"

    def _read_vocabularies(self) -> dict[str, dict[str, object]]:
        found = {}
        for name in self._token_modalities():
            file = self._dictionary_file(name)
            if file.exists():
                found[name] = read_vocabulary(file).to_state()
            elif self.is_legacy:
                found[name] = assume_vocabulary(name, self._split(_TRAIN).tokens[name]).to_state()
            else:
                raise UsageError(
                    f"{file}: not there; run `python -m data_prep.tokenize_{name} {self.data_dir}`"
                )
        return found

    def _fit_log_mel_statistics(self) -> dict[str, list[float]]:
        logger.info("fitting log-mel statistics on at most %d utterances", _STATISTICS_SAMPLE)
        waveforms = self._inputs().waveforms(self._split(_TRAIN))
        return asdict(LogMelStatistics.fit(waveforms, _STATISTICS_SAMPLE, _STATISTICS_SEED))

    # -- data ----------------------------------------------------------------------------------

    def _split(self, name: str) -> Split:
        if name not in self._splits:
            self._splits[name] = read_split(self.data_dir, self.data_raw, name, self.modalities)
        return self._splits[name]

    def _inputs(self) -> InputBuilder:
        options = InputOptions(
            data_dir=self.data_dir,
            data_raw=self.data_raw,
            speech_input=self.speech_input,
            init_token=self.cfg.init_token,
            separator_token=self.cfg.separator_token,
            max_text_tokens=self.cfg.max_text_tokens,
            max_speech_tokens=self.cfg.max_speech_tokens,
            max_speech_seconds=self.cfg.max_speech_seconds,
        )
        return InputBuilder(
            options, lambda: LogMelStatistics(**self.state.log_mel_statistics)
        )

    def load_dataset(self, split: str, combine: bool = False, **kwargs: Any) -> None:
        """Load a split; rows without truth or input are left out, and counted in the log."""
        part = self._split(split)
        self._check_vocabularies(part)
        rows = select_rows(part, self.target, self.modalities)
        build = self._inputs()
        self.datasets[split] = RawAudioTextDataset(
            split,
            [part.utterances[row].id for row in rows],
            {name: RowsDataset(build(name, part), rows) for name in self.modalities},
            truth_array(part, self.target, self.labels)[rows],
            shuffle=split == _TRAIN,
        )
        logger.info("%s: %d utterances", split, len(rows))

    def _check_vocabularies(self, part: Split) -> None:
        for name in self._token_modalities():
            file = self._dictionary_file(name)
            if file.exists():
                read_vocabulary(file).check_same(self.vocabulary(name))
            elif part.tokens:
                check_fits(self.vocabulary(name), name, part.tokens[name])

    def get_batch_iterator(self, dataset: Any, **kwargs: Any) -> Any:
        # fairseq would drop the last utterances of a split whose number is no multiple of this.
        kwargs["required_batch_size_multiple"] = 1
        return super().get_batch_iterator(dataset, **kwargs)

    # -- model and criterion -------------------------------------------------------------------

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        if self.cfg.save_predictions and not from_checkpoint:
            raise UsageError("--save-predictions belongs to fairseq-validate; leave it out here")
        # Into the configuration itself, so that the checkpoint holds every size.
        with open_dict(cfg):
            fill_from_architecture(cfg)
        return super().build_model(cfg, from_checkpoint)

    def valid_step(self, sample: Any, model: Any, criterion: Any) -> Any:
        if not sample:  # fairseq-validate on several ranks: this one has no batch left
            return 0.0, 0, {}
        return super().valid_step(sample, model, criterion)

    def reduce_metrics(self, logging_outputs: Sequence[dict[str, Any]], criterion: Any) -> None:
        super().reduce_metrics(logging_outputs, criterion)
        log_metrics(logging_outputs, self.labels)
        if self.cfg.save_predictions:
            self._write_predictions(logging_outputs)

    def _write_predictions(self, logging_outputs: Sequence[dict[str, Any]]) -> None:
        # fairseq-validate comes here once a subset, on every rank with the outputs of all ranks.
        for output in logging_outputs:
            self._prediction_rows += output.get("predictions", [])
        predictions.write(Path(self.cfg.save_predictions), self._prediction_rows)

    def max_positions(self) -> None:
        """Nothing is too long: the leaves cut, and no utterance is skipped for its length."""
        return None
