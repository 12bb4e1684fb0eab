"""The speed benchmarks that ``python -m benchmarks`` runs, one row each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_INPUT = re.compile(r"\{(\w+)\}")

#: What the user gives by ``--input NAME=FOLDER``.
INPUTS: Mapping[str, str] = {
    "minilm": "Hugging Face folder of all-MiniLM-L6-v2",
    "mpnet": "Hugging Face folder of all-mpnet-base-v2",
    "ravdess": "RAVDESS: folder with Actor_01 ... Actor_24",
    "meld": "data dir of MELD, tokenized for both: tokenize --bpe hf:FOLDER --name minilm, mpnet",
    "meld_model": "model folder of MiniLM on MELD, export --onnx --onnx-precision int8",
    "ravdess_data": "data dir of RAVDESS",
    "ravdess_model": "model folder of log-mel frames on RAVDESS, exported likewise",
    "whisper_model": "model folder of features of a Whisper-tiny on RAVDESS, exported likewise",
}


@dataclass(frozen=True)
class Row:
    """A benchmark, run in a process of its own.

    Attributes:
        name: for ``--only``.
        command: module below ``benchmarks`` and its words; ``{meld}`` stands for an input of
            :data:`INPUTS`. It takes ``--json FILE``; see :mod:`benchmarks.results`.
        quick: further words that keep it to a few minutes on two cores.
        full: further words of the figures that are published.
    """

    name: str
    command: Sequence[str]
    quick: Sequence[str] = ()
    full: Sequence[str] = ()

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs that its command needs."""
        return list(dict.fromkeys(_INPUT.findall(" ".join(self.command))))

    def words(self, inputs: Mapping[str, str], full: bool) -> list[str]:
        """Return the words after ``python -m``.

        >>> row = Row("text", ("text_throughput", "{minilm}"), quick=("--rounds", "1"))
        >>> row.words({"minilm": "weights"}, full=False)
        ['benchmarks.text_throughput', 'weights', '--rounds', '1']
        """
        module, *rest = self.command
        given = [_INPUT.sub(lambda match: inputs[match[1]], word) for word in rest]
        return [f"benchmarks.{module}", *given, *(self.full if full else self.quick)]


_WITHOUT_TRAINED = ("--only", "frozen front end", "stored front end")
_QUICK_INFERENCE = ("--items", "64", "--rounds", "1")
_FULL_INFERENCE = ("--items", "200", "--rounds", "7")

ROWS: Sequence[Row] = (
    Row(
        "text",
        ("text_throughput", "{minilm}", "{meld}", "--text-tokens", "minilm", "--name", "MiniLM"),
        quick=("--updates", "40", "--rounds", "2"),
        full=("--updates", "100", "--rounds", "3"),
    ),
    Row(
        "text_mpnet",
        ("text_throughput", "{mpnet}", "{meld}", "--text-tokens", "mpnet", "--name", "MPNet"),
        quick=("--updates", "5", "--rounds", "1"),
        full=("--updates", "30", "--rounds", "2"),
    ),
    Row(
        "speech",
        ("speech_throughput", "--ravdess", "{ravdess}"),
        quick=("--updates", "8", "--rounds", "2", *_WITHOUT_TRAINED),
        full=("--updates", "12", "--rounds", "3", "--bf16"),
    ),
    Row(
        "joint",
        ("joint_throughput",),
        quick=("--updates", "8", "--rounds", "2", "--only", "plugin"),
        full=("--updates", "12", "--rounds", "3", "--bf16"),
    ),
    Row(
        "inference_text",
        ("inference", "{meld_model}", "{meld}", "--name", "MiniLM"),
        quick=_QUICK_INFERENCE,
        full=_FULL_INFERENCE,
    ),
    Row(
        "inference_log_mel",
        ("inference", "{ravdess_model}", "{ravdess_data}", "--name", "log-mel"),
        quick=_QUICK_INFERENCE,
        full=_FULL_INFERENCE,
    ),
    Row(
        "inference_whisper",
        ("inference", "{whisper_model}", "{ravdess_data}", "--name", "Whisper-tiny features"),
        quick=("--items", "16", "--rounds", "1"),
        full=("--items", "64", "--rounds", "5"),
    ),
    Row("manifest", ("large_manifest",), quick=("--rows", "20000"), full=("--rows", "1000000")),
    Row(
        "audio",
        ("audio",),
        quick=("--clips", "500", "--rounds", "1"),
    ),
    Row(
        "ray",
        ("ray_scaling",),
        quick=("--clips", "1000"),
        full=("--clips", "10000", "--rounds", "3"),
    ),
    Row(
        "contrastive",
        ("contrastive",),
        quick=("--rows", "64", "512", "--rounds", "5", "--memory-rows"),
    ),
)


def by_name() -> dict[str, Row]:
    """Return the rows by name."""
    return {row.name: row for row in ROWS}
