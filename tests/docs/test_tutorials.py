"""The commands of the tutorials on small toy corpora."""

import re
import shutil
from pathlib import Path

import pytest
from code_blocks import REPOSITORY, blocks

from data_prep import toy
from data_prep.commands.table import main as prepare
from data_prep.schema import SPLITS, read_manifest
from emo_fairseq.cli.__main__ import main as emotion_recognize

PAGE = REPOSITORY / "docs" / "tutorials" / "first_result.md"
OWN_TABLE = PAGE.with_name("own_table.md")
LESS = "--n-train 48 --n-valid 16 --n-test 24 --speakers 4 2 3"


def marked_commands() -> list[list[str]]:
    """The words of the command lines in the blocks that are marked by ``<!-- run -->``."""
    return [words for block in blocks(PAGE) if block.mark == "run" for words in block.commands]


@pytest.mark.usefixtures("few_resamples")
def test_first_result(
    started: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process; that of the notebook starts the commands in processes of their own."""
    monkeypatch.chdir(tmp_path)
    prepare_toy, train = marked_commands()
    assert prepare_toy[:3] == ["python", "-m", "data_prep.toy"]
    assert toy.main([*prepare_toy[3:], *LESS.split()]) == 0
    assert train[0] == "emotion-recognize"
    assert emotion_recognize(train[1:]) == 0
    printed = capsys.readouterr().out
    assert "UAR" in printed
    (report,) = tmp_path.rglob("report.html")
    assert report.name in printed
    following = printed.partition("next:")[2]
    assert "emotion-recognize predict" in following
    assert "  emotion-recognize train data/toy\n" in following, "without --quick"
    assert sum("--probe: solved" in log for log in started) == 1


def test_the_columns_of_the_table_are_recognized(
    toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The header of the tutorial's example over the recordings of the toy corpus."""
    page = OWN_TABLE.read_text(encoding="utf-8")
    texts = [block.text for block in blocks(OWN_TABLE) if block.language == "text"]
    example, printed = texts[:2]
    (tmp_path / "recordings").mkdir()
    lines = [example.splitlines()[0]]
    for row in (row for split in SPLITS for row in read_manifest(toy_corpus / f"{split}.tsv")):
        assert row.audio is not None
        name = Path(row.audio).name
        shutil.copy(toy_corpus / row.audio, tmp_path / "recordings" / name)
        valence = f"{1 + 4 * (row.valence or 0):.2f}".replace(".", ",")
        lines.append(f"{name};{row.speaker};{row.emotion};{row.text};{valence}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(lines), encoding="utf-8-sig")
    assert prepare([str(table), str(tmp_path / "data")]) == 0
    output = capsys.readouterr()
    known = output.out + output.err
    mapped = re.findall(r"^  (\w+) += (\w+)  \(", printed, re.MULTILINE)
    assert len(mapped) == 4
    for field, column in mapped:
        assert re.search(rf"^  {field} += {column}  \(", known, re.MULTILINE), known
    assert "delimiter semicolon" in known
    assert "decimal comma" in known
    assert "--vad-scale 1 5" in page
