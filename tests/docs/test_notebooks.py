"""The notebooks run from top to bottom, and their pages show what they were saved with."""

import json
import os
from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from code_blocks import REPOSITORY
from extended import all_but
from nbclient import NotebookClient
from reference_pages import notebooks

FILES = sorted(notebooks.FOLDER.glob("*.ipynb"))
# Utterances of the toy corpus that a model is trained on.
FEWER = "n_train=240, n_valid=60, n_test=120", "n_train=48, n_valid=16, n_test=24"


def test_a_notebook_trains_on_as_many_utterances() -> None:
    assert sum(FEWER[0] in file.read_text(encoding="utf-8") for file in FILES) == 1


@pytest.mark.parametrize("file", all_but({"evaluate"}, {file.stem: file for file in FILES}))
def test_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that a cell starts run in the kernel; as processes they do in `test_command`."""
    for beside in file.parent.glob("*.tsv"):
        (tmp_path / beside.name).write_bytes(beside.read_bytes())
    folders = REPOSITORY, REPOSITORY / "tests", Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(*FEWER)
    prelude = "--IPKernelApp.exec_lines=import kernel_commands"
    NotebookClient(
        notebook,
        timeout=None,  # that of the test is enough
        extra_arguments=[prelude] if "emo_fairseq.fit" in str(notebook) else [],
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    saved = json.loads(file.read_text(encoding="utf-8"))
    for cell, before in zip(notebook.cells, saved["cells"], strict=True):
        assert kinds(cell) == kinds(before), cell.source


def kinds(cell: dict) -> list[str]:
    """The kinds of a cell's outputs, without what is logged to standard error.

    Where the machine is busy, the kernel sends what a cell prints in several parts.
    """
    outputs = [output for output in cell.get("outputs", ()) if output.get("name") != "stderr"]
    parts = groupby(outputs, key=lambda output: (output["output_type"], output.get("name")))
    return [kind for (kind, name), run in parts for _ in ([kind] if name else run)]


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_page(file: Path) -> None:
    page = notebooks.page_of(file)
    assert page.startswith("# ")
    assert f"]({file.name})" in page
    assert "```python\n" in page


def test_outputs_on_a_page(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "b"]},
        {
            "cell_type": "code",
            "source": "x",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["\x1b[1mone\x1b[0m\n"]},
                {"output_type": "display_data", "data": {"image/png": "QQ==\n", "text/plain": "-"}},
            ],
        },
    ]
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps({"cells": cells}))
    assert notebooks.page_of(file) == (
        "# A\nb\n\nThis page is a notebook: [a.ipynb](a.ipynb).\n\n```python\nx\n```\n\n"
        "```text\none\n```\n\n![figure](data:image/png;base64,QQ==)\n"
    )
