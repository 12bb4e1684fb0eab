"""``NAME.audformat``: an audformat database with a segmented table of the turns.

A table of audformat has every part of a recording once. Of turns with the same times, such as two
voices of one cue, the second is in the table ``emotion-2``.
"""

import importlib
import importlib.util
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.conversation import Conversation, PredictedTurn

logger = logging.getLogger(__name__)

TABLE = "emotion"


def check_installed() -> None:
    """Raise a `UsageError` if the library audformat is not installed."""
    if importlib.util.find_spec("audformat") is None:
        raise UsageError(
            '--formats audformat: needs the library audformat: `pip install -e ".[audformat]"`',
            "library-missing",
        )


def save_database(conversation: Conversation, folder: Path) -> None:
    """Write the database."""
    audformat: Any = importlib.import_module("audformat")
    database = audformat.Database(
        "conversation",
        usage=audformat.define.Usage.UNRESTRICTED,
        description=f"Predicted emotions of the turns of {conversation.recording}",
    )
    for name, turns in _tables(conversation).items():
        _add_table(database, name, turns, conversation)
    database.save(str(folder))


def _tables(conversation: Conversation) -> dict[str, list[PredictedTurn]]:
    """Return the turns of each table: of turns with the same times one in each."""
    seen: Counter[tuple[str, str]] = Counter()
    tables: dict[str, list[PredictedTurn]] = {}
    for turn in conversation.turns:
        times = f"{turn.turn.start:f}", f"{turn.turn.end:f}"
        seen[times] += 1
        name = TABLE if seen[times] == 1 else f"{TABLE}-{seen[times]}"
        tables.setdefault(name, []).append(turn)
    if n_more := sum(len(turns) for name, turns in tables.items() if name != TABLE):
        logger.warning(
            "%s: %d turns have the times of another one, which a table of audformat cannot have; "
            "they are in %s",
            conversation.recording,
            n_more,
            " and ".join(name for name in tables if name != TABLE),
        )
    return tables or {TABLE: []}


def _add_table(
    database: Any, name: str, turns: Sequence[PredictedTurn], conversation: Conversation
) -> None:
    audformat: Any = importlib.import_module("audformat")
    index = audformat.segmented_index(
        [conversation.recording] * len(turns),
        [f"{turn.turn.start:f}s" for turn in turns],
        [f"{turn.turn.end:f}s" for turn in turns],
    )
    table = database[name] = audformat.Table(index)
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
    for column, (scheme, values) in columns.items():
        if column not in database.schemes:
            database.schemes[column] = scheme
        table[column] = audformat.Column(scheme_id=column)
        table[column].set(values)
