"""Word error rate of the transcript of a recording, by jiwer.

    WER = (substituted + deleted + inserted words) / words of the reference

The texts of all turns, in order of their starts, are one text on either side. A predicted turn that
mostly overlaps a reference turn without a text is left out: its words are not known.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np

from emo_fairseq.evaluation.recordings import EmotionTurn, RecordingTurns, overlaps

_JOINS = "-\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{EM DASH}/"  # between words, unlike an apostrophe


def has_text(turns: Sequence[EmotionTurn]) -> bool:
    """Return whether any turn has a text."""
    return any(turn.turn.text for turn in turns)


def normalized_words(text: str) -> list[str]:
    """Return the words of a text as they are compared.

    Unicode NFKC, lower case; dashes and slashes divide words; all other punctuation is removed.
    Numbers stay as they are written, and contractions are not expanded.

    >>> normalized_words("Don't — it's a well-known No. 5!")
    ['dont', 'its', 'a', 'well', 'known', 'no', '5']

    Raises:
        ImportError: jiwer is not installed.
    """
    import jiwer

    text = unicodedata.normalize("NFKC", text).translate(dict.fromkeys(map(ord, _JOINS), " "))
    changes = jiwer.Compose([jiwer.ToLowerCase(), jiwer.RemovePunctuation()])
    return str(changes(text)).split()


def word_error_rows(recording: RecordingTurns) -> np.ndarray:
    """Return the errors in the text of each reference turn.

    An inserted word counts for the turn of the reference word before it.

    Returns:
        (N, 2) float64: errors, reference words.

    Raises:
        ImportError: jiwer is not installed.
    """
    import jiwer

    words, owner = [], []
    rows = np.zeros((len(recording.reference), 2))
    for number, turn in enumerate(recording.reference):
        of_turn = normalized_words(turn.turn.text or "")
        words += of_turn
        owner += [number] * len(of_turn)
        rows[number, 1] = len(of_turn)
    predicted = [
        word
        for turn in compared_predictions(recording)
        for word in normalized_words(turn.turn.text or "")
    ]
    if not words or not predicted:
        first = owner[0] if owner else 0
        np.add.at(rows[:, 0], owner, 1.0)
        rows[first, 0] += len(predicted)
        return rows
    aligned = jiwer.process_words(" ".join(words), " ".join(predicted))
    for chunk in aligned.alignments[0]:
        if chunk.type == "insert":
            before = owner[max(0, chunk.ref_start_idx - 1)]
            rows[before, 0] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            np.add.at(rows[:, 0], owner[chunk.ref_start_idx : chunk.ref_end_idx], 1.0)
    return rows


def compared_predictions(recording: RecordingTurns) -> list[EmotionTurn]:
    """Return the predicted turns whose text is compared with the reference's.

    Those that overlap a reference turn with a text most, or none at all.
    """
    longest: dict[int, tuple[float, bool]] = {}  # by number of the predicted turn
    for i, j, seconds in overlaps(recording.reference, recording.hypothesis):
        known = bool(recording.reference[i].turn.text)
        longest[j] = max(longest.get(j, (0.0, True)), (seconds, known))
    return [turn for j, turn in enumerate(recording.hypothesis) if longest.get(j, (0.0, True))[1]]
