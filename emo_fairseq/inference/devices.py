"""Where a model works."""

import torch

from emo_fairseq.errors import UsageError

_KNOWN = ("cpu", "cuda")


def check_device(device: str | torch.device) -> torch.device:
    """The device, if it is there. Raises a `UsageError` if not."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"device {device}: there is no such thing; give cpu or cuda") from error
    if found.type not in _KNOWN:
        raise UsageError(f"device {device}: models run on {' and '.join(_KNOWN)} here; give one")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= n_gpus:
        raise UsageError(
            f"device {device}: torch sees {n_gpus} GPUs here; give cpu, or install a torch with "
            "CUDA on a machine that has one"
        )
    return found
