"""Options of ``serve``, each a flag and an environment variable."""

import argparse
import difflib
import ipaddress
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.number_types import positive_int
from emo_fairseq.cli.models import FACE_DETECTOR
from emo_fairseq.cli.transcription import DEVICES
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import GRAPH_FILES
from emo_fairseq.inference.providers import PROVIDERS
from emo_fairseq.serving.limits import Limits, limit_options

logger = logging.getLogger(__name__)

PREFIX = "EMO_FAIRSEQ_SERVE_"
TOKENS = PREFIX + "TOKENS"  # no flag: other users see the arguments of a process


@dataclass(frozen=True)
class ServeOption:
    """One option.

    Attributes:
        flag: such as ``--port``.
        about: the help, without the default.
        default: of the value.
        parse: reads the value of the flag.
        metavar: of the value.
        repeats: whether there may be several; those of the variable have commas between them.
    """

    flag: str
    about: str
    default: Any
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    repeats: bool = False

    @property
    def variable(self) -> str:
        """The name of the environment variable."""
        return PREFIX + self.flag.removeprefix("--").upper().replace("-", "_")


def network(text: str) -> str:
    """Read an address or a network such as 10.0.0.0/8. Raises what argparse reports of another."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; give an address or a network") from None


def whisper_device(text: str) -> str:
    """Read a device of Whisper. Raises what argparse reports of another."""
    if text not in DEVICES:
        raise argparse.ArgumentTypeError(f"give one of {', '.join(DEVICES)}")
    return text


OPTIONS = {
    "host": ServeOption("--host", "address to listen on", "127.0.0.1"),
    "port": ServeOption("--port", "port to listen on", 8000, int),
    "workers": ServeOption(
        "--workers",
        "processes that share the port, each with the model, the threads and the limits of one",
        1,
        positive_int,
        "N",
    ),
    "device": ServeOption("--device", "cpu, cuda, cuda:1", "cpu"),
    "precision": ServeOption(
        "--precision", f"run the ONNX graph of this precision: {', '.join(GRAPH_FILES)}", None
    ),
    "provider": ServeOption("--provider", f"run the ONNX graph on {', '.join(PROVIDERS)}", None),
    "face_detector": ServeOption("--face-detector", FACE_DETECTOR, None, str, "DETECTOR"),
    "allow_host": ServeOption(
        "--allow-host", "name of this server in the network or at a proxy", [], str, "NAME", True
    ),
    "trusted_proxy": ServeOption(
        "--trusted-proxy",
        "address or network of a proxy whose X-Forwarded-For and -Proto are used; of others the "
        "address of the connection is",
        [],
        network,
        "NETWORK",
        True,
    ),
    "tokens_file": ServeOption(
        "--tokens-file",
        "require one of the bearer tokens of this file, one in a line (or of the variable "
        f"{TOKENS}, with commas)",
        None,
        Path,
        "FILE",
    ),
    "access_log": ServeOption(
        "--access-log",
        "append each request to this file as a line of JSON; - prints them",
        None,
        str,
        "FILE",
    ),
}

# Of `emo_fairseq.cli.transcription`, which adds the flags: they are those of other commands, too.
TRANSCRIPTION = {
    "transcribe": ServeOption("--transcribe", "Whisper that transcribes", None),
    "language": ServeOption("--language", "language of the speech", None),
    "transcribe_device": ServeOption(
        "--transcribe-device", "that Whisper runs on", None, whisper_device
    ),
}


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the server, and one for each limit."""
    for name, option in OPTIONS.items():
        default = "" if option.default in (None, []) else f" (default: {option.default})"
        again = "; may be repeated" if option.repeats else ""
        parser.add_argument(
            option.flag,
            dest=name,
            action="append" if option.repeats else "store",
            type=option.parse,
            metavar=option.metavar,
            help=f"{option.about}{again}{default}",
        )
    about = (
        "each limit, and each option of the server above, is also an environment variable, such as "
        f"{PREFIX}BURST; a flag comes before it. Limits are those of one process."
    )
    add = parser.add_argument_group("limits", about).add_argument
    for name, option in limits().items():
        about = f"{option.about} (default: {option.default:g})"
        add(option.flag, dest=name, type=option.parse, metavar="N", help=about)


def limits() -> dict[str, ServeOption]:
    """Return the options of all limits, with their defaults in the units of the flags."""
    return {
        name: ServeOption(limit.flag, limit.about, getattr(Limits, name) / limit.unit, limit.parse)
        for name, limit in limit_options().items()
    }


def values_of(options: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the value of each option: of its flag, its variable, or its default.

    That of a limit without a flag and a variable is None.

    Raises:
        UsageError: a variable has a value that its option refuses.
    """
    values: dict[str, Any] = {}
    limit_names = limits()
    for name, option in {**OPTIONS, **TRANSCRIPTION, **limit_names}.items():
        value = getattr(options, name)
        if value is None and (text := environment.get(option.variable, "").strip()):
            value = _parse(option, text)
        if value is None and name not in limit_names:
            value = option.default
        values[name] = value
    _warn_of_unknown(environment)
    return values


def _parse(option: ServeOption, text: str) -> Any:
    try:
        if not option.repeats:
            return option.parse(text)
        return [option.parse(part.strip()) for part in text.split(",") if part.strip()]
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UsageError(
            f"{option.variable} {text}: {error}; give what {option.flag} takes", "variable-invalid"
        ) from None


def _warn_of_unknown(environment: Mapping[str, str]) -> None:
    options = {**OPTIONS, **TRANSCRIPTION, **limits()}.values()
    known = [TOKENS] + [option.variable for option in options]
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, 1)
            remedy = f"; is it {close[0]}?" if close else ""
            logger.warning("%s is no variable of serve, and has no effect%s", name, remedy)
