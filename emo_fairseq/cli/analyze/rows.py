"""``NAME.csv`` and ``NAME.jsonl``: a row for each turn of one recording."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from data_prep.segmentation.turn import plain_decimal
from emo_fairseq.evaluation.predictions import PREDICTION_OF, PROBABILITY
from emo_fairseq.inference.conversation import Conversation, PredictedTurn


def columns_of(conversation: Conversation) -> list[str]:
    """Return the columns of the table; ``start`` and ``end`` are in seconds.

    There is one of channels where turns are on channels of their own.
    """
    channels = ["channel"] * any(turn.turn.channel for turn in conversation.turns)
    return (
        ["recording", "start", "end", "speaker", *channels, "text", "emotion", "confidence"]
        + [f"{PROBABILITY}{label}" for label in conversation.labels]
        + [f"{PREDICTION_OF}{axis}" for axis in conversation.axes]
        + ["shift", "truncated", "warning", "error"]
    )


def as_csv(conversation: Conversation) -> str:
    """Return the table; what is not known is an empty cell."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns_of(conversation), lineterminator="\n", restval="")
    writer.writeheader()
    for turn in conversation.turns:
        writer.writerow(_cells(conversation.recording, turn))
    return out.getvalue()


def _cells(recording: str, turn: PredictedTurn) -> dict[str, str]:
    document = turn.to_document()
    probabilities, values = document["probabilities"], document["values"]
    channel = document["channel"]
    return {
        "recording": recording,
        "start": plain_decimal(turn.turn.start),
        "end": plain_decimal(turn.turn.end),
        "speaker": document["speaker"] or "",
        **({} if channel is None else {"channel": str(channel)}),
        "text": document["text"] or "",
        "emotion": document["label"] or "",
        "confidence": _number(document["confidence"]),
        **{f"{PROBABILITY}{label}": _number(value) for label, value in probabilities.items()},
        **{f"{PREDICTION_OF}{axis}": _number(value) for axis, value in values.items()},
        "shift": "" if turn.shift is None else str(int(turn.shift)),
        "truncated": _joined(document["truncations"]),
        "warning": _joined(document["warnings"]),
        "error": document["error"] or "",
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _joined(sentences: Sequence[str]) -> str:
    return "; ".join(sentences)


def as_jsonl(conversation: Conversation) -> str:
    """Return a line of JSON for each turn."""
    return "".join(
        f"{json.dumps(_object(conversation.recording, turn), ensure_ascii=False)}\n"
        for turn in conversation.turns
    )


def _object(recording: str, turn: PredictedTurn) -> dict[str, Any]:
    document = turn.to_document()
    first = {name: document.pop(name) for name in ("start", "end", "speaker", "channel", "text")}
    if first["channel"] is None:
        del first["channel"]
    return {"recording": recording, **first, "emotion": document.pop("label"), **document}
