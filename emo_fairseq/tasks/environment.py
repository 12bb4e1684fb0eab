"""The versions of libraries and the machine of a training, as a file beside its configuration."""

import argparse
import functools
import logging
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fairseq
import torch

import emo_fairseq
from data_prep.errors import CodedError
from data_prep.files.documents import ForeignDocument, load_json
from data_prep.files.replacing import write_atomically
from emo_fairseq.tasks.config_file import CONFIG_FILE

logger = logging.getLogger(__name__)

ENVIRONMENT_FILE = "environment.json"
_REMEDY = "remove the file; nothing is trained by it"
_SECONDS = 10  # of git, in a checkout on a slow disk
_OTHER_CHECKOUT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # set where git runs a hook


class Environment(ForeignDocument):
    """Schema of ``environment.json``: what the figures of a training depend on beside its options.

    Attributes:
        emo_fairseq: version; likewise the next fields.
        commit: of git, if the package is imported from a checkout, with ``-dirty`` if its files
            have been changed since; else empty. None: not recorded, by an older version.
        python: the interpreter.
        torch: with the suffix of its build, such as ``+cpu``.
        fairseq: of the package that is imported.
        transformers: empty where it is not installed.
        numpy: of the package that is installed.
        system: operating system and instruction set.
        processor: its model.
        gpus: the models of those that are visible; none with ``--cpu``.
        threads: of torch's operators.
    """

    emo_fairseq: str
    commit: str | None = None
    python: str
    torch: str
    fairseq: str
    transformers: str
    numpy: str
    system: str
    processor: str
    gpus: list[str]
    threads: int


def current_environment(on_cpu: bool) -> Environment:
    """Return the environment of this process."""
    n_gpus = 0 if on_cpu else torch.cuda.device_count()
    return Environment(
        emo_fairseq=emo_fairseq.__version__,
        commit=_own_commit(),
        python=platform.python_version(),
        torch=str(torch.__version__),
        fairseq=str(fairseq.__version__),
        transformers=_version("transformers"),
        numpy=_version("numpy"),
        system=f"{platform.system()} {platform.machine()}",
        processor=processor_name(),
        gpus=[torch.cuda.get_device_name(number) for number in range(n_gpus)],
        threads=torch.get_num_threads(),
    )


@functools.cache
def _own_commit() -> str:
    # Once a process: the code that is loaded stays what it was, whatever becomes of the checkout.
    return checkout_commit(Path(emo_fairseq.__file__).resolve().parent.parent)


def checkout_commit(folder: Path) -> str:
    """Return the commit of a checkout, as :class:`Environment` has it; empty for another folder."""
    if not (folder / ".git").exists():  # or git would find the repository around it
        return ""
    words = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    environment = {k: value for k, value in os.environ.items() if k not in _OTHER_CHECKOUT}
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": _SECONDS}
    try:
        return str(
            subprocess.run(words, cwd=folder, env=environment, check=True, **options).stdout
        ).strip()
    except (OSError, subprocess.SubprocessError):  # without git, or of another user
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def processor_name() -> str:
    """Return the model of the processor, or its instruction set where Linux does not name it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def record_environment(folder: Path, on_cpu: bool, is_resumed: bool) -> None:
    """Write ``environment.json``, and warn where an original training had another environment.

    The original is that of a training that is resumed, whose file stays as it is, or the one whose
    ``training.yaml`` is trained by again.

    Args:
        folder: ``--save-dir``.
        on_cpu: ``--cpu``.
        is_resumed: whether the training of the folder is resumed.
    """
    now = current_environment(on_cpu)
    own = folder / ENVIRONMENT_FILE
    keeps_own = is_resumed and own.is_file()
    original = own if keeps_own else repeated_environment(sys.argv[1:])
    if original is not None and original.is_file():
        _warn_of_changes(original, now)
    if not keeps_own:
        write_atomically(own, now.model_dump_json(indent=2) + "\n")


def repeated_environment(words: list[str]) -> Path | None:
    """Return the file of the training that a command of fairseq-hydra-train repeats, or None.

    >>> repeated_environment(["--config-dir", "run", "--config-name=training", "common.seed=1"])
    PosixPath('run/environment.json')
    >>> repeated_environment(["--config-dir", "examples", "--config-name", "fusion"])
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    parser.add_argument("--config-name", "-cn", default="")
    given, _ = parser.parse_known_args(words)
    if given.config_dir is None or Path(given.config_name).stem != Path(CONFIG_FILE).stem:
        return None
    return Path(given.config_dir) / ENVIRONMENT_FILE


def _warn_of_changes(original: Path, now: Environment) -> None:
    try:
        before = load_json(original, Environment, remedy=_REMEDY).model_dump()
    except CodedError as error:
        logger.warning("environments are not compared: %s", error)
        return
    changed = [
        f"{name} {_text(before[name])} -> {_text(value)}"
        for name, value in now.model_dump().items()
        if before[name] not in (value, None)
    ]
    if changed:
        logger.warning(
            "%s: the original training had another environment (%s), so that metrics may differ",
            original,
            ", ".join(changed),
        )


def _text(value: object) -> str:
    words = value if isinstance(value, list) else [value]
    return " + ".join(map(str, words)) or "none"
