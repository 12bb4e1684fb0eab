"""``NAME.audformat``: an audformat database with one segmented table of the turns."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.conversation import Conversation

TABLE = "emotion"


def check_installed() -> None:
    """Raise a `UsageError` if the library audformat is not installed."""
    if importlib.util.find_spec("audformat") is None:
        raise UsageError(
            '--formats audformat: needs the library audformat: `pip install -e ".[audformat]"`',
            "library-missing",
        )


def save_database(conversation: Conversation, folder: Path) -> None:
    """Write the database.

    Args:
        conversation: whose turns are the rows; the file of their index is the name of the
            recording.
        folder: of the database.
    """
    audformat: Any = importlib.import_module("audformat")
    database = audformat.Database(
        "conversation",
        usage=audformat.define.Usage.UNRESTRICTED,
        description=f"Predicted emotions of the turns of {conversation.recording}",
    )
    turns = conversation.turns
    index = audformat.segmented_index(
        [conversation.recording] * len(turns),
        [f"{turn.turn.start:f}s" for turn in turns],
        [f"{turn.turn.end:f}s" for turn in turns],
    )
    table = database[TABLE] = audformat.Table(index)
    columns: dict[str, tuple[Any, list[Any]]] = {
        "speaker": (audformat.Scheme("str"), [turn.turn.speaker for turn in turns]),
        "text": (audformat.Scheme("str"), [turn.text for turn in turns]),
    }
    if conversation.labels:
        labels = audformat.Scheme(labels=list(conversation.labels))
        columns["emotion"] = labels, [turn.label for turn in turns]
        share = audformat.Scheme("float", minimum=0, maximum=1)
        columns["confidence"] = share, [turn.confidence for turn in turns]
        columns["shift"] = audformat.Scheme("bool"), [turn.shift for turn in turns]
    for axis in conversation.axes:
        columns[axis] = audformat.Scheme("float"), [turn.values.get(axis) for turn in turns]
    for name, (scheme, values) in columns.items():
        database.schemes[name] = scheme
        table[name] = audformat.Column(scheme_id=name)
        table[name].set(values)
    database.save(str(folder))
