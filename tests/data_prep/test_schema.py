import math
import pickle
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from codes import raises
from document_mutations import mutations

from data_prep.errors import ManifestError
from data_prep.manifest.columns import column_help
from data_prep.schema import (
    AXES,
    KNOWN_COLUMNS,
    REQUIRED_COLUMNS,
    Corpus,
    DroppedRow,
    Utterance,
    read_corpus,
    read_manifest,
    scale_vad,
    unscale_vad,
    write_corpus,
    write_manifest,
)

HEADER = "\t".join(REQUIRED_COLUMNS)
FULL = Utterance(
    id="u1",
    audio="a/u1.wav",
    n_samples=16001,
    text="Hello, \u201cthere\u201d caf\u00e9",
    speaker="s1",
    session="1",
    dialogue="d1",
    turn=0,
    emotion="happy",
    sentiment="positive",
    valence=0.1,
    arousal=1 / 3,
    dominance=1.0,
    sentiment_score=-2.4,
    corpus="theirs",
    extra={"intensity": "strong"},
)


def manifest(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "train.tsv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def row(**values: str) -> str:
    return "\t".join(values.get(name, "") for name in REQUIRED_COLUMNS)


def test_every_field_survives_the_round_trip(tmp_path: Path) -> None:
    rows = [FULL, Utterance("u2"), Utterance("u3", text="x", extra={"other": "7"})]
    write_manifest(tmp_path / "train.tsv", rows)
    assert read_manifest(tmp_path / "train.tsv") == rows


def test_header_is_the_contract(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a.tsv", [Utterance("u1", text="x")])
    assert (tmp_path / "a.tsv").read_text().splitlines()[0] == (
        "id\taudio\tn_samples\ttext\tspeaker\tsession\tdialogue\tturn\temotion\tsentiment"
        "\tvalence\tarousal\tdominance"
    )
    write_manifest(tmp_path / "b.tsv", [FULL])
    header = (tmp_path / "b.tsv").read_text(encoding="utf-8").splitlines()[0].split("\t")
    assert header == [*REQUIRED_COLUMNS, "sentiment_score", "corpus", "intensity"]


def test_missing_is_none_and_never_zero(tmp_path: Path) -> None:
    (found,) = read_manifest(manifest(tmp_path, row(id="u1")))
    assert found == Utterance("u1")
    assert found.valence is None
    assert found.n_samples is None
    assert found.text is None


def test_zero_is_not_missing(tmp_path: Path) -> None:
    zero = Utterance("u1", n_samples=0, turn=0, valence=0.0, arousal=0.0, dominance=0.0)
    write_manifest(tmp_path / "train.tsv", [zero])
    assert read_manifest(tmp_path / "train.tsv") == [zero]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\tb", "a b"),
        ("a \r\n\t b", "a b"),
        ("a\x0bb\x85c", "a b c"),
        ("a\u2028b\u2029c", "a b c"),
        ("two  spaces", "two  spaces"),
        ('"quoted", with commas', '"quoted", with commas'),
    ],
)
def test_line_breaks_in_text_become_single_spaces(tmp_path: Path, text: str, written: str) -> None:
    write_manifest(tmp_path / "train.tsv", [Utterance("u1", text=text), Utterance("u2")])
    assert [r.text for r in read_manifest(tmp_path / "train.tsv")] == [written, None]


@pytest.mark.parametrize("text", ["a\x00b", "a\x92b", "half \ud83d pair", "x" * 1_000_001])
def test_text_of_a_damaged_file_is_not_written(tmp_path: Path, text: str) -> None:
    with raises("cell-invalid"):
        write_manifest(tmp_path / "train.tsv", [Utterance("u1", text=text)])
    assert not (tmp_path / "train.tsv").exists()


def test_columns_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    names = list(reversed(REQUIRED_COLUMNS))
    values = {"id": "u1", "arousal": "0.25", "text": "hi"}
    path = manifest(
        tmp_path, "\t".join(values.get(name, "") for name in names), header="\t".join(names)
    )
    assert read_manifest(path) == [Utterance("u1", text="hi", arousal=0.25)]


