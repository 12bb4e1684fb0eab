"""Where the tokens of a data dir are: a folder for each tokenizer.

    DATA_DIR/text/<name>/     texts, tokenized by one tokenizer; see `data_prep.tokens.folder`
    DATA_DIR/speech/<name>/   speech, quantized by one quantizer
    DATA_DIR/text/            the only tokens of data dirs of older versions, and so of `speech/`;
                              their name is "."

The same tokenizer has one folder, whichever encoder it is for. Two tokenizers never share a folder.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep.errors import CodedError
from data_prep.tokens.folder import DICT_FILE, SYMBOLS_FILE, TOKENIZER_FILE, read_card

logger = logging.getLogger(__name__)

MODALITIES = ("text", "speech")
UNNAMED = "."  # tokens directly in `text/` or `speech/`
FITTED_ON = "fitted_on"  # in the settings: digest of the train rows, which a change of data changes
FOLD = "fold"  # in the settings: PROTOCOL/FOLD, where the train rows are those of a fold
FITTED_ELSEWHERE = "fitted_elsewhere"  # likewise, of a tokenizer taken from another data dir


@dataclass(frozen=True)
class TokenSet:
    """The tokens of one modality by one tokenizer.

    Attributes:
        data_dir: the data dir.
        modality: "text" or "speech".
        name: of the folder in `DATA_DIR/{modality}`; `UNNAMED` for that folder itself.
    """

    data_dir: Path
    modality: str
    name: str

    @classmethod
    def of(cls, folder: Path) -> TokenSet:
        """Return the token set of a folder.

        >>> TokenSet.of(Path("data/text/roberta-base"))
        TokenSet(data_dir=PosixPath('data'), modality='text', name='roberta-base')
        >>> TokenSet.of(Path("data/speech")).name
        '.'
        """
        if folder.name in MODALITIES:
            return cls(folder.parent, folder.name, UNNAMED)
        return cls(folder.parent.parent, folder.parent.name, folder.name)

    @property
    def folder(self) -> Path:
        """The folder of the tokens."""
        return self.data_dir / self.modality / self.name

    @property
    def has_card(self) -> bool:
        """Whether the folder is one of :class:`data_prep.tokens.folder.TokenFolder`."""
        return (self.folder / TOKENIZER_FILE).is_file()

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Settings of the tokenizer; empty for tokens of other tools."""
        return dict(read_card(self.folder)["settings"]) if self.has_card else {}

    @property
    def command(self) -> str:
        """The command that brings the tokens up to date."""
        name = f" --name {self.name}" if self.has_card else ""
        return f"python -m data_prep.tokenize_{self.modality} {self.data_dir}{name}"

    @property
    def name_of_copy(self) -> str:
        """The name that its tokenizer gets in another data dir."""
        return self.data_dir.name if self.name == UNNAMED else self.name

    def __str__(self) -> str:
        return f"{self.modality}/{'' if self.name == UNNAMED else self.name}"


def token_sets(data_dir: str | Path, modality: str) -> list[TokenSet]:
    """Return the token sets of a modality: the unnamed one first, then by name."""
    data_dir = Path(data_dir)
    names = sorted(folder.name for folder in (data_dir / modality).glob("[!.]*/"))
    sets = [TokenSet(data_dir, modality, name) for name in (UNNAMED, *names)]
    return [tokens for tokens in sets if _holds_tokens(tokens.folder)]


def _holds_tokens(folder: Path) -> bool:
    named = any((folder / n).is_file() for n in (TOKENIZER_FILE, DICT_FILE, SYMBOLS_FILE))
    return named or any(folder.glob("*.idx")) or any(folder.glob("*.bin"))


def has_name(name: str) -> bool:
    """Return whether a name may be that of a token set.

    >>> [has_name(name) for name in ("roberta-base", ".", "a/b", ".hidden", "text")]
    [True, True, False, False, False]
    """
    if name == UNNAMED:
        return True
    return Path(name).name == name and not name.startswith(".") and name not in MODALITIES


def place_tokens(
    data_dir: str | Path,
    modality: str,
    settings: Mapping[str, Any],
    name: str | None,
    default_name: str,
) -> Path:
    """Return the folder for the tokens of a tokenizer.

    Args:
        data_dir: the data dir.
        modality: "text" or "speech".
        settings: of the tokenizer.
        name: of the token set; None = that of the set with the same tokenizer, or `default_name`.
        default_name: derived from the tokenizer.

    Raises:
        CodedError: the name cannot be that of a folder, or the folder holds tokens of another
            tokenizer.
    """
    if name is None:
        for tokens in token_sets(data_dir, modality):
            if tokens.has_card and is_same_tokenizer(tokens.settings, settings):
                if tokens.name != default_name:
                    logger.info("%s: holds the tokens of this tokenizer", tokens.folder)
                return tokens.folder
    if name is None:
        name = default_name if has_name(default_name) else f"{modality}-tokens"
    tokens = TokenSet(Path(data_dir), modality, name)
    if not has_name(tokens.name):
        raise CodedError(
            f"--name {tokens.name}: a name of tokens is that of a folder under "
            f"{tokens.data_dir / modality}; give one without a slash or a dot at its beginning, "
            f"other than {' and '.join(MODALITIES)}",
            "tokens-name-invalid",
        )
    _check_is_free(tokens, settings)
    return tokens.folder


def _check_is_free(tokens: TokenSet, settings: Mapping[str, Any]) -> None:
    """Check that a folder holds no tokens of another tokenizer, or of another tool.

    Raises:
        CodedError: it does.
    """
    if tokens.has_card:
        if is_same_tokenizer(tokens.settings, settings):
            return
        others = _differences(tokens.settings, settings)
        problem = f"holds the tokens of another tokenizer ({others})"
    elif any(tokens.folder.glob("*.idx")):
        problem = "holds tokens that this command did not write"
    else:
        return
    raise CodedError(
        f"{tokens.folder}: {problem}; give another --name, or delete the folder to replace them",
        "tokens-name-taken",
    )


def is_same_tokenizer(settings: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether two settings are of one tokenizer, maybe fitted on rows that have changed."""
    return _identity(settings) == _identity(others)


def copied_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a tokenizer as those of a copy in another data dir.

    It is not fitted again there, and the rows that it was fitted on are not those of its data.
    """
    copied = dict(settings)
    if (fitted_on := copied.pop(FITTED_ON, None)) is not None:
        copied[FITTED_ELSEWHERE] = fitted_on
    return copied


def _identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != FITTED_ON}


def _differences(settings: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    """Name up to three settings that differ, such as `vocab_size 2000, and not 4000`."""
    old, new = _identity(settings), _identity(others)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(
        f"{name} {old.get(name, 'none')}, and not {new.get(name, 'none')}"
        if _is_short(old.get(name)) and _is_short(new.get(name))
        else f"other {name}"
        for name in names[:3]
    )


def _is_short(value: object) -> bool:
    return value is None or (isinstance(value, str | int | float) and len(str(value)) <= 40)
