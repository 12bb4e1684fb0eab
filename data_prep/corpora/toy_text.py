"""The toy corpus's sentences: a cue word of known polarity in a frame that says nothing of it.

Topic, time and frame are drawn without regard to the cue, and no word is in two lists: a reader of
the sentence knows the cue exactly, and nothing beyond it.
"""

from __future__ import annotations

from data_prep.corpora.toy_voice import Rng

POSITIVE = (
    *("wonderful", "lovely", "great", "delightful", "brilliant", "charming"),
    *("pleasant", "superb", "excellent", "sweet"),
)
NEGATIVE = (
    *("awful", "terrible", "horrible", "dreadful", "hopeless", "nasty"),
    *("miserable", "rotten", "lousy", "bitter"),
)
PLAIN = ("ordinary", "usual", "average", "typical")
TOPICS = (
    *("trip", "dinner", "meeting", "party", "letter", "concert", "garden", "lesson"),
    *("weekend", "news", "house", "film"),
)
TIMES = ("today", "yesterday", "this morning", "last night", "again", "after all")
TEMPLATES = (
    "the {topic} was {cue} {time}",
    "{time} I thought the {topic} was {cue}",
    "they told me that the {topic} had been {cue}",
    "well the {topic} turned out {cue} {time}",
    "you know what, the {topic} is {cue}",
    "so {time} we had a really {cue} {topic}",
    "my sister said it was one {cue} {topic}",
    "I have never seen so {cue} a {topic}",
)


def write_sentence(cue: bool | None, rng: Rng) -> str:
    """A sentence with that cue; an ambiguous one has a plain word, or one cue of each kind."""
    if cue is None:
        pair = rng.permutation([rng.choice(POSITIVE), rng.choice(NEGATIVE)])
        word = str(rng.choice(PLAIN)) if rng.uniform() < 0.5 else " and ".join(pair)
    else:
        word = str(rng.choice(POSITIVE if cue else NEGATIVE))
    template = str(rng.choice(TEMPLATES))
    sentence = template.format(cue=word, topic=rng.choice(TOPICS), time=rng.choice(TIMES))
    return sentence[0].upper() + sentence[1:] + "."
