"""Write several models as one folder; see :mod:`emo_fairseq.inference.ensemble_folder`."""

import logging
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data_prep.manifest.provenance import model_beside
from data_prep.messages import first_few
from data_prep.schema import TRAIN
from emo_fairseq.checkpoint_schema import HEAD, head_digest
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.ensembles import STACK, Stacking, align_members
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    NumberPredictions,
    read_predictions,
)
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.export.replacing import check_replaceable, replace_folder
from emo_fairseq.inference.checkpoint import read_checkpoint
from emo_fairseq.inference.engine import ModelEngine
from emo_fairseq.inference.ensemble import Combination, EnsembleEngine
from emo_fairseq.inference.ensemble_folder import MEMBERS, write_ensemble
from emo_fairseq.inference.model_folder.files import CARD_FILE, ENSEMBLE_FILE, WEIGHTS_FILE
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.pretrained.weights import read_tensors

logger = logging.getLogger(__name__)

_OTHER = re.compile(r"[^A-Za-z0-9._-]+")


def write_ensemble_folder(
    models: Sequence[Path],
    combination: Combination,
    out: Path,
    data: Path | None = None,
    *,
    labels: Sequence[str] | None = None,
    merge_lora: bool = False,
) -> Path:
    """Write models and their combination into a folder that needs nothing beside it.

    An ensemble that is there already is replaced once all is written.

    Args:
        models: checkpoints, which are exported, and model folders, which are copied.
        combination: of their outputs.
        out: the folder; if it is there, an ensemble or empty.
        data: see :func:`write_model_folder`.
        labels: labels or axes in the order of a stacking; None: that of the first model.
        merge_lora: see :func:`write_model_folder`; of checkpoints.

    Returns:
        `out`.

    Raises:
        UsageError: the models do not fit together, or `out` holds other things.
    """
    check_replaceable(out, "an ensemble", ENSEMBLE_FILE, {"format", "combine", "members"})
    with replace_folder(out) as folder:
        names = [f"{n}-{_short_name(model)}" for n, model in enumerate(models, start=1)]
        for name, model in zip(names, models, strict=True):
            member = folder / MEMBERS / name
            if model.is_dir():
                shutil.copytree(model, member)
            else:
                write_model_folder(model, data, member, merge_lora=merge_lora)
        loaded = {
            name: ModelEngine.of(read_model_folder(folder / MEMBERS / name)) for name in names
        }
        engine = EnsembleEngine(loaded, combination, labels)
        write_ensemble(folder, names, combination, engine.labels or engine.axes)
        (folder / CARD_FILE).write_text(_card(out.resolve().name, engine, combination))
    return out


def fit_stacking(
    files: Sequence[Path],
    speakers_of: Callable[[str], Mapping[str, str | None]],
    balanced: bool = False,
) -> tuple[Combination, tuple[str, ...]]:
    """Fit a stacking on predictions of a split that no model was trained on.

    Args:
        files: predictions of each model, as ``fairseq-validate --save-predictions`` writes them.
        speakers_of: returns those of a split's utterances, by id; those of one speaker are on one
            side of every division of the cross-validation.
        balanced: see :meth:`Stacking.fit`.

    Returns:
        The combination, and the labels or axes in its order.

    Raises:
        UsageError: a file holds several splits, or the train split; or see :func:`align_members`.
    """
    members: dict[str, LabelPredictions | NumberPredictions] = {}
    for number, file in enumerate(files, start=1):
        splits = read_predictions(file)
        if len(splits) != 1 or TRAIN in splits:
            raise UsageError(
                f"{file}: holds predictions of {', '.join(splits)}; give those of one split that "
                "the models were not trained on, such as valid",
                "stack-split",
            )
        ((split, members[f"{number} ({file})"]),) = splits.items()
    aligned, _ = align_members(members)
    speakers = speakers_of(split)  # other splits may have the same ids
    groups = [speakers.get(id_) for id_ in aligned[0].ids]
    return Combination(STACK, Stacking.fit(aligned, groups, balanced)), aligned[0].names


def check_order(models: Sequence[Path], files: Sequence[Path]) -> None:
    """Compare the models that wrote predictions with the models in whose places they are given.

    A file without a record of its model is warned of.

    Raises:
        UsageError: a file is of another model.
    """
    heads = [_head_of(model) for model in models]
    for model, head, file in zip(models, heads, files, strict=True):
        recorded = model_beside(file)
        if not recorded:
            logger.warning(
                "%s: has no record of the model that predicted; it is taken for %s", file, model
            )
        elif recorded != head:
            others = [str(other) for other, x in zip(models, heads, strict=True) if x == recorded]
            raise UsageError(
                f"{file}: holds predictions of {first_few(others) or 'a model that is not given'}, "
                f"in the place of those of {model}; give the files in the order of the models",
                "predictions-other-model",
            )


def _head_of(model: Path) -> str:
    if model.is_dir():
        return head_digest(read_tensors(model / WEIGHTS_FILE, HEAD))
    return head_digest(read_checkpoint(model)["model"])


def _short_name(model: Path) -> str:
    """Return a name of a model folder, or of the folder of a checkpoint.

    >>> _short_name(Path("runs/text (mpnet)/checkpoint_best.pt"))
    'text-mpnet'
    """
    resolved = model.resolve()
    name = resolved.name if resolved.is_dir() else model.absolute().parent.name
    return _OTHER.sub("-", name).strip("-.") or "model"


def _card(name: str, engine: EnsembleEngine, combination: Combination) -> str:
    """Return a short README.md."""
    members = "\n".join(
        f"- `{MEMBERS}/{name}` reads {' and '.join(member.modalities)}"
        for name, member in zip(engine.names, engine.members, strict=True)
    )
    return f"""# {name}

An ensemble of {len(engine.members)} models, by `{combination.name}` of their outputs. It predicts
{", ".join(engine.labels or engine.axes)}.

{members}

Load it as any model: `emotion-recognize predict FOLDER …`, or `load_predictor(FOLDER)`. Metrics of
its members do not hold for it; score it by `emotion-recognize evaluate FOLDER DATA`.

For research on how people label recorded utterances. It predicts what the annotators of its corpus
would likely have said, not what anybody feels: no decision about a person should rest on it.
"""
