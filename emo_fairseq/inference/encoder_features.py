"""Extract the features that are the hidden states of a pretrained encoder, in torch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq import pretrained
from emo_fairseq.data.audio import InMemoryWaveforms
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.data.video import InMemoryClips
from emo_fairseq.data.vocabulary import read_vocabulary
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.input_processor import Extract, FeatureExtractorSpec, Features
from emo_fairseq.inference.torch_model import check_device
from emo_fairseq.inference.videos import Clips
from emo_fairseq.modalities import PIXELS, TOKENS, WAVEFORM
from emo_fairseq.models.encode import batch_budget, encode_rows, encoder_of_features


def extract_pretrained(spec: FeatureExtractorSpec, device: str) -> Extract:
    """Build what extracts the hidden states of an encoder.

    Raises:
        UsageError: there is no such device, or the tokenizer of the encoder has no vocabulary.
    """
    assert spec.encoder is not None
    backbone = pretrained.build(spec.encoder)
    backbone.load_state_dict(dict(spec.weights or {}))
    encoder = encoder_of_features(backbone, spec.settings["layer"])
    on = check_device(device)
    budget = batch_budget(spec.encoder.input, on)
    read = _READERS[spec.encoder.input](spec)

    def extract(sources: Sequence[Any]) -> list[Features]:
        dataset, totals, limit = read(sources)
        frames = encode_rows(encoder, dataset, budget, on)
        return [
            Features(row, min(total, limit), total)
            for row, total in zip(frames, totals, strict=True)
        ]

    return extract


# A dataset for the encoder, seconds or tokens of each row, and how many of them are read at most.
_Rows = tuple[Any, Sequence[float], float]


def _read_samples(spec: FeatureExtractorSpec) -> Callable[[Sequence[FloatArray]], _Rows]:
    max_seconds = float(spec.settings["max_seconds"])

    def read(sounds: Sequence[FloatArray]) -> _Rows:
        dataset = InMemoryWaveforms(sounds, int(max_seconds * SAMPLE_RATE))
        return dataset, [len(sound) / SAMPLE_RATE for sound in sounds], max_seconds

    return read


def _read_clips(spec: FeatureExtractorSpec) -> Callable[[Sequence[Clips]], _Rows]:
    options = spec.picture_options

    def read(videos: Sequence[Clips]) -> _Rows:
        clips = [clips[options] for clips in videos]
        dataset = InMemoryClips([clip.pictures for clip in clips], options)
        return dataset, [clip.total for clip in clips], options.max_seconds

    return read


def _read_tokens(spec: FeatureExtractorSpec) -> Callable[[Sequence[str]], _Rows]:
    assert spec.tokenizer is not None
    tokenizer, vocabulary = load_text_tokenizer(spec.tokenizer), read_vocabulary(spec.tokenizer)
    if vocabulary is None:
        raise UsageError(
            f"{spec.tokenizer}: has no vocabulary; export the checkpoint again",
            "vocabulary-missing",
        )
    specials, max_tokens = vocabulary.specials, int(spec.settings["max_tokens"])

    def read(texts: Sequence[str]) -> _Rows:
        ids = [tokenizer.encode(text) for text in texts]
        lengths = np.array([len(row) for row in ids])
        present = np.ones(len(ids), dtype=bool)
        dataset = TokenDataset(ids, lengths, present, specials, max_tokens)
        # Each row ends with the separator; the limit counts both boundary tokens.
        return dataset, [len(row) - 1 for row in ids], max_tokens - 2

    return read


_READERS: Mapping[str, Callable[[FeatureExtractorSpec], Callable[[Any], _Rows]]] = {
    TOKENS: _read_tokens,
    WAVEFORM: _read_samples,
    PIXELS: _read_clips,
}
