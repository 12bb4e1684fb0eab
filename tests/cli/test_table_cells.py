"""Cells of every kind: preparing, validating and predicting give the same verdict on a row."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.validate import validate
from data_prep.manifest.cells import (
    MAX_ID_BYTES,
    MAX_TEXT,
)
from data_prep.schema import REQUIRED_COLUMNS, Corpus, Utterance, read_manifest, write_corpus
from data_prep.tables.prepare import prepare_table
from data_prep.tables.published import make_plan, prepare_hf_table
from data_prep.tables.reader import open_table
from data_prep.tables.recipe import TableRecipe
from emo_fairseq.cli.predict.columns import TableOptions
from emo_fairseq.cli.predict.items import Item, Reads
from emo_fairseq.cli.predict.tables import TableSource
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.inputs import ItemReader

FIRST = ("r\u00e9al", "the first row")  # which is good
RECIPE = TableRecipe("cells", columns={"id": "id", "text": "text"})
NOTHING = "neither text"  # nor what else the command reads

# kind: (id, text) of a row, and the text that is read, or what a refusal of the row contains.
ACCEPTED: dict[str, tuple[str, str, str]] = {
    "plain": ("a", "hello", "hello"),
    "quotes": ("a", 'He said "no", twice', 'He said "no", twice'),
    "begins with a quote": ("a", '"Yes" and "no"', '"Yes" and "no"'),
    "in quotes": ("a", '"Yes"', '"Yes"'),
    "one quote": ("a", '"', '"'),
    "delimiters": ("a", "one, two; three", "one, two; three"),
    "tab": ("a", "one\ttwo", "one two"),
    "line break": ("a", "one\ntwo", "one two"),
    "line breaks of Windows": ("a", "one\r\n\r\ntwo", "one two"),
    "Unicode's line separator": ("a", "one\u2028two", "one two"),
    "many characters": ("a", "word " * 40_000 + "end", "word " * 40_000 + "end"),
    "as many as may be": ("a", "x" * MAX_TEXT, "x" * MAX_TEXT),
    "the word None": ("a", "None", "None"),
    "the word nan": ("a", "nan", "nan"),
    "the word NA": ("a", "NA", "NA"),
    "a digit": ("a", "0", "0"),
    "formula": ("a", "=1+1", "=1+1"),
    "emoji": ("a", "fine \U0001f469\u200d\U0001f680", "fine \U0001f469\u200d\U0001f680"),
    "zero width in a text": ("a", "hap\u200bpy", "hap\u200bpy"),
    "right to left in a text": ("a", "\u202eabc", "\u202eabc"),
    "id in folders": ("a/b-c_1.wav", "hello", "hello"),
    "id with a space": ("a b", "hello", "hello"),
    "longest id": ("x" * MAX_ID_BYTES, "hello", "hello"),
}
REFUSED: dict[str, tuple[str, str, str]] = {
    "too many characters": ("a", "x" * (MAX_TEXT + 1), "characters"),
    "NUL in a text": ("a", "he\0llo", "U+0000"),
    "bell in a text": ("a", "he\allo", "U+0007"),
    "C1 control in a text": ("a", "don\x92t", "U+0092"),
    "empty text": ("a", "", NOTHING),
    "blank text": ("a", "   ", NOTHING),
    "text of zero width": ("a", "\u200b\ufeff", NOTHING),
    "text of a hard space": ("a", "\u00a0", NOTHING),
    "NUL in an id": ("a\0b", "hello", "U+0000"),
    "line break in an id": ("a\nb", "hello", "U+000A"),
    "zero width in an id": ("a\u200bb", "hello", "U+200B ZERO WIDTH SPACE"),
    "byte order mark in an id": ("a\ufeffb", "hello", "U+FEFF"),
    "right to left in an id": ("a\u202eb", "hello", "U+202E RIGHT-TO-LEFT OVERRIDE"),
    "hard space in an id": ("a\u00a0b", "hello", "space of another kind"),
    "id begins with a space": (" a", "hello", "begins or ends with a space"),
    "id ends with a space": ("a ", "hello", "begins or ends with a space"),
    "id leads out": ("../../x", "hello", "no relative path"),
    "id leads out later": ("a/../../x", "hello", "no relative path"),
    "absolute id": ("/tmp/x", "hello", "no relative path"),
    "id with a backslash": ("a\\b", "hello", "backslash"),
    "long id": ("x" * 304, "hello", "304 bytes"),
    "long id of many bytes": ("\u00e9" * 101, "hello", "202 bytes"),
    "id twice": (FIRST[0], "hello", "was used in"),
    "id twice, composed otherwise": ("re\u0301al", "hello", "was used in"),
}
# The fault of a blank text in validate; in tables it is an empty cell.
BLANK = dict.fromkeys(("blank text", "text of a hard space", "text of zero width"), "text is blank")

Verdict = tuple[str, str]  # "accepted" and the text, or "refused" and why


def of_table(path: Path, out: Path, row_id: str) -> Verdict:
    return of_preparation(lambda: prepare_table({"train": path}, out, RECIPE), out, row_id)


def of_hf_table(path: Path, out: Path, row_id: str) -> Verdict:
    return of_preparation(
        lambda: prepare_published(path, out, TableRecipe("cells", {})), out, row_id
    )


def prepare_published(path: Path, out: Path, recipe: TableRecipe) -> Corpus:
    sources = {"train": [open_table(path)]}
    return prepare_hf_table(sources, out, *make_plan(sources, recipe))


def of_preparation(prepare: Callable[[], Corpus], out: Path, row_id: str) -> Verdict:
    try:
        corpus = prepare()
    except ValueError as error:
        assert not (out / "train.tsv").exists()
        return "refused", str(error)
    assert validate(out) == [], "what was accepted has no fault"
    texts = {row.id: row.text or "" for row in read_manifest(out / "train.tsv")}
    if row_id in texts:
        return "accepted", texts[row_id]
    (dropped,) = corpus.dropped
    return "refused", dropped.reason


def items_of(path: Path, *modalities: str) -> list[Item]:
    return list(TableSource(path, TableOptions()).items(Reads(modalities)))


def of_prediction(path: Path, row_id: str) -> Verdict:
    first, item = items_of(path, "text")
    assert (first.name, first.text) == FIRST, "the other row is answered"
    if item.error is not None:
        return "refused", str(item.error)
    assert item.name == row_id
    try:
        return "accepted", ItemReader(("text",), False).read(item.name, None, item.text).text or ""
    except UsageError as error:
        return "refused", str(error)


def of_validation(folder: Path, row_id: str, text: str) -> Verdict:
    """Of a manifest that was written by hand."""
    rows = [Utterance(FIRST[0], text=FIRST[1]), Utterance("other", text="a row")]
    write_corpus(folder, Corpus("cells"), {"train": rows})
    place = folder / "train.tsv"
    header, first, _ = place.read_text(encoding="utf-8").splitlines()
    cells = {"id": row_id, "text": text}
    row = "\t".join(cells.get(name, "") for name in REQUIRED_COLUMNS)
    place.write_text("\n".join([header, first, row, ""]), encoding="utf-8", newline="")
    if faults := validate(folder):
        return "refused", str(faults[0])
    return "accepted", read_manifest(place)[1].text or ""


def write_delimited(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        csv.writer(file, delimiter=delimiter).writerows([("id", "text"), *rows])


def write_jsonl(path: Path, rows: list[tuple[str, str]]) -> None:
    lines = (json.dumps({"id": row_id, "text": text}) for row_id, text in rows)
    path.write_text("\n".join(lines), encoding="utf-8")


def write_parquet(path: Path, rows: list[tuple[str, str]]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        pyarrow.table({"id": [i for i, _ in rows], "text": [text for _, text in rows]}), path
    )


WRITERS = {
    ".csv": write_delimited,
    ".tsv": write_delimited,
    ".jsonl": write_jsonl,
    ".parquet": write_parquet,
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("kind", [*ACCEPTED, *REFUSED])
def test_a_cell_means_the_same_to_every_command(kind: str, suffix: str, tmp_path: Path) -> None:
    row_id, text, expected = ACCEPTED.get(kind) or REFUSED[kind]
    table = tmp_path / f"t{suffix}"
    WRITERS[suffix](table, [FIRST, (row_id, text)])
    verdicts = {
        "table": of_table(table, tmp_path / "table", row_id),
        "hf_table": of_hf_table(table, tmp_path / "hf", row_id),
        "predict": of_prediction(table, row_id),
    }
    for command, (verdict, content) in verdicts.items():
        assert verdict == ("accepted" if kind in ACCEPTED else "refused"), (command, content[:200])
        if kind in ACCEPTED:
            assert content == expected, command
        else:
            assert expected in content, command


@pytest.mark.parametrize("kind", [*ACCEPTED, *REFUSED])
def test_a_manifest_written_by_hand_gets_the_same_verdict(kind: str, tmp_path: Path) -> None:
    row_id, text, expected = ACCEPTED.get(kind) or REFUSED[kind]
    if {"\t", "\n"} & set(row_id + text):
        pytest.skip("a manifest has no quoting, so that no cell holds tabs or line breaks")
    verdict, content = of_validation(tmp_path, row_id, text)
    if kind == "Unicode's line separator":  # which a table has as a space, and a manifest not
        assert (verdict, "U+2028" in content) == ("refused", True)
        return
    assert verdict == ("accepted" if kind in ACCEPTED else "refused"), content[:200]
    assert content == expected if kind in ACCEPTED else BLANK.get(kind, expected) in content


# kind: suffix, bytes of the table, and the text of the second row, or what its refusal contains.
# The first row is that of FIRST.
HEAD = "id,text\nr\u00e9al,the first row\n"
WRITTEN: dict[str, tuple[str, bytes, str]] = {
    "byte order mark": (".csv", f"\ufeff{HEAD}a,hello\n".encode(), "hello"),
    "UTF-16": (".csv", f"{HEAD}a,hello\n".encode("utf-16"), "hello"),
    "UTF-16, big end first": (".csv", f"\ufeff{HEAD}a,hello\n".encode("utf-16-be"), "hello"),
    "UTF-32": (".tsv", f"{HEAD}a,hello\n".replace(",", "\t").encode("utf-32"), "hello"),
    "UTF-16 of JSON": (
        ".jsonl",
        '{"id": "r\u00e9al", "text": "the first row"}\n{"id": "a", "text": "hello"}'.encode(
            "utf-16"
        ),
        "hello",
    ),
    "lines that end with \\r": (".csv", f"{HEAD}a,hello\n".replace("\n", "\r").encode(), "hello"),
    "lines that end with \\r\\n": (
        ".csv",
        f"{HEAD}a,hello\n".replace("\n", "\r\n").encode(),
        "hello",
    ),
    "no last line end": (".csv", f"{HEAD}a,hello".encode(), "hello"),
    "empty lines": (".csv", f"\n{HEAD}\n\na,hello\n\n".encode(), "hello"),
    "quotes inside a cell": (".csv", f'{HEAD}a,so "you" say\n'.encode(), 'so "you" say'),
    "quotes inside a cell of TSV": (
        ".tsv",
        f'{HEAD}a,so "you" say\n'.replace(",", "\t").encode(),
        'so "you" say',
    ),
    "quoted cells of TSV": (
        ".tsv",
        f'{HEAD}"a","so ""you"" say"\n'.replace(",", "\t").encode(),
        'so "you" say',
    ),
    "pandas' index": (".csv", ",id,text\n0,r\u00e9al,the first row\n1,a,hello\n".encode(), "hello"),
}
MALFORMED: dict[str, tuple[str, bytes, str]] = {
    "Latin-1": (".csv", HEAD.encode() + "a,caf\u00e9\n".encode("latin-1"), "not UTF-8"),
    "text after a closing quote": (
        ".csv",
        f'{HEAD}a,"Yes" and "no"\n'.encode(),
        "text after a closing quote",
    ),
    "text after a closing quote of TSV": (
        ".tsv",
        f'{HEAD}a,"Yes" and "no"\n'.replace(",", "\t").encode(),
        "text after a closing quote",
    ),
    "open quote": (".csv", f'{HEAD}a,"hello\nb,bye\n'.encode(), "never closed, up to row 4"),
    "too few fields": (".csv", f"{HEAD}a\n".encode(), "1 fields where the header has 2"),
    "too many fields": (".csv", f"{HEAD}a,b,c\n".encode(), "3 fields where the header has 2"),
}
JSON_HEAD = '{"id": "r\u00e9al", "text": "the first row"}\n'
MALFORMED |= {
    kind: (".jsonl", f"{JSON_HEAD}{line}\n".encode(), because)
    for kind, line, because in (
        ("no JSON", "{oops", "not JSON"),
        ("list", '["a", "hello"]', "not a JSON object"),
        ("key twice", '{"id": "a", "text": "x", "text": "y"}', "text is there twice"),
        ("NaN", '{"id": "a", "text": NaN}', "text is nan, which is no finite number"),
        ("number as text", '{"id": "a", "text": 3}', "holds 3, a number and no text"),
        ("list as text", '{"id": "a", "text": ["x"]}', "holds a list"),
        ("object as id", '{"id": {"a": 1}, "text": "x"}', "holds an object"),
        ("null", '{"id": "a", "text": null}', NOTHING),
        (
            "deep",
            '{"id": "a", "text": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "nested deeper than 64",
        ),
        ("half a surrogate pair", r'{"id": "a", "text": "x\ud800"}', "U+D800"),
        ("half a surrogate pair in an id", r'{"id": "a\ud800", "text": "x"}', "U+D800"),
    )
}


@pytest.mark.parametrize("kind", [*WRITTEN, *MALFORMED])
def test_a_table_as_it_was_written_means_the_same_to_every_command(
    kind: str, tmp_path: Path
) -> None:
    suffix, content, expected = WRITTEN.get(kind) or MALFORMED[kind]
    table = tmp_path / f"t{suffix}"
    table.write_bytes(content)
    verdicts = (
        of_table(table, tmp_path / "table", "a"),
        of_hf_table(table, tmp_path / "hf", "a"),
        of_prediction(table, "a"),
    )
    for verdict, printed in verdicts:
        if kind in WRITTEN:
            assert (verdict, printed) == ("accepted", expected)
        else:
            assert verdict == "refused", printed
            assert expected in printed


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("t.csv", b"", "rows-missing"),
        ("t.csv", b"id,text\n", "rows-missing"),
        ("t.csv", b"id,text,text\na,b,c\n", "column-repeated"),
        ("t.csv", b"id,text, \na,b,c\n", "column-unnamed"),
        ("t.csv", "id,text\n".encode("utf-16") + b"\0\xd8", "encoding-invalid"),
        ("t.jsonl", b"", "rows-missing"),
        ("t.parquet", b"no Parquet", "parquet-invalid"),
        ("t.parquet", b"", "parquet-invalid"),
        ("gone.csv", None, "table-unreadable"),
    ],
)
def test_what_is_no_table_is_refused_by_every_command(
    name: str, content: bytes | None, code: str, tmp_path: Path
) -> None:
    table = tmp_path / name
    if content is not None:
        table.write_bytes(content)
    prepare = (
        lambda: prepare_table({"train": table}, tmp_path / "out", RECIPE),
        lambda: prepare_published(table, tmp_path / "out", RECIPE),
        lambda: items_of(table, "text", "speech"),
    )
    for command in prepare:
        with raises(code) as error:
            command()
        assert name in str(error.value)


def test_json_lines_none_of_which_can_be_read(tmp_path: Path) -> None:
    """They name no columns, which is not what is wrong with them."""
    table = tmp_path / "t.jsonl"
    table.write_text("{oops\n[1]\n")
    for prepare in (
        lambda: prepare_table({"train": table}, tmp_path / "out", RECIPE),
        lambda: prepare_published(table, tmp_path / "out", RECIPE),
    ):
        with raises("json-invalid"):
            prepare()
    errors = [str(item.error) for item in items_of(table, "text", "speech")]
    assert ["not JSON (" in errors[0], "not a JSON object" in errors[1]] == [True, True]
