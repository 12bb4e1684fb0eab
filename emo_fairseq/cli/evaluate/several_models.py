"""``evaluate A B C DATA``: several models side by side, and with ``--combine`` as an ensemble.

Without it each model after the first is compared with the first, on the rows that both have.
The folder of an ensemble is scored in the same way, by its members and the combination in it.
"""

import argparse
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_fairseq.cli.evaluate.combination_options import FIT_SPLIT, STACK, is_one_ensemble
from emo_fairseq.cli.evaluate.model_comparison import Pair, print_models
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from emo_fairseq.cli.score_table import Rows
    from emo_fairseq.evaluation.ensembles import Stacking
    from emo_fairseq.evaluation.statistics import Predictions
    from emo_fairseq.inference.ensemble_folder import EnsembleFolder

logger = logging.getLogger(__name__)

Score = Callable[[Path, str, Path], int]  # (model, split, predictions file to write) -> exit code


def run(options: argparse.Namespace, score: Score, folder: Path) -> int:
    """Score several models, or the members of an ensemble, on one split and print their table.

    Returns:
        The exit code of the first fairseq-validate that failed, or 0.

    Raises:
        UsageError: the models cannot be combined.
    """
    from emo_fairseq.cli.score_table import rows_by_id

    stored = _open(options)
    models = list(options.models) if stored is None else list(stored.members.values())
    names = model_names(models) if stored is None else list(stored.members)
    splits = [options.split]
    if options.combine == STACK:
        splits.insert(0, options.fit_split or FIT_SPLIT)
    files: dict[str, list[Path]] = {}
    for split in splits:
        files[split] = [folder / f"{split}.{number}.tsv" for number in range(len(names))]
        for model, file in zip(models, files[split], strict=True):
            if code := score(model, split, file):
                return code
    rows = rows_by_id(options.data, options.split)
    members = _read(names, files[options.split])
    ensemble, fitted_on = None, []
    if stored is not None:
        ensemble = _combine(
            members, stored.combination.name, stored.combination.stacking, stored.labels
        )
    elif options.combine == STACK:
        known = rows_by_id(options.data, splits[0])
        stacked = _fit(_read(names, files[splits[0]]), known, options.balanced)
        ensemble = _combine(members, STACK, stacked.how)
        fitted_on = [known[id_] for id_ in stacked.ids if id_ in known]
    elif options.combine:
        ensemble = _combine(members, options.combine)
    if ensemble is not None and options.save_predictions:
        of_members = dict(zip(names, files[options.split], strict=True))
        is_stacked = stored is not None and stored.combination.name == STACK
        unknown = (f"the stacking of {options.models[0].name}",) if is_stacked else ()
        _save(options, ensemble, of_members, splits[0], fitted_on, unknown)
    print_models(options, members, ensemble, rows, _leaks(files))
    return 0


def _open(options: argparse.Namespace) -> "EnsembleFolder | None":
    """Open the folder of an ensemble, if that is the model."""
    from emo_fairseq.inference.ensemble_folder import open_ensemble

    if not is_one_ensemble(options):
        return None
    opened = open_ensemble(options.models[0])
    if opened.combination.name == STACK:
        logger.warning(
            "%s: does not record the rows that its stacking was fitted on; score it on others",
            opened.file,
        )
    return opened


def model_names(models: Sequence[Path]) -> list[str]:
    """Return a short name for each path: as many of its last parts as make the names distinct.

    >>> model_names([Path("runs/a/best.pt"), Path("runs/b/best.pt")])
    ['a/best.pt', 'b/best.pt']
    """
    for n_parts in range(1, max(len(model.parts) for model in models) + 1):
        names = ["/".join(model.parts[-n_parts:]) for model in models]
        if len(set(names)) == len(names):
            return names
    raise UsageError(
        f"{models[0]}: the same model is given twice; name each once", "combine-model-twice"
    )


def _read(names: Sequence[str], files: Sequence[Path]) -> dict[str, "Predictions"]:
    from emo_fairseq.evaluation.statistics import read_predictions

    members = {}
    for name, file in zip(names, files, strict=True):
        (members[name],) = read_predictions(file).values()
    return members


