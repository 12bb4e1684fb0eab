"""The task ``emotion_prediction``: data, model and criterion brought together."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq.tasks import FairseqTask, register_task
from omegaconf import open_dict

from emo_fairseq import idle_options, predictions, seed_flags
from emo_fairseq.criterions.metric_logging import log_metrics
from emo_fairseq.data import facts
from emo_fairseq.data.frames import FrameStatistics
from emo_fairseq.data.manifest import select_rows, truth_array
from emo_fairseq.data.presence import MissingDataset, presence_cases
from emo_fairseq.data.raw_audio_text_dataset import RawAudioTextDataset
from emo_fairseq.data.rows import RowsDataset
from emo_fairseq.data.source import TRAIN, DataSource
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_card import EncoderCard
from emo_fairseq.errors import UsageError
from emo_fairseq.fusion_options import check_fusion_options
from emo_fairseq.modalities import masked_modalities
from emo_fairseq.models.architectures import (
    add_new_fields,
    check_sizes_given,
    fill_from_architecture,
)
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.tuning import tune
from emo_fairseq.pretrained.vocabulary_check import check_knows
from emo_fairseq.tasks.config import EmotionPredictionConfig, add_task_args
from emo_fairseq.tasks.encoders import (
    check_same_encoders,
    describe_encoders,
    leave_out_pretrained,
    left_out_encoders,
    load_pretrained,
    load_resumed,
)
from emo_fairseq.tasks.frozen_encoders import FrozenEncoders
from emo_fairseq.tasks.staging import initialise
from emo_fairseq.tasks.surroundings import Surroundings

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
        self.surroundings = Surroundings(cfg)
        self.modalities = seed_flags.modalities(cfg)
        self.target = seed_flags.target(cfg)
        self.source = source = DataSource(cfg, self.modalities)
        self.frozen: FrozenEncoders | None = None
        self._prediction_rows: list[predictions.Row] = []
        add = self.state.add_factory
        resumed = self.surroundings.checkpoint_to_resume()
        add("encoders", lambda: describe_encoders(source, resumed))
        add("labels", lambda: facts.read_labels(source, self.target))
        add("class_counts", lambda: facts.count_classes(source, self.target, self.labels))
        add("vocabulary", lambda: facts.read_vocabularies(source))
        add("frame_statistics", lambda: facts.fit_frame_statistics(source))

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
        """Read from the encoders and the training data whatever a checkpoint must carry."""
        idle_options.check_task_options(self.cfg, EmotionPredictionConfig, self.encoder_cards())
        self.source.read_for(self.encoder_cards())
        self.target.check_num_classes(self.cfg.num_classes, self.labels)
        if self.target.has_labels:
            logger.info("class counts: %s", dict(zip(self.labels, self.class_counts, strict=True)))
        check_knows(self.encoder_cards(), self.vocabularies())
        self.state.frame_statistics  # noqa: B018  (touched, so that it is saved)

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
        check_same_encoders(
            state_dict.get("encoders", {}), self.state.state_dict.get("encoders", {})
        )
        fitted = self.state.state_dict.get("frame_statistics")
        super().load_state_dict(state_dict)
        self.source.read_for(self.encoder_cards())
        if fitted is not None and fitted != self.state.frame_statistics:
            # fairseq loads the valid splits before the checkpoint: bring them to its statistics.
            logger.warning("statistics of frames are the checkpoint's, not those of --data")
            self._load_datasets_again()
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
        return {n: Vocabulary.from_state(state) for n, state in self.state.vocabulary.items()}

    def frame_statistics(self, modality: str) -> FrameStatistics | None:
        """Of the train split, if the modality is read as frames."""
        fitted = self.state.frame_statistics.get(modality)
        return None if fitted is None else FrameStatistics(**fitted)

    def encoder_cards(self) -> dict[str, EncoderCard]:
        """For each modality which encoder reads it."""
        return {name: EncoderCard(**state) for name, state in self.state.encoders.items()}

    # -- data ----------------------------------------------------------------------------------

    def load_dataset(self, split: str, combine: bool = False, **kwargs: Any) -> None:
        """Load a split; rows without truth or input are left out, and counted in the log."""
        part = self.source.split(split)
        facts.check_vocabularies(self.source, part, self.vocabularies())
        masked = masked_modalities(self.cfg.mask_modality, self.modalities)
        present = {
            name: self.source.present(name, part) & (name not in masked) for name in self.modalities
        }
        rows = select_rows(part, self.target, present)
        heard = {name: int(present[name][rows].sum()) for name in self.modalities}
        if split == TRAIN and 0 in heard.values():
            silent = ", ".join(name for name, count in heard.items() if count == 0)
            raise UsageError(f"{part.file}: no row has {silent}; leave it out of --modality")
        known = self.vocabularies()
        leaves = {
            name: MissingDataset(len(part.utterances))
            if name in masked
            else self.source.leaf(name, part, known.get(name), self.frame_statistics(name))
            for name in self.modalities
        }
        if self.frozen is not None:
            leaves |= {
                name: self.frozen.leaf(name, leaves[name], split)
                for name in leaves.keys() - {*masked}
            }
        self.datasets[split] = RawAudioTextDataset(
            split,
            [part.utterances[row].id for row in rows],
            {name: RowsDataset(leaf, rows) for name, leaf in leaves.items()},
            truth_array(part, self.target, self.labels)[rows],
            shuffle=split == TRAIN,
            cases=presence_cases({name: here[rows] for name, here in present.items()}),
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
            cards = self.encoder_cards()
            check_fusion_options(cfg, len(self.modalities))
            check_sizes_given(cfg, cards)
            idle_options.check_model_options(
                cfg, RobertaEMOConfig, self.cfg, EmotionPredictionConfig, cards
            )
        # Into the configuration itself, so that the checkpoint holds every size.
        with open_dict(cfg):
            add_new_fields(cfg)
            fill_from_architecture(cfg, self.encoder_cards())
        model = super().build_model(cfg, from_checkpoint)
        resumed = None if from_checkpoint else self.surroundings.checkpoint_to_resume()
        is_new = not from_checkpoint and resumed is None
        needs_files = cfg.checkpoint_weights == "trained"
        if is_new:
            load_pretrained(model, self.encoder_cards())
            initialise(model, self)
        elif needs_files:
            left_out = left_out_encoders(cfg, self.encoder_cards())
            load_pretrained(model, self.encoder_cards(), left_out)
        self.schedules = tune(model, cfg)
        if needs_files:
            leave_out_pretrained(model, cfg, self.cfg, self.encoder_cards())
        if not from_checkpoint:
            self.surroundings.check_training(model, bool(self.schedules))
        if resumed is not None and any(encoder.frozen for encoder in model.encoders.values()):
            load_resumed(model, resumed)
        self._read_outputs_of_frozen(model)
        return model

    def _read_outputs_of_frozen(self, model: Any) -> None:
        """Let datasets hold what frozen encoders say, as long as the encoders are the same."""
        on_cpu = self.surroundings.on_cpu()
        self.frozen = FrozenEncoders.of(self.cfg, model, self.encoder_cards(), on_cpu)
        for encoder in self.frozen.encoders.values():
            encoder.keeps_precision = True

        def bring_up_to_date(*_: Any) -> None:
            # fairseq loads the valid splits before the checkpoint.
            if self.frozen is not None and self.frozen.have_changed():
                self._load_datasets_again()

        model.register_load_state_dict_post_hook(bring_up_to_date)

    def _load_datasets_again(self) -> None:
        for split in list(self.datasets):
            self.load_dataset(split)

    def train_step(
        self,
        sample: Any,
        model: Any,
        criterion: Any,
        optimizer: Any,
        update_num: int,
        ignore_grad: bool = False,
    ) -> Any:
        for schedule in self.schedules:
            schedule.set_num_updates(update_num)
        return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

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