def test_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n{row(id='u1', dominance='1')}\r\n".encode())
    assert read_manifest(path) == [Utterance("u1", dominance=1.0)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (row(id="u1", valence="nan"), r"row 3: valence is 'nan'; write a number from 0 to 1"),
        (row(id="u1", arousal="inf"), r"row 3: arousal is 'inf'"),
        (row(id="u1", dominance="high"), r"row 3: dominance is 'high'"),
        (row(id="u1", valence="0_1"), r"row 3: valence is '0_1'"),
        (row(id="u1", valence="3.0"), r"row 3: valence is '3.0'"),
        (row(id="u1", valence="-0.1"), r"row 3: valence is '-0.1'"),
        (row(id="u1", n_samples="-1"), r"row 3: n_samples is '-1'; write a whole number"),
        (row(id="u1", n_samples="1.5"), r"row 3: n_samples is '1.5'"),
        (row(id="u1", turn="first"), r"row 3: turn is 'first'"),
        (row(text="no id"), r"row 3: no id; give every utterance its own id"),
        (row(id="u0"), r"row 3: id 'u0' was used in row 2"),
        ("u1\tonly two", r"row 3: 2 fields where the header has 13; write one tab between"),
        ("", r"row 3: 1 fields"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = manifest(tmp_path, row(id="u0"), line)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}: row 3: ")


def test_non_finite_sentiment_score_is_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, row(id="u1") + "\tnan", header=HEADER + "\tsentiment_score")
    with raises("cell-invalid"):
        read_manifest(path)


def test_a_missing_column_is_named_with_those_found(tmp_path: Path) -> None:
    header = HEADER.replace("arousal\t", "")
    with raises("column-missing"):
        read_manifest(manifest(tmp_path, header=header))


def test_a_doubled_column_is_refused(tmp_path: Path) -> None:
    with raises("column-duplicate"):
        read_manifest(manifest(tmp_path, header=HEADER + "\ttext"))


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_manifest_has_no_columns(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train.tsv"
    path.write_bytes(content)
    with raises("column-missing"):
        read_manifest(path)


def test_absent_and_undecodable_manifests_are_named(tmp_path: Path) -> None:
    with raises("manifest-missing"):
        read_manifest(tmp_path / "gone.tsv")
    path = manifest(tmp_path, row(id="u1"))
    path.write_bytes(path.read_bytes() + b"caf\xe9")
    with raises("file-encoding"):
        read_manifest(path)


@pytest.mark.parametrize(
    "utterance",
    [
        Utterance("u1", valence=math.nan),
        Utterance("u1", arousal=1.5),
        Utterance("u1", sentiment_score=math.inf),
        Utterance("u1", n_samples=-1),
        Utterance("u1", speaker="a\tb"),
        Utterance("u1\n"),
        Utterance(""),
        Utterance("u0"),
        Utterance("u1", extra={"id": "x"}),
        Utterance("u1", extra={"a\tb": "x"}),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, utterance: Utterance) -> None:
    write_manifest(tmp_path / "train.tsv", [Utterance("before")])
    with pytest.raises(ManifestError):
        write_manifest(tmp_path / "train.tsv", [Utterance("u0"), utterance])
    assert [r.id for r in read_manifest(tmp_path / "train.tsv")] == ["before"]
    assert [p.name for p in tmp_path.iterdir()] == ["train.tsv"]


def test_utterances_pickle_and_hash() -> None:
    assert pickle.loads(pickle.dumps(FULL)) == FULL
    assert len({FULL, Utterance("u2"), Utterance("u2")}) == 2
    error = pickle.loads(pickle.dumps(ManifestError("train.tsv: row 3: no id; give it one")))
    assert str(error) == "train.tsv: row 3: no id; give it one"


def test_twenty_thousand_rows_are_read_in_less_than_a_second(tmp_path: Path) -> None:
    rows = [Utterance(f"u{i}", f"a/{i}.wav", i, "some words", valence=0.5) for i in range(20_000)]
    write_manifest(tmp_path / "train.tsv", rows)
    start = time.process_time()
    assert len(read_manifest(tmp_path / "train.tsv")) == 20_000
    assert time.process_time() - start < 2  # about 0.2 s


def test_vad_scale_and_its_inverse() -> None:
    assert [scale_vad(x, 1, 5) for x in (1, 2, 3, 5)] == [0.0, 0.25, 0.5, 1.0]
    assert scale_vad(7, 1, 7) == 1.0
    for x in (1.0, 2.4, 3.33, 5.0):
        assert unscale_vad(scale_vad(x, 1, 5), 1, 5) == pytest.approx(x)
    assert unscale_vad(1.25, 1, 5) == 6.0  # a prediction may leave the scale


@pytest.mark.parametrize("value", [0.9, 5.01, math.nan, math.inf])
def test_vad_outside_its_scale_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="outside the scale 1 to 5"):
        scale_vad(value, 1, 5)


def test_an_upside_down_vad_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="lower end first"):
        scale_vad(3, 5, 1)
    with pytest.raises(ValueError, match="lower end first"):
        unscale_vad(0.5, 5, 5)


