"""MISA's terms: what is added to the loss, which rows count, and when there are such terms."""

from pathlib import Path

import pytest
import torch
from term_cases import EMBEDDING_DIM, Net, Task, figures, make_rows, plain, primary_only, step
from term_cases import write_rows as write
from torch import Tensor, nn

from emo_fairseq import losses
from emo_fairseq.models.roberta_emo import EmotionOutput

ROWS = range(10)
N_MODALITIES, WIDTH = 3, 4
WEIGHTS = {"similarity": 0.7, "difference": 0.2, "reconstruction": 1.5}
OPTIONS = {f"misa_{name}_weight": weight for name, weight in WEIGHTS.items()}


class Misa(Task):
    fusion = "misa"


class Parts(Net):
    """Has the vectors of three modalities, of which rows lack some."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.vectors = nn.ModuleDict(
            {
                name: nn.Linear(EMBEDDING_DIM, N_MODALITIES * WIDTH)
                for name in ("shared", "private", "projected", "reconstructed")
            }
        ).double()
        self.absent = torch.rand(len(ROWS), N_MODALITIES) < 0.3

    def forward(self, source: Tensor) -> EmotionOutput:
        output = super().forward(source)
        parts = {
            name: layer(output.embedding).sigmoid().unflatten(1, (N_MODALITIES, WIDTH))
            for name, layer in self.vectors.items()
        }
        return output._replace(parts={**parts, "absent": self.absent})


def slow_terms(output: EmotionOutput) -> dict[str, Tensor]:
    """One modality and pair after the other, over the rows that have them."""
    present = {m: ~output.parts["absent"][:, m] for m in range(N_MODALITIES)}
    similarity, difference, reconstruction = [], [], []
    for m, rows in present.items():
        shared, private, projected, reconstructed = (
            output.parts[name][rows, m]
            for name in ("shared", "private", "projected", "reconstructed")
        )
        difference.append(losses.orthogonality(private, shared))
        reconstruction.append((projected - reconstructed).square().mean())
        for other in range(m):
            both = rows & present[other]
            sides = [output.parts["shared"][both, number] for number in (m, other)]
            similarity.append(losses.central_moment_discrepancy(sides[0], sides[1]))
            sides = [output.parts["private"][both, number] for number in (m, other)]
            difference.append(losses.orthogonality(sides[0], sides[1]))
    return {
        "similarity": sum(similarity, torch.zeros(())) / len(similarity),
        "difference": sum(difference, torch.zeros(())),
        "reconstruction": sum(reconstruction, torch.zeros(())) / len(reconstruction),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("small"), make_rows(), prototypes=False)


@pytest.mark.parametrize("class_weighting", ["none", "inverse_frequency"])
def test_the_three_losses_are_added_with_their_weights(class_weighting: str, folder: Path) -> None:
    task = Misa(folder, make_rows())
    criterion = plain(task, **OPTIONS, class_weighting=class_weighting)
    model, sample = Parts(task), task.batch(ROWS)
    loss, _, logged = step(criterion, model, sample)
    terms = slow_terms(model(**sample["net_input"]))
    added = sum(WEIGHTS[name] * float(value) for name, value in terms.items())
    weights = criterion.primary.weights(torch.from_numpy(task.truth))
    scale = len(ROWS) * (1.0 if weights is None else float(weights.double().mean()))
    primary = float(primary_only(criterion, model, sample))
    assert float(loss) == pytest.approx(primary + scale * added, rel=1e-6)
    found = figures([logged], task)
    for name, value in terms.items():
        assert found[f"misa_{name}_loss"] == pytest.approx(float(value), rel=1e-6)
    for name, parameter in model.vectors.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_modality_that_no_row_has_adds_nothing(folder: Path) -> None:
    task = Misa(folder, make_rows())
    criterion, model, sample = plain(task, **OPTIONS), Parts(task), task.batch(ROWS)
    model.absent = torch.zeros(len(ROWS), N_MODALITIES, dtype=torch.bool)
    model.absent[:, 1:] = True
    loss, _, logged = step(criterion, model, sample)
    found = figures([logged], task)
    assert loss.isfinite()
    assert found["misa_similarity_loss"] == 0.0
    assert found["misa_reconstruction_loss"] > 0.0


def test_other_fusions_have_no_such_terms(folder: Path) -> None:
    assert not plain(Task(folder, make_rows())).terms
    assert len(plain(Misa(folder, make_rows())).terms) == 1
