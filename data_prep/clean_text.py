"""Text as corpora ship it -> text as tokenisers expect it: mojibake mended, ASCII punctuation."""

from __future__ import annotations

import ftfy

# What ftfy leaves after it has mended encodings and straightened curly quotes.
_TO_ASCII = str.maketrans(
    {
        "\u2010": "-",  # hyphen
        "\u2011": "-",  # non-breaking hyphen
        "\u2012": "-",  # figure dash
        "\u2013": "-",  # en dash
        "\u2014": "--",  # em dash
        "\u2015": "--",  # horizontal bar
        "\u2212": "-",  # minus
        "\u2026": "...",
        "\u2032": "'",  # prime
        "\u2033": '"',  # double prime
        "\u00ad": "",  # soft hyphen: a line break the page once had
        "\u200b": "",  # zero-width space
        "\ufeff": "",  # byte order mark
    }
)


def normalise_text(text: str) -> str:
    """Mend mojibake, make quotes, dashes and ellipses ASCII, and single every run of spaces.

    >>> normalise_text("Iâ€™m \u2014 well\u2026  fianc\u00c3\u00a9e")
    "I'm -- well... fiancée"
    """
    return " ".join(ftfy.fix_text(text).translate(_TO_ASCII).split())
