"""Name a trained model, and its folder, after what it is: ``T+A--STF--gated(mpnet+wavlm-base)``.

The scheme is ``{modalities}--{target}{tuning}[--{fusion}]({backbones})``, as the MELD system of the
line named its folders:

modalities  T text, A audio, V video, joined by ``+``
target      see :data:`TARGET_LETTERS`
tuning      T tuned in full, L LoRA, F frozen; one letter for each modality where they differ
fusion      where there are several modalities
backbones   what each encoder was started from

Folders have the same name without the signs that shells and the Hugging Face hub refuse:
``T-A-STF-gated-mpnet-wavlm-base``.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from emo_fairseq.encoder_spec import KINDS
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import MODALITIES, MODALITY_LETTERS
from emo_fairseq.models.fusions import fusion_name
from emo_fairseq.targets import TARGETS

TARGET_LETTERS: Mapping[str, str] = {name: target.letter for name, target in TARGETS.items()}
TUNING_LETTERS: Mapping[str, str] = {"full": "T", "lora": "L", "frozen": "F"}
_SCRATCH = "scratch"
_LONGEST = 96  # characters of a name on the hub

# Names of checkpoint files that do not name the model.
_NAMELESS = re.compile(r"(model|checkpoint\w*)\.(pt|bin|safetensors)")


def folder_name(title: str) -> str:
    """Return the name of a model's folder, which is one for the hub, too.

    >>> folder_name("T+A--ETF--gated(roberta-base+hubert)")
    'T-A-ETF-gated-roberta-base-hubert'
    """
    return re.sub(r"-{2,}", "-", _clean(title))[:_LONGEST].rstrip("-._")


def model_title(
    target: str, encoders: Mapping[str, str], tuning: Mapping[str, str], fusion: str
) -> str:
    """Return the title of a model.

    >>> model_title("sentiment", {"text": "hf:models/mpnet"}, {"text": "frozen"}, "concat")
    'T--SF(mpnet)'
    >>> encoders = {"text": "hf:roberta-base", "speech": "fairseq:hubert/model.pt"}
    >>> model_title("emotion", encoders, {"text": "full", "speech": "frozen"}, "gated")
    'T+A--ETF--gated(roberta-base+hubert)'

    Args:
        target: a name of :data:`emo_fairseq.targets.TARGETS`.
        encoders: of each modality its spec, such as ``hf:FOLDER`` or ``scratch:base``.
        tuning: of each modality ``full``, ``lora`` or ``frozen``.
        fusion: its name; left out of the title where there is one modality.

    Raises:
        UsageError: a target or tuning that has no letter.
    """
    for given, letters in (
        (target, TARGET_LETTERS),
        *((t, TUNING_LETTERS) for t in tuning.values()),
    ):
        if given not in letters:
            raise UsageError(
                f"{given!r} has no letter in a model's name: {', '.join(letters)}",
                "letter-missing",
            )
    names = [name for name in MODALITIES if name in encoders]
    modal = "+".join(MODALITY_LETTERS[name] for name in names)
    tuned = "".join(TUNING_LETTERS[tuning[name]] for name in names)
    tuned = tuned[0] if len(set(tuned)) == 1 else tuned
    middle = f"--{fusion}" if len(names) > 1 else ""
    backbones = "+".join(backbone(encoders[name]) for name in names)
    return f"{modal}--{TARGET_LETTERS[target]}{tuned}{middle}({backbones})"


def backbone(spec: str) -> str:
    """Return an encoder's short name, fit for any file system.

    >>> backbone("hf:models/all-mpnet-base-v2/"), backbone("fairseq:roberta.base/model.pt")
    ('all-mpnet-base-v2', 'roberta.base')
    >>> backbone("fairseq:wav2vec/vq small.pt"), backbone("features:emotion2vec")
    ('vq-small', 'emotion2vec')
    >>> backbone("scratch:base"), backbone("hf:microsoft/wavlm-base@main")
    ('scratch-base', 'wavlm-base')
    """
    kind, _, source = spec.partition(":")
    if kind not in KINDS:
        kind, source = "", spec
    if kind == _SCRATCH:
        return f"{_SCRATCH}-{_clean(source)}"
    path = PurePath(source.partition("@")[0] or source)
    if path.suffix in (".pt", ".bin", ".safetensors"):
        path = path.parent if _NAMELESS.fullmatch(path.name) and path.parent.name else path
        path = path.with_suffix("") if path.suffix in (".pt", ".bin", ".safetensors") else path
    return _clean(path.name) or _clean(source) or "unnamed"


def title_of(task_cfg: Any, model_cfg: Any, modalities: Sequence[str], target: str) -> str:
    """Return the title of a trained model, from its options."""
    size = str(model_cfg._name).partition("_")[2] or "base"
    encoders = {
        name: getattr(task_cfg, f"{name}_encoder", None) or f"{_SCRATCH}:{size}"
        for name in modalities
    }
    tuning = {name: str(getattr(model_cfg, f"{name}_tuning", "full")) for name in modalities}
    return model_title(target, encoders, tuning, fusion_name(model_cfg, len(modalities)))


def _clean(text: str) -> str:
    """Reduce to letters, digits, ``.``, ``_`` and ``-``, none of the last three at either end."""
    return re.sub(r"[^\w.]+", "-", text, flags=re.ASCII).strip("-._")
