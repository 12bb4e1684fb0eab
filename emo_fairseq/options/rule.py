"""What a rule says of an option, and what its condition looks at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.options.fusion import fusion_name
from emo_fairseq.types import (
    FROZEN,
    FULL,
)

_OWN = ("scratch", "features")  # kinds of encoders that are built to our sizes, not pretrained


@dataclass(frozen=True)
class Run:
    """What the conditions look at; `model` is there only for the model's options."""

    cards: Mapping[str, EncoderSpec]
    task: Any
    model: Any = None

    def reads(self, modality: str, *inputs: str) -> bool:
        """Whether it reads the modality, and as one of these inputs."""
        return modality in self.cards and (not inputs or self.cards[modality].input in inputs)

    def reads_any(self, kind: str) -> bool:
        return any(card.input == kind for card in self.cards.values())

    def is_own(self, modality: str, *kinds: str) -> bool:
        return modality in self.cards and self.cards[modality].kind in (kinds or _OWN)

    def tuning(self, modality: str) -> str:
        return str(getattr(self.model, f"{modality}_tuning", None) or FULL)

    def tuned(self, *tunings: str) -> bool:
        """Whether one of its encoders has one of these tunings."""
        return any(self.tuning(name) in tunings for name in self.cards)

    def encodes(self, *inputs: str, modality: str | None = None) -> bool:
        """Whether an encoder of these inputs, or this modality's, runs in every batch."""
        return any(
            card.input in inputs
            and modality in (None, name)
            and (self.task.no_encoder_cache or self.tuning(name) != FROZEN)
            for name, card in self.cards.items()
        )

    def fusion(self) -> str:
        return fusion_name(self.model, len(self.cards))


class Rule(NamedTuple):
    """Options; when they act; and what is the matter where they do not."""

    options: Sequence[str]
    acts: Callable[[Run], bool]
    otherwise: str


def of_unread(modality: str, *endings: str) -> Rule:
    """Options of one modality, which act where it is read; ``{}`` is its name."""
    names = [name.format(modality) for name in endings]
    otherwise = f"--modality {{read}} has no {modality}"
    return Rule(names, lambda run: run.reads(modality), otherwise)
