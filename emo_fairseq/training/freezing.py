"""Freezing of modules, and gradual unfreezing (Howard and Ruder 2018, arXiv:1801.06146)."""

import functools
from collections.abc import Sequence

from torch import nn

from emo_fairseq.errors import UsageError
from emo_fairseq.training.learning_rates import hold


def freeze(module: nn.Module) -> None:
    """Freeze a module: no gradients, and evaluation mode even if its parents are in training mode.

    fairseq calls ``train()`` of the model before every update, which calls that of each child: it
    is replaced by a function that does nothing, for the module may be a container of parts that
    have other parents.
    """
    module.requires_grad_(False)
    module.eval()
    for part in module.modules():
        # On the instance: names in state dicts, and the module's class, are unchanged.
        part.train = functools.partial(_stay_in_eval, part)  # type: ignore[method-assign]


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    return module


# -- Gradual unfreezing ----------------------------------------------------------------------------

# fairseq's own all-reduce skips parameters without a gradient; torch's waits for those that had one
# at the start, unless it looks for unused ones.
_ANY_GRADIENTS = {"legacy_ddp", "no_c10d"}
_TORCH_DDP = {"c10d", "pytorch_ddp"}


class GradualUnfreezing:
    """Train the top 1 + n // every blocks at update n, and hold the others.

    Howard and Ruder 2018, "Universal language model fine-tuning for text classification". Create it
    before the optimizer, and call :meth:`set_num_updates` right before each training step, not
    earlier: fairseq's optimizer only contains parameters that require a gradient when it is built,
    and on a resume it is built after the number of updates is restored. A held parameter has no
    gradient: it is skipped by clipping and by
    :class:`~emo_fairseq.training.adamw.EmotionAdamW`.

    There is no state to save: n determines which parameters are held.

    Args:
        blocks: from input to output, as returned by ``blocks()`` of an encoder. Parameters that do
            not require a gradient stay frozen.
        every: number of updates after which the next block is unfrozen.

    Raises:
        UsageError: `every` is not positive.
    """

    def __init__(self, blocks: Sequence[nn.Module], every: int) -> None:
        if every < 1:
            raise UsageError(
                f"gradual unfreezing: a block every {every} updates; give 1 or more",
                "option-out-of-range",
            )
        self._unfrozen_at: dict[nn.Parameter, int] = {}
        for depth, block in enumerate(reversed(blocks)):
            for parameter in block.parameters():
                if parameter.requires_grad:  # if blocks share it, the topmost counts
                    self._unfrozen_at.setdefault(parameter, depth * every)
        for parameter in self._unfrozen_at:
            hold(parameter, held=False)  # the optimizer must contain it

    def set_num_updates(self, num_updates: int) -> None:
        """Hold or release parameters by the number of updates so far."""
        for parameter, unfrozen_at in self._unfrozen_at.items():
            hold(parameter, held=num_updates < unfrozen_at)


def check_ddp_backend(backend: str, world_size: int, find_unused_parameters: bool) -> None:
    """Check that the backend of distributed training supports parameters without a gradient.

    Raises:
        UsageError: it does not; names the options to set.
    """
    is_supported = backend in _ANY_GRADIENTS or (backend in _TORCH_DDP and find_unused_parameters)
    if world_size > 1 and not is_supported:
        raise UsageError(
            f"gradual unfreezing on {world_size} ranks needs --ddp-backend legacy_ddp, or "
            f"pytorch_ddp with --find-unused-parameters, not {backend}",
            "ddp-backend",
        )
