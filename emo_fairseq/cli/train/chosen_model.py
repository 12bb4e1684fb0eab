"""The encoders of a training, how they are tuned, and what follows from both."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import ManifestError
from data_prep.files.documents import JsonObject, load_json
from emo_fairseq.cli.train.recipes import SCRATCH, Combined, combine, recipe_key
from emo_fairseq.encoder_spec import PRETRAINED
from emo_fairseq.errors import UsageError
from emo_fairseq.export.naming import folder_name, model_title
from emo_fairseq.option_values import CONCAT, FROZEN, FULL, LORA, default_fusion

# By which an encoder's configuration names the units of its layers.
_HIDDEN_SIZES = ("hidden_size", "d_model", "dim")


def encoder_of(options: argparse.Namespace, modality: str) -> str | None:
    """Return the encoder of a modality as given; None for one from scratch."""
    spec: str | None = getattr(options, f"{modality}_encoder")
    return spec


def kind_of_encoder(spec: str | None) -> str:
    """Return what is before the colon of an encoder, such as ``hf``."""
    return (spec or SCRATCH).partition(":")[0]


@dataclass(frozen=True)
class ChosenModel:
    """The encoders of a model by modality, and what follows from them.

    Attributes:
        specs: as given; None for an encoder from scratch.
        tuning: full, frozen or lora.
        arch: its named architecture.
        fusion: of several modalities.
    """

    specs: Mapping[str, str | None]
    tuning: Mapping[str, str]
    arch: str
    fusion: str

    def is_pretrained(self, name: str) -> bool:
        return kind_of_encoder(self.specs[name]) in PRETRAINED

    @property
    def tunes_pretrained(self) -> bool:
        return any(self.is_pretrained(name) and self.tuning[name] != FROZEN for name in self.specs)

    @property
    def combined(self) -> Combined:
        return combine({name: self._recipe_key(name) for name in self.specs})

    def _recipe_key(self, name: str) -> tuple[str, str]:
        hidden_size = _hidden_size(self.specs[name])
        return recipe_key(name, self.tuning[name], self.is_pretrained(name), hidden_size)

    def folder_name(self, target: str) -> str:
        size = self.arch.partition("_")[2] or "base"
        encoders = {name: spec or f"{SCRATCH}:{size}" for name, spec in self.specs.items()}
        return folder_name(model_title(target, encoders, self.tuning, self.fusion))


def choose_model(
    options: argparse.Namespace, modalities: Sequence[str], notes: list[str]
) -> ChosenModel:
    """Return the model that the options choose for some modalities; fills `notes` for the user.

    Raises:
        UsageError: ``--freeze`` or ``--lora`` without a pretrained encoder.
    """
    specs = {name: encoder_of(options, name) for name in modalities}
    requested = FROZEN if options.freeze else LORA if options.lora else FULL
    pretrained = [name for name, spec in specs.items() if kind_of_encoder(spec) in PRETRAINED]
    others = [name for name in specs if name not in pretrained]
    if requested != FULL:
        if not pretrained:
            refuse_tuning(options, others[0])
        notes += [f"{name}: {kind_of_encoder(specs[name])}, so trained in full" for name in others]
    is_scratch = any(kind_of_encoder(spec) == SCRATCH for spec in specs.values())
    # Epochs of cross-attention over outputs that no training changes took ten times as long as
    # those of their concatenation, and scored once higher, once lower (docs/results.md, "Fusions").
    is_concatenated = not is_scratch and (requested == FROZEN or not pretrained)
    return ChosenModel(
        specs,
        {name: requested if name in pretrained else FULL for name in specs},
        options.arch or ("robertaEMO_tiny" if is_scratch else "robertaEMO"),
        options.fusion or (CONCAT if is_concatenated else default_fusion(len(specs))),
    )


def refuse_tuning(options: argparse.Namespace, modality: str) -> None:
    """Raise a `UsageError` on a tuning of encoders none of which is pretrained."""
    flag = "--freeze" if options.freeze else "--lora"
    raise UsageError(
        f"{flag}: no encoder is pretrained, so that random weights would stay as they are; add "
        f"--{modality}-encoder hf:FOLDER or fairseq:CHECKPOINT, or leave {flag} out",
        "encoder-not-pretrained",
    )


def _hidden_size(spec: str | None) -> int:
    """Return the units of the layers of a Hugging Face encoder in a folder; else 0."""
    kind, _, source = (spec or "").partition(":")
    file = Path(source) / "config.json"
    if kind != "hf" or not file.is_file():
        return 0
    try:
        settings = load_json(file, JsonObject, remedy="fetch the model again")
    except ManifestError:
        return 0  # reported by the command that loads the encoder
    sizes = [settings.get(name) for name in _HIDDEN_SIZES]
    return next((size for size in sizes if isinstance(size, int)), 0)
