"""``fairseq-train --help``: our options first, in groups, with their ranges and defaults."""

import re
import sys

import pytest
from fairseq import options
from in_process import PLUGIN

from emo_fairseq.options.registered import registered_schemas


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    words = f"fairseq-train --user-dir {PLUGIN} --task emotion_prediction --help"
    monkeypatch.setattr(sys, "argv", [*words.split(), "--criterion", "emotion_supcon"])
    monkeypatch.setenv("COLUMNS", "200")
    parser = options.get_training_parser()
    with pytest.raises(SystemExit) as end:
        options.parse_args_and_arch(parser)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_ours_come_first_in_groups_with_a_sentence_each(shown: str) -> None:
    titles = re.findall(r"^([\w,: ]+):$", shown, re.MULTILINE)
    assert titles[0] == "task: data"
    n_ours = sum(title.startswith(("task: ", "model: ", "criterion: ")) for title in titles)
    assert all(": " in title for title in titles[:n_ours])
    assert {"model: fusion", "criterion: contrastive"} <= {*titles[:n_ours]}
    assert "task: data:\n  Which data are read, and what is predicted.\n" in shown
    assert "criterion: primary loss" not in titles  # that of another criterion
    assert "--save-dir" in shown


def test_ranges_and_defaults_are_shown(shown: str) -> None:
    text = " ".join(shown.split())
    assert "longest audio in seconds; longer is truncated at its end (default: 20.0)" in text
    assert "by which cosine similarities are divided (0.01 or more; default: 0.07)" in text
    assert "joined before each text (0 or more; default: 0)" in text
    assert "what the model predicts (default: emotion)" in text  # said once
    assert "(default: None)" not in text[: text.index("dataset_data_loading")]


def test_every_option_of_ours_is_in_a_group_once(shown: str) -> None:
    names = {field for schema in registered_schemas()["task"].values() for field in fields(schema)}
    for name in names:
        flags = re.findall(rf"^  --{name.replace('_', '-')}(?=[ \n])", shown, re.MULTILINE)
        assert len(flags) == 1, name


def fields(schema: type) -> list[str]:
    return [name for name in schema.__dataclass_fields__ if not name.startswith("_")]


def test_an_error_is_one_line_with_the_option_that_is_close(capsys, monkeypatch) -> None:
    words = f"fairseq-train --user-dir {PLUGIN} --task emotion_prediction --data d --lr 0.1"
    words += " --optimizer adam --text-poling mean"
    monkeypatch.setattr(sys, "argv", words.split())
    with pytest.raises(SystemExit) as end:
        options.parse_args_and_arch(options.get_training_parser())
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "error: unrecognized arguments: --text-poling mean; there is --text-pooling (" in line
