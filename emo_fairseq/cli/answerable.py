"""Whether a model can be asked at all, from what lies beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from emo_fairseq.errors import UsageError


def check_answerable(place: Path, modalities: Sequence[str], missing: Mapping[str, str]) -> None:
    """Refuse a model that could read nothing of what it would be given.

    Args:
        place: of the model, for the message.
        modalities: that it reads.
        missing: for each that cannot be computed what it lacks.

    Raises:
        UsageError: none of them can be computed.
    """
    if not {*modalities} <= missing.keys():
        return
    lacks = "; ".join(f"{name} lacks {missing[name]}" for name in modalities)
    raise UsageError(
        f"{place}: nothing that the model reads can be computed: {lacks} (--data DATA names it)"
    )
