"""Save a checkpoint before a signal ends a training: at a time limit, a preemption, a shutdown.

Slurm, Kubernetes, torchrun and submitit send a signal some time before they kill. fairseq ends at
once, and what it has learned since its last checkpoint is lost. Here the current update is
finished and ``checkpoint_last.pt`` written; then the process ends with the exit code that a shell
reports for the signal, or the handler that the signal had before is called (submitit's requeues the
job). Nothing is validated for that checkpoint, so that a training resumed from it is the one that
was never interrupted.

Ranks have to stop at the same update: each adds its request to the statistics that they exchange in
every step anyway.
"""

import logging
import math
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils
from fairseq.trainer import Trainer

from emo_fairseq.checkpoint_files import LAST
from emo_fairseq.compat.patching import wrap, wrap_in_training

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # by default each ends the process
_SHELL = 128  # plus the number of the signal: the exit code that a shell reports


def apply() -> None:
    """Replace the functions of fairseq that this module is about."""
    wrap(Trainer, "_aggregate_logging_outputs", _with_requests)
    wrap(checkpoint_utils, "save_checkpoint", _note_save)
    wrap_in_training("train", _while_noting)
    wrap_in_training("validate_and_save", _then_stop)


class _Request:
    """The signals that this process gets during a training.

    Attributes:
        number: the last one received; None if there was none.
        of_any_rank: whether some rank had received one when statistics were last exchanged.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.of_any_rank = False
        self._handlers: dict[int, Any] = {}

    def begin(self) -> None:
        """Note the signals instead of ending by them; what ignores them continues to."""
        if self._handlers or threading.current_thread() is not threading.main_thread():
            return  # Python lets no other thread handle signals
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                self._handlers[number] = handler
                signal.signal(number, self._note)

    def end(self) -> None:
        """Let the signals act as before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number

    def is_made(self, trainer: Any) -> bool:
        """Return whether the training is to stop, which all ranks answer alike."""
        return self.of_any_rank if trainer.data_parallel_world_size > 1 else self.number is not None

    def take(self) -> int:
        """Return the signal, SIGTERM if it was another rank's, and reset it."""
        number = signal.SIGTERM if self.number is None else self.number
        self.number, self.of_any_rank = None, False
        return number

    def act(self, number: int) -> None:
        """Do what the signal would have done before a training noted it."""
        handler = self._handlers.get(number)
        if not callable(handler):
            raise SystemExit(_SHELL + number)
        handler(number, None)


_SAVED = "_update_of_last_checkpoint"  # an attribute of fairseq's trainer
_request = _Request()  # handlers of signals are of the whole process, too


def _while_noting(train_epoch: Callable[..., Any]) -> Callable[..., Any]:
    """Note the signals from the first epoch to the end of the last, between epochs, too."""

    def train(cfg: Any, trainer: Any, task: Any, epoch_itr: Any) -> Any:
        _request.begin()
        try:
            losses, is_over = train_epoch(cfg, trainer, task, epoch_itr)
        except BaseException:
            _request.end()
            raise
        if is_over or epoch_itr.next_epoch_idx > (cfg.optimization.max_epoch or math.inf):
            _request.end()
        return losses, is_over

    return train


def _with_requests(aggregate: Callable[..., Any]) -> Callable[..., Any]:
    """Add up the requests of all ranks with their other statistics."""

    def aggregate_with_requests(
        self: Any, logging_outputs: Any, *sums: Any, ignore: bool = False
    ) -> Any:
        requested = float(_request.number is not None)
        outputs, (*totals, requests) = aggregate(
            self, logging_outputs, *sums, requested, ignore=ignore
        )
        _request.of_any_rank = float(requests) > 0
        return outputs, totals

    return aggregate_with_requests


def _then_stop(validate_and_save: Callable[..., Any]) -> Callable[..., Any]:
    """After an update, save and end the training if a signal requests it."""

    def validate_save_and_stop(
        cfg: Any, trainer: Any, task: Any, epoch_itr: Any, *args: Any, **kwargs: Any
    ) -> Any:
        outcome = validate_and_save(cfg, trainer, task, epoch_itr, *args, **kwargs)
        _, is_over = outcome
        if not is_over and _request.is_made(trainer):
            number = _request.take()
            _save(cfg, trainer, epoch_itr, signal.Signals(number).name)
            _request.act(number)
        return outcome

    return validate_save_and_stop


def _note_save(save: Callable[..., Any]) -> Callable[..., Any]:
    def save_checkpoint(cfg: Any, trainer: Any, *args: Any, **kwargs: Any) -> Any:
        saved = save(cfg, trainer, *args, **kwargs)
        setattr(trainer, _SAVED, trainer.get_num_updates())
        return saved

    return save_checkpoint


def _save(cfg: Any, trainer: Any, epoch_itr: Any, name: str) -> None:
    """Write ``checkpoint_last.pt`` without a validation, and log what can be resumed."""
    updates = trainer.get_num_updates()
    if getattr(trainer, _SAVED, None) != updates:
        checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
    if torch.distributed.is_initialized():  # or torchrun kills the rank that still writes
        torch.distributed.barrier(group=distributed_utils.get_global_group())
    if not trainer.is_data_parallel_master:
        return
    options = cfg.checkpoint
    if options.no_save or options.no_last_checkpoints:
        kept = "its checkpoint is not saved, with --no-save or --no-last-checkpoints"
    else:
        kept = f"{options.save_dir}/{LAST} is saved, and the same command resumes it"
    logger.warning("%s: training stopped after update %d; %s", name, updates, kept)
