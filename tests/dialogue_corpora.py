"""A small text corpus of dialogues whose emotions are those of the turn before, and its models."""

from pathlib import Path

import numpy as np

from data_prep.commands.tokenize_text import tokenize_with_sentencepiece
from data_prep.schema import Corpus, Utterance, write_corpus

LABELS = ("joy", "anger", "sadness")
WORDS = ("red", "green", "blue")
WINDOW = 5  # shorter than most dialogues
SPEAKERS = 4
# A text encoder and a dialogue encoder that learn this in seconds.
TINY_DIALOGUE = f"""--modality text --text-embed-dim 16 --text-ffn-embed-dim 16
    --text-attention-heads 2 --text-encoder-layers 1 --embedding-dim 16 --dialogue-encoder gru
    --dialogue-embed-dim 16 --dialogue-window {WINDOW}"""


def write_dialogues(folder: Path, sizes: tuple[int, int, int] = (24, 6, 6)) -> Path:
    """Write a data dir with these numbers of dialogues in train, valid and test.

    The first turn of a dialogue has the emotion of its own word, any other turn that of the word
    before. A tenth of the train rows has no emotion; one row of each split has no dialogue.
    """
    rng = np.random.default_rng(0)
    splits = {
        split: _rows(split, n_dialogues, rng)
        for split, n_dialogues in zip(("train", "valid", "test"), sizes, strict=True)
    }
    write_corpus(folder, Corpus("dialogues", labels={"emotion": LABELS}), splits)
    tokenize_with_sentencepiece(folder, vocab_size=280)
    return folder


def _rows(split: str, n_dialogues: int, rng: np.random.Generator) -> list[Utterance]:
    rows = [Utterance(f"{split}_alone", text="the red one", emotion="joy", valence=0.0)]
    for number in range(n_dialogues):
        words = rng.integers(3, size=rng.integers(2, 13))
        speakers = rng.choice(SPEAKERS, 2, replace=False)
        for turn, word in enumerate(words):
            emotion = int(words[max(turn - 1, 0)])
            is_labeled = split != "train" or rng.random() < 0.9
            rows.append(
                Utterance(
                    f"{split}_{number}_{turn}",
                    text=f"the {WORDS[word]} one",
                    speaker=f"speaker{speakers[turn % 2]}",
                    dialogue=f"{split}_{number}",
                    turn=turn,
                    emotion=LABELS[emotion] if is_labeled else None,
                    votes=f"{LABELS[emotion]}:2 {LABELS[emotion - 1]}:1" if is_labeled else None,
                    valence=emotion / 2 if is_labeled else None,
                    arousal=0.5 if is_labeled else None,
                    dominance=1 - emotion / 2 if is_labeled else None,
                )
            )
    return rows
