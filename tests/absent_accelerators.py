"""Seeds are not kept for accelerators that are not there."""

import torch
import torch.mtia
import torch.xpu


def seed_none_that_is_absent() -> None:
    """Let ``torch.manual_seed`` seed what there is.

    For each kind of accelerator it formats the whole stack, for an error when that is used first: 3
    ms in all, in each test and in each update of a training.
    """
    for kind in (torch.cuda, torch.xpu, torch.mtia):
        if not kind.is_available():
            kind.manual_seed_all = lambda seed: None
