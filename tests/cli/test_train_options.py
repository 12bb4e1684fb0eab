"""What ``train --help`` lists, and options that are not its own."""

import re

import pytest

from emo_fairseq.cli.__main__ import main


def printed(capsys, *words: str) -> str:
    """The output of a command line that ends at once."""
    with pytest.raises(SystemExit):
        main(["train", *words])
    output = capsys.readouterr()
    return str(output.out + output.err)


def listed(text: str) -> set[str]:
    return set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE))


def test_help_lists_what_matters_and_help_all_the_rest(capsys):
    short, everything = listed(printed(capsys, "--help")), listed(printed(capsys, "--help-all"))
    assert 10 <= len(short) <= 18
    assert {"--modality", "--target", "--quick", "--fold", "--help-all"} <= short
    assert short < everything
    assert {"--patience", "--precision", "--find-batch-size", "--split-by"} <= everything - short
    assert not {"--modal", "--label-type"} & everything, "older spellings"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("x.csv --max-update 5", ": emotion-recognize train x.csv -- --max-update 5\n"),
        ("x.csv --cpu --dropout=0.3", ": emotion-recognize train x.csv --cpu -- --dropout=0.3\n"),
        ("--max-update 5 x.csv", "options of fairseq follow --, at the end after --\n"),
        ("x.csv y.csv", "unrecognized arguments: y.csv\n"),
    ],
)
def test_options_of_fairseq_follow_the_dashes(words, wanted, capsys):
    assert printed(capsys, *words.split()).endswith(wanted)
