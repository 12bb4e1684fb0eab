import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from codes import raises

from data_prep.corpora.ravdess import (
    ACTORS,
    fold_actors,
)
from data_prep.errors import ManifestError
from data_prep.folds.__main__ import main
from data_prep.folds.file import (
    FOLDS_FOLDER,
    read_folds,
    render_folds,
    write_corpus_with_folds,
    write_folds,
)
from data_prep.folds.protocols import PROTOCOLS, FoldOptions, check_leaks, make_folds
from data_prep.folds.records import Folds
from data_prep.schema import (
    SPLITS,
    Corpus,
    Utterance,
    write_corpus,
)


def dyads(sessions: int = 5, turns: int = 4) -> list[Utterance]:
    """IEMOCAP's shape: sessions of two speakers who talk in two dialogues."""
    return [
        Utterance(
            f"s{s}_d{d}_{who}{t}",
            text="words",
            speaker=f"s{s}_{who}",
            session=f"s{s}",
            dialogue=f"s{s}_d{d}",
            emotion="sad" if t else None,
        )
        for s in range(1, sessions + 1)
        for d in (1, 2)
        for t in range(turns)
        for who in "FM"
    ]


def loners(speakers: Sequence[str], rows: int = 2) -> list[Utterance]:
    return [
        Utterance(f"{speaker}_{n}", text="words", speaker=speaker)
        for speaker in speakers
        for n in range(rows)
    ]


def made(protocol: str, rows: Sequence[Utterance], **options: object) -> Folds:
    folds, _ = make_folds(protocol, rows, ["all"], FoldOptions(**options))  # type: ignore[arg-type]
    return folds


def values(folds: Folds, fold: str, split: str, key: str, rows: Sequence[Utterance]) -> set[str]:
    row_of = {row.id: row for row in rows}
    return {getattr(row_of[name], key) for name in folds.folds[fold][split]}


def write_dir(folder: Path, rows: Sequence[Utterance], name: str = "all") -> Path:
    write_corpus(folder, Corpus("tiny", labels={"emotion": ("sad",)}), {name: rows})
    return folder


# -- protocols -------------------------------------------------------------------------------------


def test_leave_one_session_out_tests_each_session_once_and_cuts_dev_by_speaker() -> None:
    rows = dyads()
    folds = made("leave_one_session_out", rows)
    assert (folds.unit, folds.bases, list(folds.folds)) == ("session", ("all",), list("12345"))
    for number in "12345":
        assert values(folds, number, "test", "session", rows) == {f"s{number}"}
        valid = values(folds, number, "valid", "speaker", rows)
        assert len(valid) == 2  # of 8 training speakers, the first two make up a fifth
        assert valid.isdisjoint(values(folds, number, "train", "speaker", rows))
        sets = folds.folds[number]
        assert Counter(id_ for split in SPLITS for id_ in sets[split]) == Counter(
            row.id for row in rows
        )
        assert list(sets["train"]) == [row.id for row in rows if row.id in set(sets["train"])]
    assert check_leaks(folds, rows) == []


def test_leave_one_session_out_dialogues_keeps_dialogues_whole() -> None:
    rows = iemocap_like()
    folds = made("leave_one_session_out_dialogues", rows)
    devs = []
    for number in "12345":
        assert values(folds, number, "test", "session", rows) == {f"s{number}"}
        devs.append(values(folds, number, "valid", "dialogue", rows))
        assert devs[-1].isdisjoint(values(folds, number, "train", "dialogue", rows))
        share = len(folds.folds[number]["valid"]) / sum(row.session != f"s{number}" for row in rows)
        assert 0.1 < share < 0.3
        # Speakers may be in both: the dialogues of one are divided.
        assert values(folds, number, "valid", "speaker", rows) <= values(
            folds, number, "train", "speaker", rows
        )
    assert len({frozenset(dev) for dev in devs}) == 5
    assert check_leaks(folds, rows) == []
    without = [replace(rows[0], dialogue=None), *rows[1:]]
    with pytest.raises(ValueError, match="1 of .* rows name no dialogue"):
        made("leave_one_session_out_dialogues", without)


