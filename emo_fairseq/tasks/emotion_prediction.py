"""The task ``emotion_prediction``: data, model and criterion brought together."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq.tasks import FairseqTask, register_task
from omegaconf import open_dict

from emo_fairseq import predictions, seed_flags
from emo_fairseq.criterions.metric_logging import log_metrics
from emo_fairseq.data import facts
from emo_fairseq.data.log_mel import LogMelStatistics
from emo_fairseq.data.manifest import select_rows, truth_array
from emo_fairseq.data.raw_audio_text_dataset import RawAudioTextDataset
from emo_fairseq.data.rows import RowsDataset
from emo_fairseq.data.source import TRAIN, DataSource
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH
from emo_fairseq.models.architectures import fill_from_architecture
from emo_fairseq.tasks.config import EmotionPredictionConfig, add_task_args

logger = logging.getLogger(__name__)


@register_task("emotion_prediction", dataclass=EmotionPredictionConfig)
class EmotionPredictionTask(FairseqTask):
    """Emotion, sentiment or VAD of an utterance from its text, its speech, or both.

    Its state (labels, class counts, vocabularies, log-mel statistics) is settled by the training
    data, saved in every checkpoint, and taken from there ever after; see
    :mod:`emo_fairseq.data.facts`.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        with open_dict(cfg):
            # fairseq's own switch: the same iterator draws new batches for every epoch.
            cfg.rebuild_batches = True
        self.modalities = seed_flags.modalities(cfg)
        self.target = seed_flags.target(cfg)
        self.source = source = DataSource(cfg, self.modalities)
        self._prediction_rows: list[predictions.Row] = []
        add = self.state.add_factory
        add("labels", lambda: facts.read_labels(source, self.target))
        add("class_counts", lambda: facts.count_classes(source, self.target, self.labels))
        add("vocabulary", lambda: facts.read_vocabularies(source))
        add("log_mel_statistics", lambda: facts.fit_log_mel_statistics(source))

    @classmethod
    def add_args(cls, parser: argparse.ArgumentParser) -> None:
        add_task_args(parser)

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
        self.vocabularies()
        self.log_mel_statistics()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a checkpoint's state.

        Raises:
            UsageError: the checkpoint is of another task, or was trained on other labels, or
                ``--num-classes`` does not fit it.
        """
        if "labels" not in state_dict:
            raise UsageError("the checkpoint is not of the task emotion_prediction")
        settled = self.state.state_dict.get("labels")
        if settled is not None and settled != state_dict["labels"]:
            raise UsageError(
                f"the checkpoint knows {', '.join(state_dict['labels'])}, but {self.source.folder} "
                f"has {', '.join(settled)}; start afresh with another --save-dir"
            )
        fitted = self.state.state_dict.get("log_mel_statistics")
        super().load_state_dict(state_dict)
        if fitted is not None and fitted != self.state.log_mel_statistics:
            # fairseq loads the valid splits before the checkpoint: bring them to its statistics.
            logger.warning("log-mel statistics are the checkpoint's, not those of --data")
            for split in list(self.datasets):
                self.load_dataset(split)
        self.target.check_num_classes(self.cfg.num_classes, self.labels)

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

    def vocabularies(self) -> dict[str, Vocabulary]:
        """For each modality read as tokens the vocabulary that the model knows."""
        return {name: Vocabulary(**state) for name, state in self.state.vocabulary.items()}

    def log_mel_statistics(self) -> LogMelStatistics | None:
        """Of the train split, if speech is read as log-mel frames."""
        if SPEECH not in self.modalities or self.source.speech_input != "log_mel":
            return None
        return LogMelStatistics(**self.state.log_mel_statistics)

    # -- data ----------------------------------------------------------------------------------

    def load_dataset(self, split: str, combine: bool = False, **kwargs: Any) -> None:
        """Load a split; rows without truth or input are left out, and counted in the log."""
        part = self.source.split(split)
        facts.check_vocabularies(self.source, part, self.vocabularies())
        rows = select_rows(part, self.target, self.modalities)
        heard = {name: int(part.present(name)[rows].sum()) for name in self.modalities}
        if split == TRAIN and 0 in heard.values():
            silent = ", ".join(name for name, count in heard.items() if count == 0)
            raise UsageError(f"{part.file}: no row has {silent}; leave it out of --modality")
        statistics = self.log_mel_statistics()
        leaves = {name: self.source.leaf(name, part, statistics) for name in self.modalities}
        self.datasets[split] = RawAudioTextDataset(
            split,
            [part.utterances[row].id for row in rows],
            {name: RowsDataset(leaf, rows) for name, leaf in leaves.items()},
            truth_array(part, self.target, self.labels)[rows],
            shuffle=split == TRAIN,
        )
        by_modality = ", ".join(f"{count} with {name}" for name, count in heard.items())
        logger.info("%s: %d utterances, %s", split, len(rows), by_modality)

    def get_batch_iterator(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        # fairseq would drop the last utterances of a split whose number is no multiple of this.
        kwargs["required_batch_size_multiple"] = 1
        # It would also skip what --max-tokens has no room for, and cannot compare two sizes.
        kwargs["max_positions"] = None
        dataset.check_max_tokens(kwargs.get("max_tokens"))
        return super().get_batch_iterator(dataset, *args, **kwargs)

    def max_positions(self) -> None:
        """Nothing is too long: the leaves cut, and no utterance is skipped for its length."""

    # -- model, criterion and metrics ----------------------------------------------------------

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        if self.cfg.save_predictions and not from_checkpoint:
            raise UsageError("--save-predictions belongs to fairseq-validate; leave it out here")
        if not from_checkpoint:  # there the sizes are filled in, and no longer tell who gave them
            seed_flags.check_cross_attention_options(cfg, len(self.modalities))
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
