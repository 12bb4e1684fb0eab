"""A tokenizer of the toy corpus's words: ``python -m examples.vad_forest.toy_tokenizer FOLDER``.

One that is fitted on the train split has seen the rows that a fold tests, and is refused there.
This one has the words that sentences are made of, and no sentence. A pretrained encoder brings
its own.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from data_prep.corpora.toy import (
    NEGATIVE,
    PLAIN,
    POSITIVE,
    TEMPLATES,
    TIMES,
    TOPICS,
)

_FIRST, _LAST, _PAD, _UNKNOWN = SPECIALS = ("[CLS]", "[SEP]", "[PAD]", "[UNK]")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.vad_forest.toy_tokenizer")
    parser.description = __doc__
    parser.add_argument("folder", type=Path, help="of a Hugging Face tokenizer, to be written")
    write_tokenizer(parser.parse_args(arguments).folder)


def write_tokenizer(folder: Path) -> None:
    """Write the tokenizer, in lower case, one id a word."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    sources = (*POSITIVE, *NEGATIVE, *PLAIN, *TOPICS, *TIMES, *TEMPLATES, "and .")
    words = sorted({word for text in sources for word in re.findall(r"\w+|[.,]", text.lower())})
    ids = {word: number for number, word in enumerate([*SPECIALS, *words])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=_UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_FIRST} $A {_LAST}", special_tokens=[(name, ids[name]) for name in SPECIALS[:2]]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token=_FIRST,
        sep_token=_LAST,
        pad_token=_PAD,
        unk_token=_UNKNOWN,
    ).save_pretrained(folder)


if __name__ == "__main__":
    main()