def corpus() -> Corpus:
    return Corpus(
        "tiny",
        labels={"emotion": ("sad", "no", "happy")},
        vad={"source_scale": [1, 5], "mapping": "(x - 1) / 4"},
        disjoint=("speaker",),
        protocol="by hand",
        folds={"by": "speaker", "current": 0, "sets": [{"train": ["a"], "test": ["b"]}]},
        license="CC0",
        citation="Nobody (2024).",
        ceilings={"both": {"uar": 0.9}},
        notes=["a note: with a colon"],
        dropped=[DroppedRow("test", "u9", "no text"), DroppedRow("train", "u1", "cut", "audio")],
    )


def splits() -> dict[str, list[Utterance]]:
    train = Utterance("u1", "u1.wav", 57_600_000, "hi", speaker="a", emotion="sad")
    second = Utterance("u2", text="ho", speaker="a", emotion="no", dialogue="d", valence=0.5)
    whole = Utterance("u3", text="ha", speaker="b", **dict.fromkeys(AXES, 0.25))
    return {"train": [train, second], "test": [whole]}


def test_corpus_survives_the_round_trip_with_its_counts(tmp_path: Path) -> None:
    written = corpus()
    write_corpus(tmp_path / "out", written, splits())
    read = read_corpus(tmp_path / "out")
    assert read == written
    assert read.labels["emotion"] == ("sad", "no", "happy")
    assert read.splits["train"] == {
        "rows": 2,
        "hours": 1.0,
        "with_text": 2,
        "with_audio": 1,
        "with_vad": 0,
        "speakers": 1,
        "dialogues": 1,
        "emotion": {"sad": 1, "no": 1, "happy": 0},
    }
    assert read.splits["test"]["with_vad"] == 1
    assert {s: read_manifest(tmp_path / "out" / f"{s}.tsv") for s in splits()} == splits()


def test_a_card_of_an_older_version_is_read(tmp_path: Path) -> None:
    card = tmp_path / "corpus.yaml"
    card.write_text("name: tiny\nlicence: CC0\n")
    assert read_corpus(tmp_path).license == "CC0"
    card.write_text("name: tiny\nlicence: CC0\nlicense: MIT\n")
    with pytest.raises(ManifestError, match="licence is an unknown key"):
        read_corpus(tmp_path)


def test_the_summary_names_counts_labels_and_drops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path, corpus(), splits())
    printed = capsys.readouterr().out
    assert "emotion, train: sad 1  no 1  happy 0" in printed
    assert "dropped: 1 x row: no text" in printed
    assert "dropped: 1 x audio: cut" in printed


def test_a_split_of_an_earlier_run_does_not_linger(tmp_path: Path) -> None:
    write_corpus(tmp_path, corpus(), splits())
    (tmp_path / "mine.tsv").write_text("not ours")
    write_corpus(tmp_path, corpus(), {"train": splits()["train"]})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus.yaml", "mine.tsv", "train.tsv"]


def test_a_run_that_dies_leaves_no_corpus_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path, corpus(), splits())

    def full_disk(path: Path, text: str) -> None:
        if path.name == "test.tsv":
            raise OSError("disk full")

    monkeypatch.setattr("data_prep.manifest.corpus_card.write_atomically", full_disk)
    with pytest.raises(OSError, match="disk full"):
        write_corpus(tmp_path, corpus(), splits())
    with raises("corpus-card-invalid"):
        read_corpus(tmp_path)