def iemocap_like(seed: int = 1) -> list[Utterance]:
    """Five sessions of a woman and a man; sizes and labels differ as those of IEMOCAP do."""
    draw = random.Random(seed)
    rows = []
    for session in range(1, 6):
        for who in "FM":
            chances = [draw.uniform(0.5, 1.5) for _ in "abcd"]
            for turn in range(draw.randint(80, 130)):
                label = draw.choices(["anger", "happy", "neutral", "sad"], chances)[0]
                rows.append(
                    Utterance(
                        f"s{session}_{who}{turn:03d}",
                        text="words",
                        speaker=f"s{session}_{who}",
                        session=f"s{session}",
                        dialogue=f"s{session}_d{turn % 3}",
                        emotion=label,
                        extra={"gender": who},
                    )
                )
    return rows


@pytest.mark.parametrize("seed", range(1, 6))
def test_dev_speakers_of_each_session_fold(seed: int) -> None:
    """A woman and a man, others in each fold, near in size and labels to the training side."""
    rows = iemocap_like()
    sizes = Counter(row.speaker for row in rows)
    folds = made("leave_one_session_out", rows, seed=seed)
    found = []
    for fold, sets in folds.folds.items():
        speakers = values(folds, fold, "valid", "speaker", rows)
        assert sorted(str(speaker)[-1] for speaker in speakers) == ["F", "M"]
        found.append(frozenset(speakers))
        share = len(sets["valid"]) / (len(sets["valid"]) + len(sets["train"]))
        others = [size for who, size in sizes.items() if str(who)[:2] != f"s{fold}"]
        nearest = min(abs((a + b) / sum(others) - 0.2) for a, b in combinations(others, 2))
        assert abs(share - 0.2) < nearest + 0.06
        valid, train = (
            Counter(row.emotion for row in rows if row.id in set(sets[split]))
            for split in ("valid", "train")
        )
        differences = [
            abs(valid[label] / valid.total() - train[label] / train.total()) for label in train
        ]
        assert max(differences) < 0.12
    assert len(set(found)) == 5
    assert len(frozenset.union(*found)) >= 6  # of ten


def test_without_genders_the_dev_set_is_near_in_size_and_labels() -> None:
    """One speaker of eight has a fifth of the rows and the labels of all."""
    rows = [
        Utterance(
            f"s{who // 2}_{who}_{n}",
            text="words",
            speaker=f"a{who}",
            session=f"s{who // 2}",
            emotion=("sad" if n % 2 else "happy") if who == 3 else ("sad", "happy")[who % 2],
        )
        for who in range(8)
        for n in range(28 if who == 3 else 20)
    ]
    folds = made("leave_one_session_out", rows)
    assert values(folds, "1", "valid", "speaker", rows) == {"a3"}


