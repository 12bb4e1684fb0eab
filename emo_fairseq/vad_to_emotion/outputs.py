"""Checks before the work: an output can be written, and is no input."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.folds.file import FOLDS_FOLDER
from data_prep.schema import CORPUS_FILE, read_corpus
from emo_fairseq.errors import UsageError, check_writable

_FACTS = ".json"


def check_predictions(output: Path, inputs: Sequence[Path | None]) -> None:
    """Check a predictions file, beside which its facts are written.

    Raises:
        UsageError: either cannot be written or is an input, or both have one name.
    """
    check_writable(output, "--output")
    facts = output.with_suffix(_FACTS)
    if facts == output:
        raise UsageError(
            f"--output {output}: the facts about the predictions are written under this name; "
            "name it .tsv",
            "output-is-facts",
        )
    check_outputs({"--output": output, "--output, with its facts in": facts}, inputs)


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path | None]) -> None:
    """Check files that are to be written.

    Raises:
        UsageError: one cannot be written, is an input, or is named twice.
    """
    read = set()
    for path in (path for path in inputs if path is not None):
        files = path.iterdir() if path.is_dir() else (path,)
        read |= {file.resolve() for file in files}
    named: dict[Path, str] = {}
    for option, file in outputs.items():
        if file is None:
            continue
        check_writable(file, option)
        if (path := file.resolve()) in read:
            raise UsageError(
                f"{option} {file}: is read, and would be overwritten; name another",
                "output-is-input",
            )
        if path in named:
            raise UsageError(
                f"{option} {file}: {named[path]} names it, too; name another", "output-twice"
            )
        named[path] = option


def of_data(data: Path) -> list[Path]:
    """Return the files of a data dir that the commands read."""
    splits = [data / f"{split}.tsv" for split in read_corpus(data).splits]
    return [data / CORPUS_FILE, *splits, data / FOLDS_FOLDER]


def with_facts(*files: Path | None) -> list[Path]:
    """Return predictions files, and the facts beside them."""
    given = [file for file in files if file is not None]
    return list(given) + [file.with_suffix(_FACTS) for file in given if file.name]
