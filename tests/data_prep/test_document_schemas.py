"""Every document of data_prep: each key of another form is refused by its name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from codes import raises
from document_mutations import mutations

from data_prep.errors import ManifestError
from data_prep.features import stored
from data_prep.files.yaml_values import dump_yaml
from data_prep.folds.file import read_folds
from data_prep.prototypes import read_prototypes
from data_prep.tokens import folder as token_folder
from data_prep.tokens.folder import load_symbols

RECORD = {"size": 3, "sha256": "ab"}
TOKENIZER = {
    "settings": {"bpe": "gpt2", "sources": {"dict.txt": "ab"}},
    "vocab_size": 9,
    "specials": {"init": 0, "pad": 1, "separator": 2, "unknown": 3},
    "files": {"dict.txt": "ab"},
    "splits": {"train": {"digest": "ab", "rows": 1, "tokens": 2, "files": {"train.bin": RECORD}}},
}
FEATURES = {
    "settings": {"features": "log_mel", "dtype": "float16"},
    "splits": {"train": {"manifest": "ab", "content": "cd", "files": {"train.npy": RECORD}}},
    "about": {"encoder": "log_mel"},
}
FOLDS = {
    "protocol": "k_fold",
    "unit": "speaker",
    "seed": 1,
    "base": "all",
    "sha256": "ab",
    "folds": {"1": {"train": ["a"], "valid": ["b"], "test": ["c"]}},
}
CENTROID = {"valence": 0.1, "arousal": 0.2, "dominance": 0.3, "n": 4, "mean_difficulty": 0.5}
PROTOTYPES = {
    "label": "emotion",
    "statistic": "mean",
    "axes": ["valence", "arousal", "dominance"],
    "split": "train",
    "fold": "k_fold/1",
    "labels": ["sad"],
    "rows": 4,
    "left_out": {"no label": 1},
    "all": {"prototypes": {"sad": CENTROID}, "difficulty_quantiles": {"0.5": 0.5}},
    "corpus": {"prototypes": {"one": {"sad": CENTROID}}, "difficulty_quantiles": {"0.5": 0.5}},
    "warnings": ["odd"],
}

Read = Callable[[Path], Any]
Case = tuple[str, dict[str, Any], Read, tuple[str, ...]]
DOCUMENTS: tuple[Case, ...] = (
    (
        "tokenizer.yaml",
        TOKENIZER,
        lambda file: token_folder.read_card(file.parent),
        ("settings", "files", "splits"),
    ),
    ("features.yaml", FEATURES, lambda file: stored.read_card(file.parent), ("settings",)),
    ("folds/k_fold.json", FOLDS, read_folds, ("protocol", "unit", "seed", "base", "folds")),
    (
        "prototypes.json",
        PROTOTYPES,
        read_prototypes,
        tuple(name for name in PROTOTYPES if name != "fold"),
    ),
)
FREE = ("settings", "about")


@pytest.mark.parametrize(
    ("name", "document", "read", "required"), DOCUMENTS, ids=[case[0] for case in DOCUMENTS]
)
def test_every_key_of_another_form_is_named(
    tmp_path: Path, name: str, document: dict[str, Any], read: Read, required: tuple[str, ...]
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    dump = json.dumps if file.suffix == ".json" else yaml.safe_dump
    cases = list(mutations(document, required=required, free=FREE))
    assert len(cases) > 10
    for what, changed, fragment in cases:
        file.write_text(dump(changed))
        with pytest.raises(ManifestError) as error:
            read(file)
        message = str(error.value)
        assert message.startswith(f"{file}: "), what
        assert fragment in message, what
        assert "\n" not in message, what


def test_the_documents_themselves_are_read(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.yaml").write_text(dump_yaml(TOKENIZER))
    (tmp_path / "features.yaml").write_text(dump_yaml(FEATURES))
    (tmp_path / "prototypes.json").write_text(json.dumps(PROTOTYPES))
    assert token_folder.read_card(tmp_path) == TOKENIZER
    assert stored.read_card(tmp_path) == FEATURES
    assert read_prototypes(tmp_path / "prototypes.json").labels == ("sad",)


@pytest.mark.parametrize("part", ["files", "splits"])
def test_a_card_names_no_file_outside_its_folder(tmp_path: Path, part: str) -> None:
    card = {**TOKENIZER, part: {"../x": TOKENIZER[part][next(iter(TOKENIZER[part]))]}}  # type: ignore[index,call-overload]
    (tmp_path / "tokenizer.yaml").write_text(dump_yaml(card))
    with raises("document-invalid"):
        token_folder.read_card(tmp_path)


@pytest.mark.parametrize(
    ("text", "what"),
    [('{"a": 1}', "where a list"), ('["a", 1]', r"\[1\] is 1 where text"), ("[NaN]", "finite")],
)
def test_symbols_of_another_form_are_named(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "symbols.json").write_text(text)
    with pytest.raises(ManifestError, match=rf"symbols\.json: .*{what}.*; tokenize again"):
        load_symbols(tmp_path)
