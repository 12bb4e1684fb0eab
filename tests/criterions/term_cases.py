"""Criterions in training: a small model, rows that have what terms ask for, a stub of the task."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from fairseq.logging import metrics as fairseq_metrics
from fairseq.tasks.fairseq_task import StatefulContainer
from torch import Tensor, nn

from data_prep.prototypes import (
    PROTOTYPES_FILE,
    write_prototypes,
)
from data_prep.prototypes.fitting import fit_prototypes
from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.criterions.emotion_criterion import EmotionCriterion
from emo_fairseq.criterions.metric_logging import log_metrics
from emo_fairseq.criterions.registered import (
    EmotionClassificationConfig,
    EmotionClassificationCriterion,
    EmotionRegressionConfig,
    EmotionRegressionCriterion,
    EmotionSupConConfig,
    EmotionSupConCriterion,
)
from emo_fairseq.data.annotations import (
    Classes,
    target_of_classes,
    truth_array,
)
from emo_fairseq.data.manifest import Split
from emo_fairseq.models.roberta_emo import EmotionOutput
from emo_fairseq.targets import TARGETS, LabeledTarget, TargetKind, auxiliary_targets
from emo_fairseq.tasks import teachers
from emo_fairseq.tasks.class_prototypes import ClassPrototypes
from emo_fairseq.tasks.resume import AT_START

LABELS = ("neutral", "happy", "sad", "angry")
SENTIMENTS = ("negative", "positive")
COLUMNS = {"emotion": LABELS, "sentiment": SENTIMENTS}
N_ROWS, INPUT_DIM, EMBEDDING_DIM = 24, 5, 6
CENTRES = {
    "neutral": (0.5, 0.3, 0.5),
    "happy": (0.8, 0.7, 0.6),
    "sad": (0.2, 0.3, 0.3),
    "angry": (0.2, 0.8, 0.7),
}


def make_rows(seed: int = 0) -> list[Utterance]:
    """Rows of four emotions, not equally frequent; some lack their VAD, speaker, corpus, sentiment.

    Row 9 has no emotion, rows 3 and 12 lack VAD, wholly and in part.
    """
    rng = np.random.default_rng(seed)
    emotions = rng.choice(LABELS, N_ROWS, p=(0.4, 0.3, 0.2, 0.1))
    emotions[:8] = LABELS * 2  # each twice at least
    rows = []
    for number, emotion in enumerate(emotions.tolist()):
        valence, arousal, dominance = np.clip(CENTRES[emotion] + rng.normal(0, 0.1, 3), 0, 1)
        rows.append(
            Utterance(
                id=f"utt{number:02d}",
                text="some words",
                speaker=f"speaker{number % 3}",
                corpus="one" if number % 4 else "two",
                emotion=emotion,
                sentiment=SENTIMENTS[int(valence > 0.5)],
                valence=float(valence),
                arousal=float(arousal),
                dominance=float(dominance),
            )
        )
    rows[3] = replace(rows[3], valence=None, arousal=None, dominance=None)
    rows[12] = replace(rows[12], arousal=None)
    rows[5] = replace(rows[5], sentiment=None, speaker=None)
    rows[6] = replace(rows[6], corpus=None)
    rows[9] = replace(rows[9], emotion=None)
    return rows


def write_rows(folder: Path, rows: Sequence[Utterance], prototypes: bool = True) -> Path:
    """A data dir of these rows, with the prototypes of its train split."""
    write_corpus(folder, Corpus("small", labels=COLUMNS), {"train": list(rows)})
    if prototypes:
        write_prototypes(folder / PROTOTYPES_FILE, fit_prototypes([folder]))
    return folder


class Task:
    """An EmotionTask over rows that are at hand; prototypes are the real ones.

    Rows without the truth of the target are not trained on: `rows` are the others.
    """

    is_training = True
    keeps_predictions = keeps_embeddings = False
    target_dictionary = None
    embedding_dim = EMBEDDING_DIM
    fusion = "concat"

    def __init__(
        self,
        folder: Path,
        rows: Sequence[Utterance],
        target: str = "emotion",
        auxiliary: str | None = None,
        max_update: int = 0,
        rows_of_a_step: int | None = None,
        **options: Any,
    ) -> None:
        self.target = TARGETS[target]
        self.labels = self._labels(self.target)
        self.n_outputs = self.target.n_outputs(len(self.labels))
        known = [any(getattr(r, c) is not None for c in self.target.columns) for r in rows]
        self.rows = [row for row, is_known in zip(rows, known, strict=True) if is_known]
        self.split = Split("train", folder / "train.tsv", self.rows)
        self.truth = truth_array(self.split, self.target, self.labels)
        plain = {"prototypes": None, "prototype_scope": "all"}
        self.cfg = SimpleNamespace(**(plain | {"fold": None} | options))
        self.data_folder = folder
        self.max_update, self.rows_of_a_step = max_update, rows_of_a_step
        self.auxiliary = {
            other.name: LabeledTarget(other, self._labels(other))
            for other in auxiliary_targets(auxiliary, self.target)
        }
        self.state = StatefulContainer()
        for name, factory in AT_START.items():
            self.state.add_factory(name, factory)
        self.annotators: dict[str, Callable[[Split], np.ndarray]] = {
            name: functools.partial(truth_array, target=other.target, labels=other.labels)
            for name, other in self.auxiliary.items()
        }

    @staticmethod
    def _labels(target: Any) -> list[str]:
        return list(COLUMNS[target.label_column] if target.has_labels else target.columns)

    @property
    def class_counts(self) -> list[int]:
        if self.target.kind is TargetKind.DISTRIBUTION:
            return np.ceil(self.truth[:, 1:].sum(axis=0)).astype(int).tolist()
        return np.bincount(self.truth, minlength=len(self.labels)).tolist()

    @functools.cached_property
    def class_prototypes(self) -> ClassPrototypes:
        classes = Classes(target_of_classes(self.target), LABELS)
        return ClassPrototypes(self.cfg, self.data_folder, self.state, classes, self.accept)

    def class_difficulties(self) -> Tensor:
        self.class_prototypes.require("--class-weighting difficulty")
        return self.class_prototypes.class_means(self.split)

    @property
    def embedding_queue(self) -> list[Tensor]:
        return self.state.embedding_queue

    def accept(self, *_: object) -> None:
        """Nothing is held out."""

    def teacher_from_predictions(self, path: str) -> Callable[[Split], np.ndarray]:
        student = LabeledTarget(self.target, self.labels)
        return teachers.teacher_from_predictions(path, student, self.accept)

    def train_split(self) -> Split:
        return self.split

    def annotate(self, name: str, provide: Callable[[Split], np.ndarray]) -> None:
        self.annotators[name] = provide

    def batch(self, rows: Sequence[int], **entries: Any) -> dict[str, Any]:
        """What a rank is given to train on; inputs follow from the row."""
        rows = list(rows)
        generator = torch.Generator().manual_seed(7)
        sources = torch.randn(len(self.rows), INPUT_DIM, generator=generator, dtype=torch.float64)
        noted = {key: provide(self.split)[rows] for key, provide in self.annotators.items()}
        return {
            "net_input": {"source": sources[rows]},
            "target": torch.from_numpy(self.truth[rows]),
            "nsentences": len(rows),
            "ntokens": len(rows),
            "utterance_id": [self.rows[row].id for row in rows],
            "split": "train",
            "annotations": {key: torch.from_numpy(values) for key, values in noted.items()},
            "update": 0,
            **entries,
        }


class Net(nn.Module):
    """Stands for robertaEMO: an embedding, a head on it, and one for each auxiliary target."""

    def __init__(self, task: Task, dropout: float = 0.0, seed: int = 3) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Linear(INPUT_DIM, EMBEDDING_DIM)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(EMBEDDING_DIM, task.n_outputs)
        heads = {n: nn.Linear(EMBEDDING_DIM, o.n_outputs) for n, o in task.auxiliary.items()}
        self.auxiliary_heads = nn.ModuleDict(heads)
        self.double()

    def forward(self, source: Tensor) -> EmotionOutput:
        embedding = self.dropout(self.embedding(source).tanh())
        auxiliary = {name: head(embedding) for name, head in self.auxiliary_heads.items()}
        return EmotionOutput(self.head(embedding), embedding, auxiliary)


def supcon(task: Any, seed: int = 5, **options: Any) -> EmotionSupConCriterion:
    """In training and in double precision."""
    torch.manual_seed(seed)
    return EmotionSupConCriterion(EmotionSupConConfig(**options), task).double().train()


def plain(task: Any, seed: int = 5, **options: Any) -> EmotionCriterion:
    """The criterion of the target without a term of its own; in training, in double precision."""
    torch.manual_seed(seed)
    criterion: EmotionCriterion
    if task.target.has_labels:
        criterion = EmotionClassificationCriterion(EmotionClassificationConfig(**options), task)
    else:
        criterion = EmotionRegressionCriterion(EmotionRegressionConfig(**options), task)
    return criterion.double().train()


def step(criterion: EmotionCriterion, model: Net, sample: Mapping[str, Any]) -> Any:
    """Loss, sample size and logging output of one training step; gradients are left behind."""
    model.zero_grad()
    criterion.zero_grad()
    loss, sample_size, logged = criterion(model, sample)
    loss.backward()
    return loss.detach(), sample_size, logged


def primary_only(criterion: EmotionCriterion, model: Net, sample: Mapping[str, Any]) -> Tensor:
    """The sum of the primary losses alone."""
    return criterion.primary.losses(model(**sample["net_input"]).logits, sample["target"]).sum()


def figures(outputs: Sequence[Mapping[str, Any]], task: Any) -> dict[str, float]:
    """What the log line holds after these steps."""
    auxiliary_labels = {name: other.labels for name, other in task.auxiliary.items()}
    with fairseq_metrics.aggregate(new_root=True) as found:
        for output in outputs:
            log_metrics([output], task.labels, auxiliary_labels)
    return found.get_smoothed_values()


def slow_contrastive(
    embeddings: Tensor,
    labels: Sequence[int],
    temperature: float,
    anchor_weights: Sequence[float] | None = None,
    pair_weights: Sequence[float] | None = None,
    n_anchors: int | None = None,
) -> Tensor:
    """As design/protocols.md has it, one pair after another; weights without NaN."""
    z = torch.nn.functional.normalize(embeddings, dim=1)
    s = z @ z.T / temperature
    known = [row for row in range(len(labels)) if labels[row] >= 0]
    u = anchor_weights or [1.0] * len(labels)
    w = pair_weights or [1.0] * len(labels)
    losses, weights = [], []
    for i in known:
        positives = [p for p in known if p != i and labels[p] == labels[i]]
        if i >= (n_anchors or len(labels)) or not positives:
            continue
        total = torch.stack([s[i, a] for a in known if a != i]).logsumexp(dim=0)
        pairs = sum(w[p] * (total - s[i, p]) for p in positives)
        losses.append(pairs / sum(w[p] for p in positives))
        weights.append(u[i])
    if not losses:
        return embeddings.sum() * 0.0
    return sum(a * b for a, b in zip(losses, weights, strict=True)) / sum(weights)
