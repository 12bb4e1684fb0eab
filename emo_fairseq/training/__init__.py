"""Optimizer, learning rates, freezing and activation checkpointing.

Importing this package registers the optimizers with fairseq.

| module | in a training |
|---|---|
| :mod:`.adamw` | ``--optimizer emotion_adamw``: learning rate and weight decay per parameter |
| :mod:`.learning_rates` | rates of encoders, with layer-wise decay, and of heads |
| :mod:`.freezing` | frozen modules, gradual unfreezing |
| :mod:`.activation_checkpointing` | less memory, one more forward pass |
| :mod:`.final_dropout` | another dropout rate from an epoch on |
| :mod:`.linear_probe` | regularized linear models in place of updates |
| :mod:`.progress_bar`, :mod:`.run_progress` | one line of progress |
"""

from emo_fairseq.training import adamw

__all__ = ["adamw"]