def test_composition_is_stored_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [replace(row, emotion="sad") for row in iemocap_like()]
    data_dir = write_dir(tmp_path / "data", rows)
    capsys.readouterr()
    command = [str(data_dir), "--protocol", "leave_one_session_out"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    path = data_dir / "folds" / "leave_one_session_out.json"
    content = json.loads(path.read_text())
    valid = content["composition"]["2"]["valid"]
    assert valid["genders"] == {"female": 1, "male": 1}
    assert valid["speakers"] == 2
    assert valid["labels"] == {"emotion": {"sad": valid["rows"]}}
    share = valid["rows"] / (valid["rows"] + content["composition"]["2"]["train"]["rows"])
    line = (
        f"fold 2 valid: {valid['rows']} rows ({share:.1%} of train and valid), "
        "2 speakers (1 female, 1 male), emotion sad 100%"
    )
    assert line in printed.splitlines()

    before = path.read_text()
    del content["composition"]  # as earlier versions wrote it
    path.write_text(json.dumps(content))
    assert read_folds(path) == made("leave_one_session_out", rows)
    assert main(command) == 0  # the same folds, and no other ones
    assert path.read_text() == before


def test_a_dev_share_that_leaves_nothing_is_refused() -> None:
    for share in (0.0, 1.0, -0.5):
        with raises("share-out-of-range"):
            made("leave_one_session_out", dyads(), valid_share=share)


def test_leave_one_session_out_is_drawn_by_its_seed() -> None:
    rows = dyads()
    assert made("leave_one_session_out", rows) == made("leave_one_session_out", dyads())
    others = [made("leave_one_session_out", rows, seed=seed).folds for seed in range(5)]
    assert any(other != others[0] for other in others)
    assert all(other["1"]["test"] == others[0]["1"]["test"] for other in others)


def test_leave_one_speaker_out_validates_on_the_partner() -> None:
    rows = dyads()
    folds, notes = make_folds("leave_one_speaker_out", rows, ["all"])
    assert notes == []
    assert len(folds.folds) == 10
    assert values(folds, "3", "test", "speaker", rows) == {"s2_F"}
    assert values(folds, "3", "valid", "speaker", rows) == {"s2_M"}
    assert values(folds, "3", "train", "session", rows) == {"s1", "s3", "s4", "s5"}
    assert check_leaks(folds, rows) == []


def test_leave_one_speaker_out_of_one_who_is_alone_validates_on_the_next() -> None:
    rows = [row for row in dyads() if row.speaker != "s2_M"]
    folds, notes = make_folds("leave_one_speaker_out", rows, ["all"])
    assert "s2_F" in notes[0]
    assert values(folds, "3", "valid", "speaker", rows) == {"s3_F"}
    assert values(folds, "1", "valid", "speaker", rows) == {"s1_M"}
    assert check_leaks(folds, rows) == []


def test_leave_one_speaker_out_without_sessions_validates_on_the_next_speaker() -> None:
    rows = loners(["a2", "a10", "a1"])
    folds, notes = make_folds("leave_one_speaker_out", rows, ["all"])
    assert "a1, a2, a10" in notes[0]
    tested = [values(folds, fold, "test", "speaker", rows) for fold in folds.folds]
    assert tested == [{"a1"}, {"a2"}, {"a10"}]
    assert values(folds, "3", "valid", "speaker", rows) == {"a1"}


def test_speaker_groups_are_ravdess_own_folds() -> None:
    rows = loners(list(ACTORS.values()))
    folds = made("leave_speaker_group_out", rows)
    for number in range(1, 6):
        official = fold_actors(number % 5)
        for split in SPLITS:
            assert values(folds, str(number), split, "speaker", rows) == set(official[split])
    assert check_leaks(folds, rows) == []


def uneven_speakers(seed: int = 3) -> list[Utterance]:
    """24 speakers of 15 to 90 rows, each with a preference for some of four labels."""
    draw = random.Random(seed)
    rows = []
    for speaker in range(24):
        chances = [draw.uniform(0.3, 2) for _ in "abcd"]
        for n in range(draw.randint(15, 90)):
            label = draw.choices("abcd", chances)[0]
            name = f"s{speaker:02d}"
            rows.append(Utterance(f"{name}_{n}", text="words", speaker=name, emotion=label))
    return rows


def spread(folds: Folds, rows: Sequence[Utterance]) -> tuple[int, float]:
    """By how many rows the test sets differ, and by how much a label's share in them from all."""
    row_of = {row.id: row for row in rows}
    tests = [[row_of[id_] for id_ in sets["test"]] for sets in folds.folds.values()]
    sizes = [len(test) for test in tests]
    shares = [
        abs(sum(row.emotion == label for row in test) / len(test)
            - sum(row.emotion == label for row in rows) / len(rows))
        for test in tests
        for label in "abcd"
    ]  # fmt: skip
    return max(sizes) - min(sizes), max(shares)


@pytest.mark.parametrize("protocol", ["leave_speaker_group_out", "k_fold"])
def test_groups_are_alike_in_size_or_in_labels(protocol: str) -> None:
    rows = uneven_speakers()
    made_by = {
        balance: make_folds(protocol, rows, ["all"], FoldOptions(balance=balance))[0]
        for balance in ("order", "rows", "emotion")
    }
    of_rows, of_labels = spread(made_by["rows"], rows), spread(made_by["emotion"], rows)
    assert of_rows[0] < min(spread(made_by["order"], rows)[0], of_labels[0]) / 2
    assert of_labels[1] < min(spread(made_by["order"], rows)[1], of_rows[1]) / 2
    for folds in made_by.values():
        tested = Counter(id_ for sets in folds.folds.values() for id_ in sets["test"])
        assert tested == Counter(row.id for row in rows)
        assert check_leaks(folds, rows) == []


def test_labels_that_no_row_has_cannot_be_balanced() -> None:
    with raises("labels-missing"):
        made("k_fold", uneven_speakers(), balance="sentiment")
    rare = [replace(row, emotion=str(n // 2)) for n, row in enumerate(loners("abcde", rows=1))]
    with raises("labels-missing") as error:
        made("k_fold", rare, balance="emotion", n_folds=3)
    assert "no label has rows for 3 folds" in str(error.value)


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("leave_one_speaker_out", {"n_folds": 3}),
        ("leave_one_session_out", {"balance": "emotion"}),
        ("k_fold", {"valid_share": 0.1}),
        ("leave_speaker_group_out", {"group_by": "session"}),
    ],
)
def test_an_option_that_a_protocol_does_not_read_is_refused(
    protocol: str, options: dict[str, object]
) -> None:
    with raises("option-unused") as error:
        made(protocol, dyads(), **options)
    (name,) = options
    assert f"--{name.replace('_', '-')} does not act on {protocol}" in str(error.value)


def test_speaker_groups_keep_those_together_who_talk_to_each_other() -> None:
    rows = dyads(sessions=4)
    folds = made("leave_speaker_group_out", rows, n_folds=4)
    for fold in folds.folds:
        assert len(values(folds, fold, "test", "session", rows)) == 1
    assert check_leaks(folds, rows) == []
    with raises("groups-too-few"):
        made("leave_speaker_group_out", rows)


def test_k_fold_keeps_speakers_whole_and_folds_alike_in_size() -> None:
    rows = loners([f"a{n}" for n in range(9)], rows=3) + loners(["b"], rows=9)
    folds = made("k_fold", rows, n_folds=4)
    assert folds.unit == "speaker"
    sizes = [len(sets["test"]) for sets in folds.folds.values()]
    assert sizes == [9, 9, 9, 9]
    assert Counter(id_ for s in folds.folds.values() for id_ in s["test"]) == Counter(
        row.id for row in rows
    )
    assert folds.folds["1"]["valid"] == folds.folds["2"]["test"]
    assert folds.folds["4"]["valid"] == folds.folds["1"]["test"]
    assert check_leaks(folds, rows) == []
    assert made("k_fold", rows, n_folds=4, seed=2) != replace(folds, seed=2)


def test_k_fold_says_what_it_keeps_whole_where_speakers_are_unknown() -> None:
    rows = dyads()
    nameless = [replace(row, speaker=None) for row in rows]
    folds, notes = make_folds("k_fold", nameless, ["all"])
    assert (folds.unit, notes) == (
        "dialogue",
        ["80 rows have no speaker: their dialogues are kept whole"],
    )
    bare = [replace(row, speaker=None, dialogue=None) for row in rows]
    folds, notes = make_folds("k_fold", bare, ["all"])
    assert folds.unit == "row"
    assert notes[0].startswith("80 rows have neither speaker nor dialogue")
    folds, notes = make_folds("k_fold", [*rows[:-1], bare[-1]], ["all"])
    assert folds.unit == "speaker"
    assert notes[0].startswith("1 rows have neither")
    mixed = [replace(rows[0], speaker=None), *rows[1:]]
    _, (note,) = make_folds("k_fold", mixed, ["all"])
    assert note.startswith("1 rows have no speaker: their dialogues are kept whole, but for 1 ")


def test_k_fold_by_another_unit() -> None:
    rows = dyads()
    folds = made("k_fold", rows, group_by="session")
    assert folds.unit == "session"
    assert sorted(len(sets["test"]) for sets in folds.folds.values()) == [16] * 5
    assert check_leaks(folds, rows) == []


def test_k_fold_by_dialogue_says_who_may_be_in_several_sets() -> None:
    folds, notes = make_folds("k_fold", dyads(), ["all"], FoldOptions(group_by="dialogue"))
    assert folds.unit == "dialogue"
    (note,) = notes
    assert note.startswith("10 speakers are in more than one dialogue, and may be in several sets")


def test_seed_sessions_are_three_one_one() -> None:
    rows = dyads()
    folds = made("seed_sessions", rows)
    assert list(folds.folds) == ["1"]
    assert values(folds, "1", "train", "session", rows) == {"s1", "s2", "s3"}
    assert values(folds, "1", "valid", "session", rows) == {"s4"}
    assert values(folds, "1", "test", "session", rows) == {"s5"}
    assert check_leaks(folds, rows) == []


@pytest.mark.parametrize(
    ("protocol", "rows", "code"),
    [
        ("leave_one_session_out", loners(["a", "b"]), "unit-missing"),
        ("leave_one_session_out", dyads(sessions=1), "groups-too-few"),
        ("leave_one_speaker_out", dyads(sessions=1), "groups-too-few"),
        ("leave_speaker_group_out", loners(["a", "b"]), "groups-too-few"),
        ("k_fold", loners(["a", "b"]), "groups-too-few"),
        ("seed_sessions", dyads(sessions=2), "groups-too-few"),
        ("loso", dyads(), "protocol-unknown"),
    ],
)
def test_rows_that_do_not_fit_a_protocol_are_refused(
    protocol: str, rows: list[Utterance], code: str
) -> None:
    with raises(code):
        made(protocol, rows)


def test_rows_without_the_unit_are_left_out_only_on_request() -> None:
    rows = [*dyads(), Utterance("lost", text="words", session="s1")]
    with raises("unit-missing") as error:
        made("leave_one_speaker_out", rows)
    assert "1 of 81 rows" in str(error.value)
    assert "lost" in str(error.value)
    folds, notes = make_folds(
        "leave_one_speaker_out", rows, ["all"], FoldOptions(leave_out_unknown=True)
    )
    assert notes[0].startswith("1 rows have no speaker")
    assert all("lost" not in sets[split] for sets in folds.folds.values() for split in SPLITS)


# -- leaks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_row_moved_to_another_set_leaks(protocol: str) -> None:
    rows = dyads()
    folds = made(protocol, rows)
    sets = folds.folds["1"]
    for source, target in (("test", "train"), ("train", "valid")):
        moved = {
            **sets,
            source: sets[source][1:],
            target: (*sets[target], sets[source][0]),
        }
        (leak, *_) = check_leaks(replace(folds, folds={"1": moved}), rows)
        assert leak.startswith("fold 1: ")


def test_leaks_are_named() -> None:
    rows = dyads()
    sets = {
        "train": [
            row.id for row in rows if row.session in ("s1", "s2") and row.dialogue != "s1_d2"
        ],
        "valid": [row.id for row in rows if row.session == "s3"],
        "test": [row.id for row in rows if row.dialogue == "s1_d2"],
    }
    folds = Folds("leave_one_session_out", "session", 1, ("all",), {"1": sets})
    assert check_leaks(folds, rows) == [
        "fold 1: session s1 is in train and test",
        "fold 1: 2 speakers are in train and test: s1_F, s1_M",
    ]
    assert check_leaks(replace(folds, protocol="mine", unit="dialogue"), rows) == []


def test_an_unknown_speaker_is_shared_with_nobody() -> None:
    rows = [replace(row, speaker=None) for row in loners(["a", "b", "c"], rows=1)]
    sets = {split: [row.id] for split, row in zip(SPLITS, rows, strict=True)}
    assert check_leaks(Folds("k_fold", "speaker", 1, ("all",), {"1": sets}), rows) == []


def test_a_speaker_in_two_sessions_is_refused_on_writing(tmp_path: Path) -> None:
    rows = [replace(row, speaker="Joey") for row in dyads()]
    sets = {
        "train": [row.id for row in rows[32:]],
        "valid": [row.id for row in rows[16:32]],
        "test": [row.id for row in rows[:16]],
    }
    folds = Folds("leave_one_session_out", "session", 1, ("all",), {"1": sets})
    with raises("folds-invalid") as error:
        write_folds(tmp_path, folds, rows)
    assert "fold 1: speaker Joey is in train and valid" in str(error.value)
    assert not (tmp_path / FOLDS_FOLDER).exists()


def test_turns_separated_from_their_neighbors_are_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fold 1 tests s1_F: her eight turns are neighbors of his eight."""
    rows = [replace(row, turn=n % 8) for n, row in enumerate(dyads())]
    data_dir = write_dir(tmp_path / "data", rows)
    assert main([str(data_dir), "--protocol", "leave_one_speaker_out"]) == 0
    assert "(fold 1: 16 of 80 rows)" in capsys.readouterr().out
    assert main([str(data_dir), "--protocol", "seed_sessions"]) == 0  # dialogues are kept whole
    assert "neighboring turns" not in capsys.readouterr().out
    corpus = Corpus("small", labels={"emotion": ("sad",)})
    write_corpus_with_folds(
        tmp_path / "own", corpus, rows, ["leave_one_speaker_out", "seed_sessions"], FoldOptions()
    )
    (note,) = (note for note in corpus.notes if "neighboring turns" in note)
    assert note.startswith("folds leave_one_speaker_out: in 10 of 10 folds")


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_files_come_back_as_they_were(tmp_path: Path, protocol: str) -> None:
    rows = dyads()
    data_dir = write_dir(tmp_path / "data", rows)
    assert main([str(data_dir), "--protocol", protocol, "--seed", "3"]) == 0
    path = data_dir / "folds" / f"{protocol}.json"
    assert read_folds(path) == made(protocol, rows, seed=3)
    content = json.loads(path.read_text())
    composition = content.pop("composition")
    assert list(content) == ["protocol", "unit", "seed", "base", "sha256", "folds"]
    assert list(composition) == list(content["folds"])
    for fold, sets in content["folds"].items():
        for split in SPLITS:
            assert composition[fold][split]["rows"] == len(sets[split])
    assert (content["protocol"], content["seed"], content["base"]) == (protocol, 3, "all")


def test_folds_are_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = write_dir(tmp_path / "data", dyads())
    command = [str(data_dir), "--protocol", "leave_one_session_out"]
    assert main(command) == 0
    path = data_dir / "folds" / "leave_one_session_out.json"
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    assert main(command) == 0
    assert path.stat().st_mtime_ns == written
    seed = next(
        str(seed)
        for seed in range(2, 9)
        if render_folds(made("leave_one_session_out", dyads(), seed=seed)) != before.decode()
    )
    capsys.readouterr()
    assert main([*command, "--seed", seed]) == 1
    assert "[folds-exist]" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main([*command, "--seed", seed, "--force"]) == 0
    assert path.read_bytes() != before


def test_the_command_says_what_is_in_the_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = write_dir(tmp_path / "data", dyads())
    capsys.readouterr()
    assert main([str(data_dir), "--protocol", "seed_sessions"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["fold", "train", "labeled", "valid", "labeled", "test", "labeled"]
    assert out[2].split() == ["1", "48", "36", "16", "12", "16", "12", "tests", "s5"]
    train = next(line for line in out if line.startswith("train one with: "))
    assert f" train {data_dir} --fold seed_sessions/1 " in train


@pytest.mark.parametrize("has_speakers", [False, True])
def test_recordings_that_sets_share_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, has_speakers: bool
) -> None:
    """Rows without speakers are drawn one by one; whole speakers are not divided."""
    rows = [Utterance("text alone", text="words")]
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(b"the same")
        part = Utterance(f"part{number}", audio="long.wav", emotion="sad")
        rows.append(Utterance(f"same{number}", audio=f"{number}.wav", emotion="sad"))
        rows.append(replace(part, start=number / 2, end=number / 2 + 1))
    if has_speakers:
        rows = [replace(row, speaker=row.id[:4]) for row in rows]
    data_dir = write_dir(tmp_path, rows)
    assert main([str(data_dir), "--protocol", "k_fold", "--n-folds", "3"]) == 0
    if has_speakers:
        assert not caplog.messages
        return
    sounds, overlaps = caplog.messages
    assert "1 sounds in more than one split: " in sounds
    assert all(f"/same{number}" in sounds for number in range(3))
    assert "pairs of segments that overlap across splits: " in overlaps


@pytest.mark.parametrize("data_raw", ["s3://bucket/away", "/gone"])
def test_recordings_that_are_elsewhere_are_compared_by_their_paths(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data_raw: str
) -> None:
    rows = [Utterance(f"u{n}", audio=f"{n // 4}.wav", emotion="sad") for n in range(6)]
    corpus = Corpus("tiny", labels={"emotion": ("sad",)}, data_raw=data_raw)
    write_corpus(tmp_path, corpus, {"all": rows})
    assert main([str(tmp_path), "--protocol", "k_fold", "--n-folds", "3"]) == 0
    assert "sounds in more than one split" in caplog.text


def test_official_splits_are_divided_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = dyads()
    splits = {"train": rows[:48], "valid": rows[48:64], "test": rows[64:]}
    write_corpus(tmp_path, Corpus("tiny", labels={"emotion": ("sad",)}), splits)
    assert main([str(tmp_path), "--protocol", "leave_one_session_out"]) == 0
    path = tmp_path / "folds" / "leave_one_session_out.json"
    assert json.loads(path.read_text())["base"] == ["train", "valid", "test"]
    folds = read_folds(path)
    assert folds.bases == SPLITS
    protocol = ["--protocol", "k_fold", "--n-folds", "3"]
    assert main([str(tmp_path), *protocol, "--base", "train"]) == 0
    assert read_folds(tmp_path / "folds" / "k_fold.json").bases == ("train",)
    for words in (["train,test"], ["train", "test", "train"]):
        assert main([str(tmp_path), *protocol, "--base", *words, "--force"]) == 0
        assert read_folds(tmp_path / "folds" / "k_fold.json").bases == ("train", "test")
    assert main([str(tmp_path), *protocol, "--base", "dev"]) == 2
    assert "[split-unknown]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": {"1": {"train": ["nobody"], "valid": ["s4_d1_F0"], "test": ["s5_d1_F0"]}}},
         "fold 1: nobody is no row of all"),
        ({"folds": {"1": {"train": ["s1_d1_F0"], "valid": ["s1_d1_F0"], "test": ["s5_d1_F0"]}}},
         "fold 1: s1_d1_F0 in more than one set"),
        ({"folds": {"1": {"train": [], "valid": ["s1_d1_F0"], "test": ["s5_d1_F0"]}}},
         "folds.1.train: it is empty"),
        ({"folds": {"1": {"train": ["s1_d1_F0"], "test": ["s5_d1_F0"]}}},
         "folds.1.valid is missing"),
        ({"folds": {"1": {"train": "s1_d1_F0", "valid": ["s4_d1_F0"], "test": ["s5_d1_F0"]}}},
         "folds.1.train is 's1_d1_F0' where a list is expected"),
        ({"folds": {}}, "folds is {} where a length from 1 up is expected"),
        ({"unit": "speakers"}, "unit is 'speakers' where 'session', 'speaker', 'dialogue' or"),
        ({"base": []}, "base is [] where"),
        ({"base": "../train"}, "base: '../train' is not the name of a file"),
        ({"seed": 1.5}, "seed is 1.5 where a whole number is expected"),
        ({"protocol": "k_fold"}, "folds-misnamed"),
        ({"color": 1}, "color is an unknown key"),
        ({"base": "train"}, "train.tsv: no such manifest"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_named(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    data_dir = write_dir(tmp_path / "data", dyads())
    assert main([str(data_dir), "--protocol", "seed_sessions"]) == 0
    path = data_dir / "folds" / "seed_sessions.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ManifestError) as error:
        read_folds(path)
    assert message in f"{error.value} [{error.value.code}]"


def test_rows_that_came_later_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_dir = write_dir(tmp_path / "data", dyads())
    assert main([str(data_dir), "--protocol", "seed_sessions"]) == 0
    write_dir(data_dir, [*dyads(), Utterance("late", text="words", session="s1")])
    read_folds(data_dir / "folds" / "seed_sessions.json")
    assert "seed_sessions.json: 1 rows are in no fold: late" in caplog.text


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "folds" / "k_fold.json"
    with raises("folds-missing"):
        read_folds(path)
    path.parent.mkdir()
    for text, what in {
        "{": "line 1, column 2: is not JSON",
        "[1]": r"it is \[1\] where a mapping is expected",
        '{"protocol": "k_fold"}': "unit is missing",
        "[" * 100_000: "line 1: is nested deeper",
    }.items():
        path.write_text(text)
        with pytest.raises(ManifestError, match=f"k_fold.json: {what}.*; make it again"):
            read_folds(path)


def moved(sets: dict[str, list[str]], source: str, target: str) -> dict[str, list[str]]:
    """The sets with the first row of one put into another."""
    row = sets[source][0]
    rest = {**sets, source: sets[source][1:]}
    return {**rest, target: [*rest[target], row]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("keeps_digest", [True, False])
def test_a_row_that_is_moved_between_sets_is_refused(
    tmp_path: Path, protocol: str, keeps_digest: bool
) -> None:
    """By the digest, and without one by what the protocol keeps apart."""
    data_dir = write_dir(tmp_path / "data", dyads())
    assert main([str(data_dir), "--protocol", protocol]) == 0
    path = data_dir / "folds" / f"{protocol}.json"
    content = json.loads(path.read_text())
    content["folds"]["1"] = moved(content["folds"]["1"], "test", "train")
    if not keeps_digest:
        del content["sha256"]
    path.write_text(json.dumps(content))
    with raises("folds-invalid"):
        read_folds(path)
    if keeps_digest:
        with raises("folds-changed"):
            read_folds(path, check_apart=False)
    else:
        assert read_folds(path, check_apart=False).protocol == protocol
