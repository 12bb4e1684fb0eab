"""What is refused because it has seen held-out rows: every way in, as the table in docs/."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from token_folders import tokens_of

from data_prep.commands.fit_prototypes import main as fit_prototypes
from data_prep.folds.file import folds_path
from data_prep.manifest.provenance import (
    SELECTED,
    Provenance,
    provenance_path,
    read_beside,
    seen_rows,
    write_beside,
)
from data_prep.schema import AXES, read_corpus, read_manifest, write_corpus
from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq import pretrained
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.export.as_checkpoint import write_checkpoint
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.tasks.run_config import RunConfig
from emo_fairseq.vad_to_emotion.apply import apply
from emo_fairseq.vad_to_emotion.design import Design
from emo_fairseq.vad_to_emotion.fit import fit_gold
from emo_fairseq.vad_to_emotion.forest import RECORD, Forest

DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "data_integrity.md"
FOLD = "k_fold/1"
TRAIN, VALID, TEST = slice(0, 20), slice(20, 26), slice(26, 32)
SETS = {"train": TRAIN, "valid": VALID, "test": TEST}
Way = Callable[..., Any]
Recorded = Callable[[Provenance | None], Path]

REFUSED, ALLOWED, WARNED = "refused", "allowed", "warned"


@pytest.fixture(scope="module")
def folded(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with a fold of its train split, and a tokenizer that has seen nothing of it."""
    data = tmp_path_factory.mktemp("leaks") / "data"
    shutil.copytree(toy_corpus, data)
    card = yaml.safe_load((tokens_of(data) / TOKENIZER_FILE).read_text())
    del card["settings"]["fitted_on"]
    (tokens_of(data) / TOKENIZER_FILE).write_text(yaml.safe_dump(card))
    ids = [row.id for row in read_manifest(data / "train.tsv")]
    sets = {name: ids[part] for name, part in SETS.items()}
    file = folds_path(data, "k_fold")
    file.parent.mkdir()
    content = {
        "protocol": "k_fold",
        "unit": "row",
        "seed": 1,
        "base": "train",
        "folds": {"1": sets},
    }
    file.write_text(json.dumps(content))
    return data


@pytest.fixture(scope="module")
def records(folded: Path) -> dict[str, Provenance | None]:
    """By column what a thing records."""
    rows, name = read_manifest(folded / "train.tsv"), read_corpus(folded).name
    one = [*rows[TRAIN], rows[TEST][0]]
    return {
        "trained on test rows": seen_rows(one, name, "train", "k_fold/2"),
        "trained on valid rows": seen_rows(rows[VALID][:2], name, "train", "k_fold/2"),
        "selected on test rows": seen_rows(rows[TEST][:1], name, "valid", "k_fold/2", SELECTED),
        "selected on valid rows": seen_rows(rows[VALID], name, "valid", FOLD, SELECTED),
        "other rows": seen_rows(rows[TRAIN], name, "train", FOLD),
        "no record": None,
    }


@pytest.fixture(scope="module")
def trained(folded: Path, trained_models: Any) -> Path:
    return trained_models.checkpoint("--modality text", folded)


@pytest.fixture
def recorded(trained: Path, tmp_path: Path) -> Recorded:
    """A checkpoint that records other rows than those that it was trained on."""

    def write(provenance: Provenance | None) -> Path:
        state = torch.load(trained)
        del state["task_state"]["provenance"]
        if provenance is not None:
            state["task_state"]["provenance"] = provenance.to_state()
        torch.save(state, tmp_path / "recorded.pt")
        return tmp_path / "recorded.pt"

    return write


SIZES = {
    "text_embed_dim": 16,
    "text_ffn_embed_dim": 16,
    "text_attention_heads": 2,
    "text_encoder_layers": 1,
    "embedding_dim": 16,
}