def test_bad_rows_leave_the_old_data_dir_as_it_was(tmp_path: Path) -> None:
    write_corpus(tmp_path, corpus(), splits())
    with raises("cell-invalid"):
        write_corpus(tmp_path, corpus(), {"train": [Utterance("u1", valence=math.nan)]})
    assert read_corpus(tmp_path).splits["train"]["rows"] == 2


@pytest.mark.parametrize(
    ("test_row", "message"),
    [
        (Utterance("u1", text="x", speaker="b"), "id 'u1' is in train and test"),
        (Utterance("u3", text="x", speaker="a"), "speaker 'a' is in train and test"),
    ],
)
def test_leaking_splits_are_not_written(tmp_path: Path, test_row: Utterance, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_corpus(tmp_path / "out", corpus(), {**splits(), "test": [test_row]})
    assert not (tmp_path / "out").exists()


def test_shared_speakers_are_fine_where_the_protocol_shares_them(tmp_path: Path) -> None:
    shared = corpus()
    shared.disjoint = ()
    write_corpus(tmp_path, shared, {"train": [FULL], "test": [Utterance("u2", speaker="s1")]})
    assert read_corpus(tmp_path).disjoint == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"emotion": ["sad", "sad"]}}, "named twice"),
        ({"labels": {"feeling": ["sad"]}}, "labels are for emotion and sentiment"),
        ({"disjoint": ["text"]}, r"disjoint\[0\]: disjoint is of speaker and dialogue, not"),
        ({"sample_rate": 0}, "sample_rate is 0 where a number above 0"),
        ({"name": ""}, "name is '' where a text of 1 characters or more"),
        ({"color": "blue"}, "color is an unknown key"),
        ({"dropped": [{"id": "u1"}]}, r"dropped\[0\].split is missing"),
        ({"labels": {"emotion": [False, "sad"]}}, r"labels.emotion\[0\] is False where text"),
        ({"vad": {"scale": [5, 1]}}, r"vad: scale is \[5, 1\], and not two numbers"),
        ({"vad": {"sources": {"a": {"source_scale": [True, 5]}}}}, "vad: source_scale is"),
        ({"vad": {"sources": 3}}, "vad: sources is 3 where a mapping"),
        ({"splits": {"../x": {"rows": 1}}}, "'../x' is not the name of a file"),
    ],
)
def test_a_malformed_card_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write_corpus(tmp_path, corpus(), splits())
    card = yaml.safe_load((tmp_path / "corpus.yaml").read_text())
    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump(card | change))
    with pytest.raises(ManifestError, match=message):
        read_corpus(tmp_path)


def card_of(folder: Path) -> dict[str, Any]:
    write_corpus(folder, corpus(), splits())
    content: dict[str, Any] = yaml.safe_load((folder / "corpus.yaml").read_text())
    return {key: value for key, value in content.items() if value is not None}


def test_every_key_of_another_form_is_named(tmp_path: Path) -> None:
    card = card_of(tmp_path)
    free = ("vad", "folds", "ceilings")
    cases = list(mutations(card, required=("name",), free=free))
    assert len(cases) > 40
    for what, changed, fragment in cases:
        (tmp_path / "corpus.yaml").write_text(yaml.safe_dump(changed))
        with pytest.raises(ManifestError) as error:
            read_corpus(tmp_path)
        assert str(error.value).startswith(f"{tmp_path / 'corpus.yaml'}: "), what
        assert fragment in str(error.value), what


def test_a_card_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    card = corpus()
    card.vad = {"scale": [0.0, float("nan")]}
    with raises("document-invalid"):
        write_corpus(tmp_path / "out", card, splits())
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_data_dir_is_named(tmp_path: Path) -> None:
    with raises("corpus-card-invalid"):
        read_corpus(tmp_path / "nowhere")
    with raises("corpus-card-invalid"):
        read_corpus(tmp_path)
    (tmp_path / "corpus.yaml").write_text("name: [unclosed")
    with raises("document-invalid"):
        read_corpus(tmp_path)


def test_the_table_of_columns_is_that_of_the_fields_of_a_row() -> None:
    *names, extra = (field.name for field in fields(Utterance))
    assert tuple(names) == KNOWN_COLUMNS
    assert extra == "extra"
    assert [name for name in KNOWN_COLUMNS if f"  {name} " not in column_help()] == []
