"""Execution providers of onnxruntime: what a graph is run on."""

from collections.abc import Mapping
from typing import Any

from emo_fairseq.errors import UsageError

#: By the value of ``--provider`` the provider, and those that run what it cannot.
PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
    "coreml": ("CoreMLExecutionProvider", "CPUExecutionProvider"),
}
CPU = "cpu"


def choose_providers(name: str, runtime: Any) -> list[str]:
    """Return the providers of a session.

    Raises:
        UsageError: it is no key, or this onnxruntime was built without it.
    """
    if name not in PROVIDERS:
        raise UsageError(
            f"provider {name}: is unknown; give one of {', '.join(PROVIDERS)}", "provider-unknown"
        )
    built_in = runtime.get_available_providers()
    if PROVIDERS[name][0] not in built_in:
        available = [key for key, (first, *_) in PROVIDERS.items() if first in built_in]
        raise UsageError(
            f"provider {name}: this onnxruntime {runtime.__version__} has {', '.join(available)}; "
            f"give one of these, or install a build with {PROVIDERS[name][0]}",
            "provider-missing",
        )
    return [provider for provider in PROVIDERS[name] if provider in built_in]


def check_chosen(name: str, providers: list[str]) -> None:
    """Raise a `UsageError` if a session does not run on the provider that was chosen.

    onnxruntime leaves out those that fail to start.
    """
    if PROVIDERS[name][0] not in providers:
        raise UsageError(
            f"provider {name}: {PROVIDERS[name][0]} does not start on this machine; install the "
            "library or driver that onnxruntime names above, or give cpu",
            "provider-missing",
        )
