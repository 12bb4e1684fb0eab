"""What stands beside a predictions file, and in the folder of a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from document_mutations import mutations

from data_prep.errors import ManifestError
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import attention
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.experiments.runs import (
    TRAINED,
    RunFolder,
)

FACTS = {
    "set": {"split": "test", "data": None, "labels": {"joy": "happy", "calm": None}},
    "corpus": "toy",
    "trained_on": "toy",
    "checkpoint": "checkpoint_best.pt",
    "updates": 7,
    "chosen_by": "valid (largest uar)",
    "left_out": {"calm": 3},
    "options": {"common.seed": 1},
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "predictions.json").write_text(json.dumps(FACTS))
    assert read_facts(tmp_path / "predictions.tsv") == FACTS
    assert read_facts(tmp_path / "others.tsv") == {}


CASES = list(mutations(FACTS, free=("options",)))


@pytest.mark.parametrize(("what", "changed", "fragment"), CASES, ids=[case[0] for case in CASES])
def test_facts_of_another_form_are_refused(
    tmp_path: Path, what: str, changed: Any, fragment: str
) -> None:
    (tmp_path / "predictions.json").write_text(json.dumps(changed))
    with pytest.raises(UsageError) as error:
        read_facts(tmp_path / "predictions.tsv")
    assert str(error.value).startswith(f"{tmp_path / 'predictions.json'}: ")
    assert fragment in str(error.value)


def test_the_folder_of_a_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.state() is run.hydra_config() is None
    run.set_state(TRAINED)
    assert run.state() == TRAINED
    for text, what in {
        '{"state": "done"}': "state is 'done' where 'training' or 'trained' is expected",
        "[]": "where a mapping is expected",
        "{": "is not JSON",
    }.items():
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ManifestError, match=rf"run\.json: .*{what}"):
            run.state()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "is not YAML"),
        ("[1]", "where a mapping is expected"),
        ("a: &x 1\nb: *x", "anchor or alias"),
    ],
)
def test_the_configuration_of_a_run_that_is_broken(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(text)
    with pytest.raises(ManifestError, match=rf"config\.yaml: .*{what}"):
        RunFolder(tmp_path).hydra_config()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("- 3")
    with pytest.raises(ManifestError, match=r"overrides\.yaml: .*\[0\] is 3"):
        RunFolder(tmp_path).hydra_overrides()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" * 100_000, "nested deeper"),
        ('[{"id": 3, "split": "a", "words": null, "seconds": null}]', r"\[0\].id is 3 where text"),
        ('[{"id": "a", "split": "a", "words": null, "seconds": NaN}]', r"\[0\].seconds is nan"),
        ('[{"id": "a", "split": "a", "words": "ab", "seconds": 1}]', r"\[0\].words is 'ab' where"),
        ('[{"id": "a"}]', r"\[0\].split is missing"),
        ('{"a": 1}', "where a list is expected"),
    ],
)
def test_attention_of_another_form_is_refused(tmp_path: Path, text: str, what: str) -> None:
    np.savez(tmp_path / "a.npz", utterances=np.array(text))
    with pytest.raises(UsageError, match=rf"a\.npz: utterances: .*{what}"):
        attention.read(tmp_path / "a.npz")
