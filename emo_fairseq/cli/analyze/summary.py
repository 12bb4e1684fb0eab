"""What ``analyze`` prints of a conversation: who speaks how long, and with which emotions."""

from collections import Counter
from collections.abc import Sequence

from data_prep.messages import first_few
from emo_fairseq.inference.conversation import Conversation, PredictedTurn

_EVERYONE = "all"
_UNKNOWN = "speaker unknown"


def describe(name: str, conversation: Conversation) -> str:
    """Return the lines on a recording."""
    turns = conversation.turns
    notes = [f"  {note}" for note in conversation.notes]
    notes += [f"  {reason}: {count}" for reason, count in conversation.skipped.items()]
    if not turns:
        return "\n".join([f"{name}: no turns", *notes])
    parts = [f"{len(turns)} {'turn' if len(turns) == 1 else 'turns'}", _spoken(conversation)]
    if conversation.labels:
        parts.append(f"emotion shifts: {sum(bool(turn.shift) for turn in turns)}")
    if codes := Counter(turn.error.code for turn in turns if turn.error is not None):
        kinds = first_few([f"{code} {count}" for code, count in codes.most_common()])
        parts.append(f"turns without a prediction: {codes.total()} ({kinds})")
    return "\n".join([f"{name}: {', '.join(parts)}", *notes, *_shares(conversation)])


def _spoken(conversation: Conversation) -> str:
    spoken = f"{_seconds(conversation.turns):.1f} s of speech"
    return spoken if conversation.seconds is None else f"{spoken} in {conversation.seconds:.1f} s"


def _shares(conversation: Conversation) -> list[str]:
    """Return a line for each speaker, and one for all where there are several."""
    of_speaker: dict[str, list[PredictedTurn]] = {}
    for turn in conversation.turns:
        of_speaker.setdefault(turn.turn.speaker or _UNKNOWN, []).append(turn)
    groups: list[tuple[str, Sequence[PredictedTurn]]] = list(of_speaker.items())
    if len(groups) > 1:
        groups = [(_EVERYONE, conversation.turns), *groups]
    elif _UNKNOWN in of_speaker:
        groups = [(_EVERYONE, conversation.turns)]
    width = max(len(name) for name, _ in groups)
    return [
        f"  {name:<{width}} {_seconds(turns):8.1f} s  {_emotions(conversation, turns)}"
        for name, turns in groups
    ]


def _emotions(conversation: Conversation, turns: Sequence[PredictedTurn]) -> str:
    """Return the share of time of each label, or the mean of each number, weighted by time."""
    if not conversation.labels:
        valid = [turn for turn in turns if turn.prediction is not None]
        seconds = _seconds(valid)
        return ", ".join(
            f"{axis} {sum(turn.values[axis] * _length(turn) for turn in valid) / seconds:.2f}"
            for axis in conversation.axes
            if valid
        )
    shares: Counter[str] = Counter()
    for turn in turns:
        shares[turn.label or "no prediction"] += _length(turn)  # type: ignore[assignment]
    total = _seconds(turns)
    return ", ".join(f"{label} {time / total:.0%}" for label, time in shares.most_common())


def _length(turn: PredictedTurn) -> float:
    return float(turn.turn.end - turn.turn.start)


def _seconds(turns: Sequence[PredictedTurn]) -> float:
    return sum(map(_length, turns))
