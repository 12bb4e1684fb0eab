"""``--precision auto``: bfloat16 where the hardware computes in it and enough is computed."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

FP32, BF16, FP16 = "fp32", "bf16", "fp16"
_OPTIONS = {
    FP32: [],
    BF16: ["--bf16", "--fp16-no-flatten-grads"],
    FP16: ["--fp16", "--fp16-no-flatten-grads"],
}
_OWN = ("--bf16", "--fp16", "--memory-efficient-bf16", "--memory-efficient-fp16")
_AMPERE = (8, 0)  # compute capability of the first GPUs with bfloat16
_CPU_UNITS = ("amx_bf16", "avx512_bf16")  # as /proc/cpuinfo calls them


class Precision(NamedTuple):
    """A precision, and why it was chosen.

    Attributes:
        name: fp32, bf16 or fp16.
        reason: for the user; empty where it was given.
    """

    name: str
    reason: str = ""

    @property
    def options(self) -> list[str]:
        """Words for fairseq-train."""
        return list(_OPTIONS[self.name])


def choose_precision(
    requested: str, tunes_pretrained: bool, on_cpu: bool, further: Sequence[str]
) -> Precision:
    """Choose the precision of a training.

    Args:
        requested: of ``--precision``.
        tunes_pretrained: whether a pretrained encoder is tuned, in full or by LoRA. Small models
            gain nothing: their time goes into reading and into starting kernels.
        on_cpu: whether the training runs on the CPU although there may be a GPU.
        further: the user's own words for fairseq-train, which win.
    """
    if {*_OWN} & {*further}:
        return Precision(FP32)
    if requested != "auto":
        return Precision(requested)
    if not tunes_pretrained:
        return Precision(FP32, "no pretrained encoder is tuned, so little is computed")
    if not on_cpu and torch.cuda.is_available():
        name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        if capability >= _AMPERE:
            return Precision(BF16, f"{name} computes in it")
        return Precision(FP32, f"{name} does not compute in bfloat16; --precision fp16 is faster")
    if units := cpu_units():
        return Precision(BF16, f"this CPU computes in it ({', '.join(units)})")
    return Precision(FP32, "this CPU does not compute in bfloat16")


def cpu_units() -> list[str]:
    """Return the units of this CPU that compute in bfloat16, such as ``amx_bf16``."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - of Linux alone
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return []
    return [unit for unit in _CPU_UNITS if unit in flags]