@dataclass(frozen=True)
class _Stacked:
    """A stacking, and the ids of the rows that it was fitted on."""

    how: "Stacking"
    ids: tuple[str, ...]


def _fit(members: Mapping[str, "Predictions"], rows: "Rows", balanced: bool) -> _Stacked:
    from emo_fairseq.evaluation.ensembles import Stacking, align_members

    aligned, _ = align_members(members)
    ids = aligned[0].ids
    speakers = [rows[id_].speaker if id_ in rows else None for id_ in ids]
    return _Stacked(Stacking.fit(aligned, speakers, balanced), ids)


def _combine(
    members: Mapping[str, "Predictions"],
    name: str,
    stacking: "Stacking | None" = None,
    labels: Sequence[str] | None = None,
) -> Pair:
    """Return an ensemble beside its member with the best first metric on the scored rows."""
    from emo_fairseq.evaluation import ensembles
    from emo_fairseq.evaluation.names import is_larger_better
    from emo_fairseq.evaluation.statistics import LabelPredictions

    aligned, n_left_out = ensembles.align_members(members, labels)
    how = ensembles.COMBINATIONS.get(name)
    if stacking is not None:
        how = replace(stacking, has_labels=isinstance(aligned[0], LabelPredictions))
    assert how is not None  # a stacking has its numbers
    combined = ensembles.combine(aligned, how)
    key = combined.headline[0]
    sign = 1.0 if is_larger_better(key) else -1.0
    by_name = dict(zip(members, aligned, strict=True))

    def goodness(model: str) -> float:
        value = sign * by_name[model].statistics().metrics()[key]
        return -math.inf if math.isnan(value) else value  # of a constant prediction

    best = max(by_name, key=goodness)
    return Pair(name, combined, best, by_name[best], n_left_out)


def _save(
    options: argparse.Namespace,
    ensemble: Pair,
    files: Mapping[str, Path],
    fit_split: str,
    fitted_on: Sequence[Any],
    unknown: tuple[str, ...] = (),
) -> None:
    """Write the predictions of the ensemble, with the record of all rows that made it.

    It names the members whose rows are not recorded; there is none where that is so of all.

    Args:
        options: of the command line.
        ensemble: its predictions.
        files: of its members' predictions, by their names.
        fit_split: that a stacking was fitted on.
        fitted_on: its rows; empty without a stacking.
        unknown: what else was made from rows that are not recorded.
    """
    from data_prep.manifest.provenance import Provenance, read_beside, seen_rows, write_beside
    from data_prep.schema import read_corpus
    from emo_fairseq.evaluation.predictions import write

    write(options.save_predictions, list(rows_of(ensemble.predictions, options.split)))
    of_members = {name: read_beside(file) for name, file in files.items()}
    records = [x for x in of_members.values() if x is not None]
    if fitted_on:
        records.append(seen_rows(fitted_on, read_corpus(options.data).name, fit_split))
    if records:
        unknown += tuple(f"the model {name}" for name, x in of_members.items() if x is None)
        write_beside(options.save_predictions, Provenance(unknown=unknown).merged(*records))


def rows_of(of: "Predictions", split: str) -> Any:
    """Yield the rows of a predictions file."""
    from emo_fairseq.evaluation import predictions
    from emo_fairseq.evaluation.statistics import LabelPredictions

    for row, id_ in enumerate(of.ids):
        if isinstance(of, LabelPredictions):
            assert of.probability is not None
            cells = predictions.label_row(
                of.names,
                int(of.truth[row]),
                int(of.prediction[row]),
                of.probability[row].tolist(),
                None if of.votes is None else of.votes[row].tolist(),
            )
        else:
            truth, prediction = of.truth[row].tolist(), of.prediction[row].tolist()
            cells = predictions.number_row(of.names, truth, prediction)
        yield {"id": id_, "split": split, **cells}


def _leaks(files: Mapping[str, Sequence[Path]]) -> list[str]:
    from data_prep.manifest.provenance import allowed_leaks

    return list(
        dict.fromkeys(x for of in files.values() for file in of for x in allowed_leaks(file))
    )
