"""Tiny models that fairseq-train trained on the toy corpus, and their model folders."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from in_process import PLAIN, TINY, TRAIN, run_tool

from emo_fairseq.evaluation import predictions
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.inference.engine import ModelEngine
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.predictor import EmotionPredictor

_SHORT = "--batch-size 8 --max-update 2 --disable-validation"


class TrainedModels:
    """Trains what is asked for, the same options once.

    Args:
        data: a data dir, tokenized both ways.
        place: what is written lies below it.
    """

    def __init__(self, data: Path, place: Path) -> None:
        self.data = data
        self._place = place
        self._done: dict[tuple[str, Path], Path] = {}
        self._folders: dict[tuple[str, Path], Path] = {}

    def checkpoint(self, options: str, data: Path | None = None, sizes: str = TINY) -> Path:
        """A checkpoint, trained for two updates with these options of fairseq-train."""
        key = (f"{options} {sizes}", data or self.data)
        if key not in self._done:
            folder = self._place / f"checkpoint{len(self._done)}"
            place = f"--data {key[1]} --save-dir {folder}"
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # models this small are slower on several
            run_tool("fairseq_cli.train", "fairseq-train", TRAIN, sizes, _SHORT, place, options)
            torch.set_num_threads(threads)
            self._done[key] = folder / "checkpoint_last.pt"
        return self._done[key]

    def folder(self, options: str, data: Path | None = None, sizes: str = TINY) -> Path:
        """The model folder of :meth:`checkpoint`. Shared: copy it before changing it."""
        key = (f"{options} {sizes}", data or self.data)
        if key not in self._folders:
            out = self._place / f"folder{len(self._folders)}"
            checkpoint = self.checkpoint(options, data, sizes)
            self._folders[key] = write_model_folder(checkpoint, None, out)
        return self._folders[key]

    def validated(
        self,
        checkpoint: Path,
        data: Path | None = None,
        options: str = "",
        file: Path | None = None,
    ) -> list[dict[str, str]]:
        """The rows that fairseq-validate writes for the test split, to a file if one is given."""
        file = file or self._place / "predictions.tsv"
        place = f"--data {data or self.data} --path {checkpoint} --valid-subset test"
        save = f"--batch-size 5 --save-predictions {file}"
        run_tool("fairseq_cli.validate", "fairseq-validate", PLAIN, place, save, options)
        return predictions.read(file)


def load_with_options(folder: Path, **options: Any) -> EmotionPredictor:
    """The predictor of a model folder, with other options of the task, such as limits."""
    loaded = read_model_folder(folder)
    changed = loaded.state.options.model_copy(update=options)
    loaded = loaded._replace(state=replace(loaded.state, options=changed))
    return EmotionPredictor(ModelEngine.of(loaded))
