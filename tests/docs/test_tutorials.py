"""The commands of the tutorials on small toy corpora."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import REPOSITORY, blocks

from data_prep.commands.table import main as prepare
from data_prep.schema import SPLITS, read_manifest

PAGE = REPOSITORY / "docs" / "tutorials" / "first_result.md"
OWN_TABLE = PAGE.with_name("own_table.md")
# Words that are added to a command, so that it does less.
LESS = {"python -m data_prep.toy": "--n-train 48 --n-valid 16 --n-test 24 --speakers 4 2 3"}
SECONDS = 240


def marked_commands() -> list[str]:
    """The command lines of the blocks that are marked by ``<!-- run -->``."""
    return [
        shlex.join(words)
        for block in blocks(PAGE)
        if block.mark == "run"
        for words in block.commands
    ]


@pytest.fixture
def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}


@pytest.mark.timeout(2 * SECONDS)
def test_first_result(tmp_path: Path, environment: dict[str, str]) -> None:
    commands = marked_commands()
    assert len(commands) == 2
    printed = ""
    for command in commands:
        less = next((words for start, words in LESS.items() if command.startswith(start)), "")
        done = subprocess.run(
            f"{command} {less}",
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed += done.stdout
    assert "UAR" in printed
    (report,) = tmp_path.rglob("report.html")
    assert report.name in printed
    assert "emotion-recognize predict" in printed.partition("next:")[2]


def test_the_columns_of_the_table_are_recognized(
    toy_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The header of the tutorial's example over the recordings of the toy corpus."""
    page = OWN_TABLE.read_text(encoding="utf-8")
    example, printed = (block.text for block in blocks(OWN_TABLE) if block.language == "text")
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
