"""Which encoder each modality gets: described when a training starts, compared ever after."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prep.features.stored import content_of, rows_digest, settings_digest
from data_prep.schema import Utterance, read_manifest
from emo_fairseq import pretrained
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.fit import scratch_spec
from emo_fairseq.data.manifest import read_corpus_file
from emo_fairseq.encoder_spec import (
    PRETRAINED,
    EncoderSpec,
    check_spec,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    FRAMES,
    SPEECH,
    VIDEO,
)

logger = logging.getLogger(__name__)


# -- cards -----------------------------------------------------------------------------------------


def describe_encoders(
    source: DataDir, known: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The card of every modality's encoder, as ``--{modality}-encoder`` asks for it.

    Args:
        source: the data dir and the options.
        known: cards of the checkpoint that this training goes on from; they are taken where they
            are of the encoder that is asked for, so that the pretrained files may be gone.

    Raises:
        UsageError: a spec that is not understood, or that names what is not there.
    """
    specs = {name: getattr(source.cfg, f"{name}_encoder") for name in source.modalities}
    return {
        name: known[name]
        if name in known and _is_pretrained(spec) and known[name]["spec"] == spec
        else _describe(source, name, spec).to_state()
        for name, spec in specs.items()
    }


def _is_pretrained(spec: str | None) -> bool:
    return spec is not None and spec.partition(":")[0] in PRETRAINED


def _describe(source: DataDir, modality: str, spec: str | None) -> EncoderSpec:
    if spec is None and modality == VIDEO:
        raise UsageError(
            "--modality with video needs --video-encoder features:NAME", "encoder-missing"
        )
    kind = "scratch" if spec is None else check_spec(modality, spec).partition(":")[0]
    if modality == SPEECH and kind != "scratch" and source.cfg.speech_input is not None:
        raise UsageError(
            f"--speech-input {source.cfg.speech_input}: what {spec} reads is its own matter; "
            "leave the option out",
            "option-unused",
        )
    if spec is None or kind == "scratch":
        return scratch_spec(source, modality)
    if kind == "features":
        card = EncoderSpec(spec, FRAMES)
        return replace(card, weights=_made_by(source.folder, card))
    card = pretrained.describe(modality, spec)
    logger.info("%s: encoder %s, weights %s", modality, spec, card.weights[:12])
    return card


def _made_by(data_dir: Path, card: EncoderSpec) -> str:
    try:
        return settings_digest(data_dir / "features" / card.source)
    except ValueError as error:
        raise UsageError.of(error, "features-unreadable") from error


def feature_contents(source: DataDir) -> dict[str, dict[str, list[str]]]:
    """What the stored features of every split are, for each modality that is read as such.

    Returns:
        By modality and split on disk a digest of the manifest's rows, and one of the features; see
        :func:`data_prep.features.stored.content_of`.

    Raises:
        UsageError: a file of the features cannot be read.
    """
    names = source.modalities_of(FRAMES)
    splits = _stored_splits(source.folder) if names else {}
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        folder = source.folder / "features" / source.encoders[name].source
        contents = {split: _content_of(folder, split, rows) for split, rows in splits.items()}
        found[name] = {
            split: [rows_digest(splits[split]), content]
            for split, content in contents.items()
            if content
        }
    return found


def _stored_splits(data_dir: Path) -> dict[str, list[Utterance]]:
    corpus = read_corpus_file(data_dir)
    names = sorted(file.stem for file in data_dir.glob("[!.]*.tsv")) if corpus is None else ()
    splits = names if corpus is None else corpus.splits
    files = {split: data_dir / f"{split}.tsv" for split in splits}
    return {split: read_manifest(file) for split, file in files.items() if file.is_file()}


def _content_of(folder: Path, split: str, rows: Sequence[Utterance]) -> str:
    try:
        return content_of(folder, split, rows)
    except ValueError as error:
        raise UsageError.of(error, "features-unreadable") from error


def check_same_features(
    cards: Mapping[str, EncoderSpec],
    data_dir: Path,
    contents: Mapping[str, Mapping[str, Sequence[str]]],
) -> None:
    """See that stored features are those that a model was trained on, or were made as those.

    Args:
        cards: of the model's encoders. What others made, or an older version, says nothing.
        data_dir: whose features are read.
        contents: what :func:`feature_contents` returned when the model was trained. Splits of other
            rows, of another corpus, are not compared.

    Raises:
        UsageError: another encoder, layer or pooling made them, which may have the same width, or
            their content has changed since.
    """
    for name, card in cards.items():
        if card.kind != "features":
            continue
        folder = data_dir / "features" / card.source
        there = _made_by(data_dir, card)
        if card.weights and there and there != card.weights:
            raise UsageError(
                f"{folder}: made by another encoder, layer or pooling than "
                f"the {name} features that the model was trained on; extract them as those were",
                "features-encoder-changed",
            )
        for split, (of_rows, content) in contents.get(name, {}).items():
            file = data_dir / f"{split}.tsv"
            rows = read_manifest(file) if file.is_file() else []
            if rows_digest(rows) != of_rows:
                continue
            now = _content_of(folder, split, rows)
            if now and now != content:
                raise UsageError(
                    f"{folder}: the features of {split} are no longer those that the model was "
                    f"trained with (digest {now[:12]}, and {content[:12]} then); put the former "
                    "ones back there, or train anew with another --save-dir",
                    "features-changed",
                )


def check_same_encoders(
    trained: Mapping[str, EncoderSpec], given: Mapping[str, EncoderSpec]
) -> None:
    """Check that a training is resumed with the encoders that it began with.

    Args:
        trained: encoders of the checkpoint, by modality.
        given: those that the options name. The same weights may be elsewhere by now.

    Raises:
        UsageError: another encoder, which may have the same shapes and so would pass unnoticed.
    """
    for name in given:
        if name not in trained:
            continue
        before, now = trained[name], given[name]
        if _identity(before) != _identity(now):
            raise UsageError(
                f"--{name}-encoder {now.spec} ({now.weights[:12] or 'no weights'}): the checkpoint "
                f"was trained with {before.spec} ({before.weights[:12] or 'no weights'}); give "
                "that one, or start afresh with another --save-dir",
                "resumed-encoder-other",
            )


def _identity(card: EncoderSpec) -> tuple[str, str, str]:
    """Sizes are none of it: fairseq compares the shapes."""
    return card.kind, card.weights, card.source if card.kind == "features" else ""