class Ways:
    """The ways in which something enters a run on the fold; each returns the run's task."""

    def __init__(
        self, data: Path, place: Path, recorded: Recorded, make_task: Any, make_model: Any
    ) -> None:
        self.data, self.place, self.recorded = data, place, recorded
        self.make_task, self.make_model = make_task, make_model

    def run(self, **options: Any) -> Any:
        return self.make_task(self.data, modality="text", fold=FOLD, **options)

    def initial(self, option: str, record: Provenance | None, **options: Any) -> Any:
        task = self.run(**{option: str(self.recorded(record))}, **options)
        self.make_model(task, **SIZES)
        return task

    def initial_by_fairseq(self, record: Provenance | None, **options: Any) -> Any:
        given = {"--finetune-from-model": self.recorded(record)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunConfig, "initial_checkpoints", lambda self: given)
            return self.run(**options)

    def teacher(self, record: Provenance | None, **options: Any) -> Any:
        task = self.run(**options)
        task.teacher_from_checkpoint(str(self.recorded(record)), None)
        return task

    def answers(self, record: Provenance | None, **options: Any) -> Any:
        task, file = self.run(**options), self.place / "answers.tsv"
        chances = {f"probability_{label}": 0.25 for label in task.labels}
        rows = read_manifest(self.data / "train.tsv")[TRAIN]
        head = {"split": "train", "truth": task.labels[0], "prediction": task.labels[0]}
        predictions.write(file, [{"id": row.id, **head, **chances} for row in rows])
        self.record_beside(file, record)
        task.teacher_from_predictions(str(file))
        return task

    def prototypes(self, record: Provenance | None, **options: Any) -> Any:
        file = self.place / "prototypes.json"
        assert fit_prototypes([str(self.data), "--fold", FOLD, "--output", str(file)]) == 0
        self.record_beside(file, record)
        task = self.run(prototypes=str(file), **options)
        task.class_prototypes.require("v1")
        return task

    @staticmethod
    def record_beside(file: Path, record: Provenance | None) -> None:
        provenance_path(file).unlink(missing_ok=True)
        if record is not None:
            write_beside(file, record)

    def tokenizer(self, record: Provenance | None, **options: Any) -> Any:
        if record is None:
            return self._with_other_tokenizer(options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("emo_fairseq.data.fit.tokenizer_provenance", lambda *_: record)
            return self.run(**options)

    def _with_other_tokenizer(self, options: dict[str, Any]) -> Any:
        """Fitted on rows that are no longer those of the train split."""
        file = tokens_of(self.data) / TOKENIZER_FILE
        content = file.read_text()
        card = yaml.safe_load(content)
        card["settings"]["fitted_on"] = "0" * 64
        file.write_text(yaml.safe_dump(card))
        try:
            return self.run(**options)
        finally:
            file.write_text(content)

    def scored(self, split: str, record: Provenance | None, **options: Any) -> Any:
        return self._scored(self.recorded(record), split, options)

    def folder(self, record: Provenance | None, **options: Any) -> Any:
        out = write_model_folder(self.recorded(record), self.data, self.place / "folder")
        return self._scored(write_checkpoint(out, self.place / "again.pt"), "test", options)

    def _scored(self, checkpoint: Path, split: str, options: dict[str, Any]) -> Any:
        task = self.run(from_checkpoint=True, **options)
        task.load_state_dict(torch.load(checkpoint)["task_state"])
        task.load_dataset(split)
        return task

    @cached_property
    def fitted(self) -> tuple[Path, Path, Forest]:
        """The fold's sets as splits on disk, VAD predicted of the test rows, and a forest."""
        data, file = self.place / "splits", self.place / "vad.tsv"
        rows = read_manifest(self.data / "train.tsv")
        splits = {name: rows[part] for name, part in SETS.items()}
        write_corpus(data, replace(read_corpus(self.data), splits={}, disjoint=()), splits)
        predicted = []
        for number, row in enumerate(splits["test"]):
            truth = {f"truth_{axis}": getattr(row, axis) for axis in AXES}
            said = {f"prediction_{axis}": number / 10 for axis in AXES}
            predicted.append({"id": row.id, "split": "test", **truth, **said})
        predictions.write(file, predicted)
        forest, _ = fit_gold(data, Design(trees=2))
        return data, file, forest

    def forest(
        self, record: Provenance | None, allow_leak: bool = False, of_vad: Provenance | None = None
    ) -> Any:
        data, file, forest = self.fitted
        write_beside(file, of_vad or Provenance())
        about = {name: x for name, x in forest.about.items() if name != RECORD}
        about |= {} if record is None else {RECORD: record.to_state()}
        output = self.place / "emotions.tsv"
        apply(replace(forest, about=about), file, data, output, "utterance", allow_leak)
        return read_beside(output)

    def predicted_vad(self, record: Provenance | None, allow_leak: bool = False) -> Any:
        if record is not None:
            return self.forest(Provenance(), allow_leak, of_vad=record)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("emo_fairseq.vad_to_emotion.apply.read_beside", lambda file: None)
            return self.forest(Provenance())

    def by_name(self) -> dict[str, Way]:
        return {
            "`--init-from`": partial(self.initial, "init_from"),
            "`--init-text-from`": partial(self.initial, "init_text_from"),
            "`--restore-file`, `--finetune-from-model`": self.initial_by_fairseq,
            "`--teacher-checkpoint`": self.teacher,
            "`--teacher-predictions`": self.answers,
            "`--prototypes`": self.prototypes,
            "a fitted tokenizer, under `--fold`": self.tokenizer,
            "`fairseq-validate --valid-subset test`": partial(self.scored, "test"),
            "`fairseq-validate --valid-subset valid`": partial(self.scored, "valid"),
            "`fairseq-validate --valid-subset train`": partial(self.scored, "train"),
            "`emotion-recognize evaluate MODEL_FOLDER`": self.folder,
            "`vad_to_emotion apply --forest`, of test": self.forest,
            "`vad_to_emotion apply --predictions`, of test": self.predicted_vad,
        }


@pytest.fixture
def ways(
    folded: Path, tmp_path: Path, recorded: Recorded, make_task: Any, make_model: Any
) -> dict[str, Way]:
    return Ways(folded, tmp_path, recorded, make_task, make_model).by_name()


def verdict(give: Way, record: Provenance | None, caplog: pytest.LogCaptureFixture) -> str:
    """What becomes of it, by what the user sees."""
    caplog.clear()
    message = ""
    try:
        give(record)
    except UsageError as error:
        message = str(error)
    if message:
        known = "which are held out here (" in message and "--allow-leak" in message
        assert known or (record is None and "may have seen what is held out" in message), message
        return REFUSED
    return WARNED if "no record of the rows" in caplog.text else ALLOWED


@pytest.mark.usefixtures("few_resamples")
def test_the_table_in_the_documentation_is_what_happens(
    ways: dict[str, Way],
    records: dict[str, Provenance | None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = [f"| given | {' | '.join(records)} |", "| --- |" + " --- |" * len(records)]
    for name, give in ways.items():
        cells = [verdict(give, record, caplog) for record in records.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    assert table in DOCUMENT.read_text(encoding="utf-8"), f"put into {DOCUMENT}:\n{table}"


@pytest.mark.usefixtures("few_resamples")
def test_an_allowed_leak_is_in_the_record_of_what_is_made(
    ways: dict[str, Way], records: dict[str, Provenance | None], folded: Path
) -> None:
    leaky, rows = records["trained on test rows"], read_manifest(folded / "train.tsv")[TEST]
    for name, give in ways.items():
        if name.endswith((" train`", " valid`")):
            continue  # neither scores a test row
        made = give(leaky, allow_leak=True)
        is_record = isinstance(made, Provenance)  # else it is a task
        known = made if is_record else made.scoring_guard.record(made.provenance())
        (said,) = known.allowed
        assert "was trained on 1 of the 6 rows of test" in said, name
        assert rows[0].id in said
        assert str(folded.parent) not in said, "no folder of this machine"
        seen = known.overlap(rows, read_corpus(folded).name)
        assert seen == [rows[0].id], "what is made has seen them in turn"


def test_a_checkpoint_of_this_project_is_no_encoder_that_would_hide_its_rows(trained: Path) -> None:
    for modality in ("text", "speech"):
        with pytest.raises(UsageError, match=r"the model robertaEMO\w* is not supported"):
            pretrained.describe(modality, f"fairseq:{trained}")
