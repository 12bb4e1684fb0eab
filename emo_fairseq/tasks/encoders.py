"""The encoder of each modality: described when a training starts, compared when it is resumed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prep.features.stored import content_of, features_folder, read_card, settings_digest
from data_prep.manifest.digests import rows_digest
from data_prep.manifest.table import ManifestTable
from data_prep.schema import read_manifest
from emo_fairseq import pretrained
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.manifest import read_corpus_file
from emo_fairseq.encoder_spec import (
    PRETRAINED,
    STORED_LAYERS,
    EncoderSpec,
    check_spec,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, SPEECH, TEXT, TOKENS, VIDEO, WAVEFORM

logger = logging.getLogger(__name__)


# -- descriptions ----------------------------------------------------------------------------------


def describe_encoders(
    source: DataDir, known: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Describe the encoder of every modality, that of ``--{modality}-encoder``.

    Args:
        source: the data dir and the options.
        known: states of encoders in the checkpoint that this training resumes from. One of the
            given encoder is reused, so that the pretrained files need not exist any more.

    Returns:
        The state of an :class:`emo_fairseq.encoder_spec.EncoderSpec` by modality.

    Raises:
        UsageError: an unknown encoder, or one whose files do not exist.
    """
    specs = {name: getattr(source.cfg, f"{name}_encoder") for name in source.modalities}
    return {
        name: _with_options(source, known[name])
        if name in known and _is_pretrained(spec) and known[name]["spec"] == spec
        else _describe(source, name, spec).to_state()
        for name, spec in specs.items()
    }


def _with_options(source: DataDir, known: dict[str, Any]) -> dict[str, Any]:
    spec = EncoderSpec(**known).with_whisper_padding(str(source.cfg.whisper_padding))
    return spec.to_state()


def _is_pretrained(spec: str | None) -> bool:
    return spec is not None and spec.partition(":")[0] in PRETRAINED


def _describe(source: DataDir, modality: str, spec: str | None) -> EncoderSpec:
    if spec is None and modality == VIDEO:
        raise UsageError(
            "--modality with video needs --video-encoder hf:FOLDER or features:NAME",
            "encoder-missing",
        )
    kind = "scratch" if spec is None else check_spec(modality, spec).partition(":")[0]
    if modality == SPEECH and kind != "scratch" and source.cfg.speech_input is not None:
        raise UsageError(
            f"--speech-input {source.cfg.speech_input}: {spec} determines what it reads; "
            "leave the option out",
            "option-unused",
        )
    if spec is None or kind == "scratch":
        return _scratch_spec(source, modality)
    if kind == "features":
        return _describe_features(source.folder, spec)
    encoder_spec = pretrained.describe(modality, spec, str(source.cfg.whisper_padding))
    logger.info("%s: encoder %s, weights %s", modality, spec, encoder_spec.weights[:12])
    return encoder_spec


def _scratch_spec(source: DataDir, modality: str) -> EncoderSpec:
    """Return the spec of an encoder without pretrained weights, which reads ``--speech-input``."""
    spec = getattr(source.cfg, f"{modality}_encoder") or "scratch:"
    if modality == TEXT:
        return EncoderSpec(spec, TOKENS)
    kind = source.cfg.speech_input or (TOKENS if source.is_legacy else WAVEFORM)
    return EncoderSpec(spec, str(kind))


def _describe_features(data_dir: Path, spec: str) -> EncoderSpec:
    encoder_spec = EncoderSpec(spec, FRAMES)
    folder = features_folder(data_dir, encoder_spec.source)
    settings = read_card(folder).get("settings", {})
    architecture = {name: settings[name] for name in (STORED_LAYERS,) if name in settings}
    return replace(encoder_spec, weights=settings_digest(folder), architecture=architecture)


def feature_contents(source: DataDir) -> dict[str, dict[str, list[str]]]:
    """Return digests of the stored features of every split, for each modality that reads features.

    A split that has none is warned of, since a training would end before it is scored.

    Returns:
        By modality and split on disk a digest of the manifest's rows, and one of the features; see
        :func:`data_prep.features.stored.content_of`.

    Raises:
        CodedError: a file of the features cannot be read.
    """
    names = source.modalities_of(FRAMES)
    splits = _stored_splits(source.folder) if names else {}
    digests: dict[str, dict[str, list[str]]] = {}
    for name in names:
        folder = features_folder(source.folder, source.encoders[name].source)
        contents = {split: content_of(folder, split, rows) for split, rows in splits.items()}
        if lacking := [split for split, content in contents.items() if not content]:
            logger.warning(
                "%s: has no features of %s, which cannot be scored before they are extracted",
                folder,
                ", ".join(lacking),
            )
        digests[name] = {
            split: [rows_digest(splits[split]), content]
            for split, content in contents.items()
            if content
        }
    return digests


def _stored_splits(data_dir: Path) -> dict[str, ManifestTable]:
    corpus = read_corpus_file(data_dir)
    names = sorted(file.stem for file in data_dir.glob("[!.]*.tsv")) if corpus is None else ()
    splits = names if corpus is None else corpus.splits
    files = {split: data_dir / f"{split}.tsv" for split in splits}
    return {split: read_manifest(file) for split, file in files.items() if file.is_file()}


def check_same_features(
    specs: Mapping[str, EncoderSpec],
    data_dir: Path,
    contents: Mapping[str, Mapping[str, Sequence[str]]],
) -> None:
    """Check that stored features are those that a model was trained on, or were extracted alike.

    Args:
        specs: of the model's encoders. Features of other tools, or of an older version, pass.
        data_dir: whose features are read.
        contents: what :func:`feature_contents` returned when the model was trained. Splits of other
            rows, of another corpus, are not compared.

    Raises:
        UsageError: another encoder, layer or pooling made them, which may have the same width, or
            their content has changed since.
        CodedError: a file of the features cannot be read.
    """
    for name, encoder_spec in specs.items():
        if encoder_spec.kind != "features":
            continue
        folder = features_folder(data_dir, encoder_spec.source)
        stored = settings_digest(folder)
        if encoder_spec.weights and stored and stored != encoder_spec.weights:
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
            current = content_of(folder, split, rows)
            if current and current != content:
                raise UsageError(
                    f"{folder}: the features of {split} are no longer those that the model was "
                    f"trained with (digest {current[:12]}, and {content[:12]} then); put the "
                    "former ones back, or train anew with another --save-dir",
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
        if before.whisper_padding != now.whisper_padding:
            raise UsageError(
                f"--whisper-padding {now.whisper_padding}: the checkpoint was trained with "
                f"{before.whisper_padding}; give that one, or start afresh with another --save-dir",
                "resumed-encoder-other",
            )


def _identity(encoder_spec: EncoderSpec) -> tuple[str, str, str]:
    """Return what must not change; sizes may, since fairseq compares the shapes."""
    return (
        encoder_spec.kind,
        encoder_spec.weights,
        encoder_spec.source if encoder_spec.kind == "features" else "",
    )
