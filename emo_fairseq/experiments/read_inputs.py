"""Which inputs of a data dir a run reads, by its options."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from emo_fairseq.data.input_digests import ReadInputs
from emo_fairseq.experiments.names import FOLD
from emo_fairseq.experiments.options import Options
from emo_fairseq.modalities import SPEECH, TEXT
from emo_fairseq.options import legacy_flags


def read_inputs(
    options: Options, data: Path, splits: Sequence[str], data_raw: Path | None = None
) -> ReadInputs:
    """Return what a run reads of splits of its data dir, or of another one.

    Args:
        options: of the run.
        data: the data dir.
        splits: their names; of the run's own data dir under a fold those of its sets.
        data_raw: of another data dir the folder of its recordings.

    Raises:
        UsageError: the options name no modalities.
    """
    names = ("modality", *legacy_flags.MODALITY_FLAGS)
    task = SimpleNamespace(**{name: options.get(f"task.{name}") for name in names})
    is_own = data == options.data
    return ReadInputs(
        data,
        splits,
        options.get(FOLD) if is_own else None,
        {name: options.get(f"task.{name}_encoder") for name in legacy_flags.modalities(task)},
        {name: options.get(f"task.{name}_tokens") for name in (TEXT, SPEECH)},
        options.get("task.speech_input"),
        options.get("task.data_raw") if is_own else data_raw,
        options.get("task.video_raw") if is_own else None,
    )
