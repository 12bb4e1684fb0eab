"""Which tokens of a data dir are read, where it has those of several tokenizers.

The first row that applies:

    a trained model is scored or resumed   those with the symbols that it was trained with
    --{modality}-tokens NAME               DATA/{modality}/NAME
    a pretrained encoder                   those with its symbols, its namesake among several
    the data dir has one tokenizer         that one
    one was fitted on the fold's rows      that one
    one was fitted on the train split      that one
    else                                   none: --{modality}-tokens has to name them

Tokens whose tokenizer was fitted on another fold are those of no encoder from scratch.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.tokens.token_sets import FITTED_ON, FOLD, TokenSet, token_sets
from emo_fairseq.data.vocabulary import Vocabulary, read_vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH

logger = logging.getLogger(__name__)


class Candidate(NamedTuple):
    """Tokens that may be read.

    Attributes:
        tokens: where they are.
        vocabulary: their symbols; None where no file names these.
    """

    tokens: TokenSet
    vocabulary: Vocabulary | None


def choose_tokens(
    data_dir: Path,
    modality: str,
    encoder: EncoderSpec,
    name: str | None = None,
    trained: Vocabulary | None = None,
    fold: str | None = None,
) -> TokenSet | None:
    """Choose the tokens of a modality; see the module's docstring.

    Args:
        data_dir: the data dir.
        modality: "text" or "speech".
        encoder: that reads the tokens.
        name: of ``--{modality}-tokens``.
        trained: the vocabulary of a trained model.
        fold: PROTOCOL/FOLD of a training.

    Returns:
        None if the data dir has no tokens, as the legacy layout.

    Raises:
        UsageError: no tokens fit, or several do.
    """
    if trained is None and name is not None:
        return _named(data_dir, modality, encoder, name)
    candidates = _read_candidates(token_sets(data_dir, modality))
    if not candidates:
        return None
    if trained is not None:
        return _of_trained(data_dir, modality, encoder, candidates, name, trained)
    if encoder.is_pretrained:
        return _of_encoder(data_dir, modality, encoder, candidates)
    others, candidates = candidates, [c for c in candidates if _is_of_fold(c.tokens, fold)]
    if not candidates:
        command = tokenize_command(modality, encoder, data_dir)
        command += "" if fold is None else f" --fold {fold}"
        raise UsageError(
            f"{data_dir / modality}: the tokenizers of {_names(others)} were fitted on the train "
            f"sets of {'folds' if fold is None else 'other folds'}; run `{command}`",
            "tokens-missing",
        )
    chosen = _prefer(candidates, lambda c: FITTED_ON in c.tokens.settings)
    chosen = _prefer(chosen, lambda c: FOLD in c.tokens.settings)
    if len(chosen) > 1:
        raise _ambiguous(data_dir, modality, chosen, "an encoder from scratch reads any")
    return _logged(modality, candidates, chosen[0], "which were fitted on these data")


def _is_of_fold(tokens: TokenSet, fold: str | None) -> bool:
    """Return whether a tokenizer was fitted on no fold, or on this one."""
    return bool(tokens.settings.get(FOLD, fold) == fold)


def has_tokens(data_dir: Path, modality: str, encoder: EncoderSpec) -> bool:
    """Return whether a data dir has tokens with the symbols of a pretrained encoder."""
    candidates = _read_candidates(token_sets(data_dir, modality))
    return any(_fits(candidate.vocabulary, encoder) for candidate in candidates)


def _named(data_dir: Path, modality: str, encoder: EncoderSpec, name: str) -> TokenSet:
    sets = token_sets(data_dir, modality)
    for tokens in sets:
        if tokens.name == name:
            return tokens
    names = ", ".join(tokens.name for tokens in sets)
    others = f"there are {names}" if names else "there are none"
    raise UsageError(
        f"--{modality}-tokens {name}: {data_dir / modality / name} holds no tokens, and {others}; "
        f"give one of these, or run `{tokenize_command(modality, encoder, data_dir)} "
        f"--name {name}`",
        "tokens-missing",
    )


def _read_candidates(sets: Sequence[TokenSet]) -> list[Candidate]:
    """Read the vocabularies of token sets; among several, one that is damaged is left out."""
    candidates: list[Candidate] = []
    errors: list[UsageError] = []
    for tokens in sets:
        try:
            candidates.append(Candidate(tokens, read_vocabulary(tokens.folder)))
        except UsageError as error:
            errors.append(error)
    if errors and not candidates:
        raise errors[0]
    for damaged in errors:
        logger.warning("%s; its tokens are not considered", damaged)
    return candidates


def _of_trained(
    data_dir: Path,
    modality: str,
    encoder: EncoderSpec,
    candidates: Sequence[Candidate],
    name: str | None,
    trained: Vocabulary,
) -> TokenSet:
    fitting = [c for c in candidates if c.vocabulary is None or c.vocabulary.is_same(trained)]
    if not fitting:
        first = candidates[0].vocabulary
        command = command_of_trained(modality, encoder, data_dir, trained)
        others = f"{data_dir / modality}: none of {_names(candidates)} has"
        if first is not None and len(candidates) == 1:
            others = f"{first.source}: these {first.size} symbols are not"
        raise UsageError(
            f"{others} the {trained.size} that the checkpoint was trained with "
            f"({trained.source}); run {command}",
            "vocabulary-other",
        )
    chosen = _prefer(fitting, lambda c: _tokenizer_digest(c) == trained.tokenizer)
    wanted = (name, Path(trained.source).parent.name)
    chosen = _prefer(chosen, lambda c: c.tokens.name in wanted)
    if len({_tokenizer_digest(c) for c in chosen}) > 1:
        raise _ambiguous(data_dir, modality, chosen, "all have the symbols of the checkpoint")
    return _logged(modality, candidates, chosen[0], "with the symbols of the checkpoint")


def _tokenizer_digest(candidate: Candidate) -> str:
    return "" if candidate.vocabulary is None else candidate.vocabulary.tokenizer


def _prefer(
    candidates: Sequence[Candidate], is_preferred: Callable[[Candidate], bool]
) -> list[Candidate]:
    """Return the candidates that are preferred; all if none is."""
    return [c for c in candidates if is_preferred(c)] or list(candidates)


def _logged(
    modality: str, candidates: Sequence[Candidate], chosen: Candidate, reason: str
) -> TokenSet:
    """Log which of several candidates is read, and return its tokens."""
    if len(candidates) > 1:
        logger.info("%s: tokens of %s, %s", modality, chosen.tokens.folder, reason)
    return chosen.tokens


def _of_encoder(
    data_dir: Path, modality: str, encoder: EncoderSpec, candidates: Sequence[Candidate]
) -> TokenSet:
    fitting = [c for c in candidates if _fits(c.vocabulary, encoder)]
    if not fitting and len(candidates) == 1:
        return candidates[0].tokens  # emo_fairseq.pretrained.vocabulary_check refuses it
    if not fitting:
        raise UsageError(
            f"{data_dir / modality}: none of {_names(candidates)} has the "
            f"{encoder.vocabulary_size} symbols of {encoder.spec}; run "
            f"`{tokenize_command(modality, encoder, data_dir)}`",
            "vocabulary-mismatch",
        )
    namesake = Path(encoder.source).absolute().name
    chosen = _prefer(fitting, lambda c: c.tokens.name == namesake)
    if len({_tokenizer_digest(c) for c in chosen}) > 1:
        raise _ambiguous(data_dir, modality, chosen, f"several have the symbols of {encoder.spec}")
    return _logged(modality, candidates, chosen[0], f"for {encoder.spec}")


def _fits(vocabulary: Vocabulary | None, encoder: EncoderSpec) -> bool:
    if vocabulary is None:
        return False
    if vocabulary.digest and encoder.vocabulary_digest:
        return vocabulary.digest == encoder.vocabulary_digest
    return vocabulary.size == encoder.vocabulary_size


def _ambiguous(
    data_dir: Path, modality: str, candidates: Sequence[Candidate], why: str
) -> UsageError:
    return UsageError(
        f"{data_dir / modality}: holds the tokens of {len(candidates)} tokenizers, and {why}; "
        f"choose one by --{modality}-tokens {' or '.join(c.tokens.name for c in candidates)}",
        "tokens-ambiguous",
    )


def _names(candidates: Sequence[Candidate]) -> str:
    return ", ".join(c.tokens.name for c in candidates)


# -- The command that makes tokens -----------------------------------------------------------------


def tokenize_command(modality: str, encoder: EncoderSpec, data_dir: Path | str = "DATA") -> str:
    """Return the command that tokenizes for an encoder.

    >>> tokenize_command("text", EncoderSpec("hf:models/mpnet", "tokens"))
    'python -m data_prep.tokenize_text DATA --bpe hf:models/mpnet'
    """
    command = f"python -m data_prep.tokenize_{modality} {data_dir}"
    if not encoder.is_pretrained:
        return command
    if modality == SPEECH:
        return f"{command} --quantizer ... --dict its dict.txt"
    bpe = encoder.spec if encoder.kind == "hf" else "gpt2 --dict its dict.txt ..."
    return f"{command} --bpe {bpe}"


def command_of_trained(
    modality: str, encoder: EncoderSpec, data_dir: Path, trained: Vocabulary
) -> str:
    """Return the command that tokenizes with the tokenizer of a trained model."""
    folder = Path(trained.source).parent
    if _has_vocabulary(folder, trained):
        return f"`python -m data_prep.tokenize_{modality} {data_dir} --tokenizer {folder}`"
    if encoder.kind == "hf" and Path(encoder.source).is_dir():
        return f"`{tokenize_command(modality, encoder, data_dir)}`"
    source = f"{modality}/NAME of the data dir of the training, or {modality}/ of its export"
    command = f"python -m data_prep.tokenize_{modality} {data_dir} --tokenizer FOLDER"
    return f"`{command}` with {source} as FOLDER"


def _has_vocabulary(folder: Path, trained: Vocabulary) -> bool:
    """Return whether a folder has the tokenizer of a trained model, for which it needs a card."""
    try:
        own = read_vocabulary(folder) if TokenSet.of(folder).has_card else None
    except ValueError:
        return False
    return own is not None and own.is_same(trained)
