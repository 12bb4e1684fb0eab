"""Freezing of modules, and gradual unfreezing (Howard and Ruder 2018, arXiv:1801.06146)."""

import functools
from collections.abc import Sequence

from torch import nn

from emo_fairseq.errors import UsageError
from emo_fairseq.training.learning_rates import hold


def freeze(module: nn.Module) -> None:
    """Keep a module as it is: no gradients, and evaluation mode whatever becomes of its parents.

    ``train()`` of a parent reaches each child through the child's own ``train``, so that is where
    it is stopped. fairseq calls it before every update.
    """
    module.requires_grad_(False)
    module.eval()
    # On the instance: names in state dicts, and the module's class, stay what they are.
    module.train = functools.partial(_stay_in_eval, module)  # type: ignore[method-assign]


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    return module


# -- Gradual unfreezing (Howard and Ruder 2018, arXiv:1801.06146): from the top, block by block

# fairseq's own exchange of gradients skips what has none; torch's was told at the start what to
# wait for.
_ANY_GRADIENTS = {"legacy_ddp", "no_c10d"}
_TORCH_DDP = {"c10d", "pytorch_ddp"}


class GradualUnfreezing:
    """At update n the top 1 + n // every blocks train, the others are held.

    Make it before the optimizer is built, and set the update right before each training step, not
    earlier: fairseq's optimizer takes only what requires a gradient when it is built, and on a
    resume it is built after the model was told its update. A held parameter has no gradient, which
    the optimizer, the clipping and :class:`~emo_fairseq.training.adamw.EmotionAdamW` skip.

    There is no state to save: what is held follows from n.

    Args:
        blocks: from the input to the output, as an encoder's ``blocks()`` gives them. What does not
            require a gradient now never will.
        every: updates after which the next block is unfrozen.

    Raises:
        UsageError: `every` is no positive number.
    """

    def __init__(self, blocks: Sequence[nn.Module], every: int) -> None:
        if every < 1:
            raise UsageError(
                f"gradual unfreezing: a block every {every} updates cannot be",
                "option-out-of-range",
            )
        self._opens_at: dict[nn.Parameter, int] = {}
        for depth, block in enumerate(reversed(blocks)):
            for parameter in block.parameters():
                if parameter.requires_grad:  # if blocks share it, the topmost decides
                    self._opens_at.setdefault(parameter, depth * every)
        for parameter in self._opens_at:
            hold(parameter, held=False)  # the optimizer must take it

    def set_num_updates(self, num_updates: int) -> None:
        """Hold and release parameters as the number of updates made so far says."""
        for parameter, opens_at in self._opens_at.items():
            hold(parameter, held=num_updates < opens_at)


def check_ddp_backend(backend: str, world_size: int, find_unused_parameters: bool) -> None:
    """Refuse a way of exchanging gradients that cannot do with a part of them.

    Args:
        backend: what ``--ddp-backend`` says.
        world_size: number of ranks.
        find_unused_parameters: whether ``--find-unused-parameters`` is given.

    Raises:
        UsageError: says what to add.
    """
    copes = backend in _ANY_GRADIENTS or (backend in _TORCH_DDP and find_unused_parameters)
    if world_size > 1 and not copes:
        raise UsageError(
            f"gradual unfreezing on {world_size} ranks needs --ddp-backend legacy_ddp, or "
            f"pytorch_ddp with --find-unused-parameters, not {backend}",
            "ddp-backend",
        )
