import pytest

from data_prep.manifest.cells import normalize_text


@pytest.mark.parametrize(
    ("shipped", "expected"),
    [
        ('plain, "quoted" text -- isn\'t it?', 'plain, "quoted" text -- isn\'t it?'),
        ("Oh my God, he\u2019s lost it.", "Oh my God, he's lost it."),
        ("\u2018Kay look", "'Kay look"),
        ("\u201cAww\u201d so\u2026 yes", '"Aww" so... yes'),
        ("You have to\u2014you-you go", "You have to--you-you go"),
        ("the countdown \u2013 I", "the countdown - I"),
        ("don\x92t", "don't"),  # a cp1252 byte read as Latin-1
        ("isn\u00e2\u20ac\u2122t", "isn't"),  # UTF-8 read as cp1252
        ("It\u00c2\x92s", "It's"),  # U+0092 in UTF-8, read as Latin-1
        ("fianc\u00c3\u00a9e", "fianc\u00e9e"),
        ("Nestl\u00e9 Toll House?", "Nestl\u00e9 Toll House?"),
        ("unforget\u00adtable", "unforgettable"),
        ("  a\u00a0 b\u2002c\t\nd ", "a b c d"),
        ("one\x0btwo\x1cthree\x0cfour", "one two three four"),
        ("E\u266d is the tonal center", "E\u266d is the tonal center"),
        (" \u200b ", ""),
    ],
)
def test_text_as_shipped_becomes_text_as_expected(shipped: str, expected: str) -> None:
    assert normalize_text(shipped) == expected
    assert normalize_text(expected) == expected
