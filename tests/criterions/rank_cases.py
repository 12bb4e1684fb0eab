"""Training steps of criterions on two ranks, and the same on one: what each makes of them.

The ranks are processes (gloo, on CPU) that do all cases one after another, since starting them
takes longer than a case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from forked import SERVER
from term_cases import Net, Task, make_rows, supcon
from torch import Tensor, nn

WORLD = 2
TIMEOUT = 120  # seconds

# Rows of each rank at each step; a rank without any only keeps step.
UNEQUAL = (((0, 1, 2, 3, 4, 5, 6), (7, 8, 9)), ((10, 11), (12, 13, 14, 15, 16)))
EQUAL = (((0, 1, 2, 3), (4, 5, 6, 7)), ((8, 9, 10, 11), (12, 13, 14, 15)))
IDLE = (((0, 1, 2), (3, 4, 5, 6)), ((7, 8, 9, 10), ()), ((11, 12, 13), (14, 15, 16)))
SPLITS = {"unequal": UNEQUAL, "equal": EQUAL, "idle": IDLE}

WEIGHTINGS = {
    "supervised": {},
    "v1": {"prototype_alpha": 3.0},
    "v2": {"prototype_beta": 4.0},
    "v2_original": {"prototype_beta": 4.0},
    "v3": {"prototype_quantile": 0.4},
}


@dataclass(frozen=True)
class Case:
    """Options of the criterion and of the task, and how the rows are shared out."""

    criterion: Mapping[str, Any]
    split: str = "unequal"
    task: Mapping[str, Any] = field(default_factory=dict)


def _of_weightings(split: str) -> dict[str, Case]:
    return {
        f"{weighting}, {split}": Case({"supcon_weighting": weighting, **options}, split)
        for weighting, options in WEIGHTINGS.items()
    }


_BOTH = {"supcon_weighting": "v2", "prototype_beta": 4.0}
CASES: dict[str, Case] = {
    **_of_weightings("unequal"),
    **_of_weightings("equal"),
    **_of_weightings("idle"),
    "class weights": Case({**_BOTH, "class_weighting": "inverse_frequency"}, "idle"),
    "projection head": Case({**_BOTH, "supcon_projection_dim": 4}, "idle"),
    "queue": Case({**_BOTH, "supcon_queue": 9}, "idle"),
    "queue of classes": Case({"spcl_weight": 0.7, "spcl_queue": 3, "spcl_drawn": 2}, "idle"),
    "queue of one rank's rows": Case({"supcon_queue": 3}),
    "moving prototypes": Case(
        {**_BOTH, "prototype_learning": "ema", "prototype_momentum": 0.6}, "idle"
    ),
    "moving prototypes of corpora": Case(
        {**_BOTH, "prototype_learning": "ema", "prototype_momentum": 0.6},
        "idle",
        {"prototype_scope": "corpus"},
    ),
    "trained prototypes": Case({**_BOTH, "prototype_learning": "trained"}, "idle"),
    "numbers": Case({**_BOTH}, "idle", {"target": "vad"}),
    "auxiliary targets": Case(
        {"class_weighting": "inverse_frequency"}, "idle", {"auxiliary": "vad,sentiment"}
    ),
    "uncertainty": Case(
        {"class_weighting": "inverse_frequency", "auxiliary_weighting": "uncertainty"},
        "idle",
        {"auxiliary": "vad,sentiment"},
    ),
    "adversaries": Case({"speaker_adversary_weight": 0.7, "corpus_adversary_weight": 0.2}, "idle"),
    "r-drop": Case({"r_drop_weight": 2.0, "class_weighting": "inverse_frequency"}, "idle"),
}


def train(case: Case, folder: Path, rank: int | None) -> dict[str, Any]:
    """The steps of one rank, or of one process with all rows.

    Returns:
        Of each step loss, sample size, gradients by name, and logged statistics; and what the
        task's state holds in the end.
    """
    task = Task(folder, make_rows(), **case.task)
    model, criterion = Net(task), supcon(task, **case.criterion)
    for module in criterion.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # ranks would draw other masks
    named = [*model.named_parameters(), *criterion.named_parameters(prefix="criterion")]
    steps = []
    for update, shares in enumerate(SPLITS[case.split]):
        rows: Sequence[int] = sum(shares, ()) if rank is None else shares[rank]
        is_idle = not rows
        sample = task.batch(rows or (0, 1, 2), update=update, is_ignored=is_idle)
        for _, parameter in named:
            parameter.grad = None
        loss, sample_size, logged = criterion(model, sample)
        if is_idle:  # as fairseq's task and trainer do
            loss *= 0
            sample_size = sample_size * 0
            logged = {name: value * 0 for name, value in logged.items()}
        loss.backward()
        steps.append(
            {
                "loss": loss.detach(),
                "sample_size": torch.as_tensor(sample_size, dtype=torch.float64),
                "logged": logged,
                "gradients": {name: p.grad for name, p in named if p.grad is not None},
            }
        )
    return {"steps": steps, "state": dict(task.state.state_dict)}


def summed(ranks: Sequence[Mapping[str, Any]], number: int) -> dict[str, Any]:
    """What the ranks make of a step together, as fairseq adds it up."""
    first, *others = [rank["steps"][number] for rank in ranks]

    def add(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Mapping):
            assert all(value.keys() == values[0].keys() for value in values)
            return {key: add([value[key] for value in values]) for key in values[0]}
        return sum(values[1:], start=values[0])

    return {key: add([first[key], *(other[key] for other in others)]) for key in first}


def on_two_ranks(folder: Path) -> list[dict[str, Any]]:
    """Every case on every rank: by rank, what :func:`train` returns by the name of the case."""
    ranks = [SERVER.Process(target=_work, args=(rank, folder)) for rank in range(WORLD)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(TIMEOUT)
        if rank.is_alive():
            rank.kill()
    assert [rank.exitcode for rank in ranks] == [0] * WORLD
    return [torch.load(_results(folder, rank), weights_only=False) for rank in range(WORLD)]


def _results(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.pt"


def _work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD)
    found = {name: train(case, folder, rank) for name, case in CASES.items()}
    torch.save(found, _results(folder, rank))
    dist.barrier()


def flat(gradients: Mapping[str, Tensor]) -> Tensor:
    """All gradients in one vector."""
    return torch.cat([gradients[name].flatten() for name in sorted(gradients)])
