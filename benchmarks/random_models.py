"""Folders of Hugging Face encoders with random weights, and corpora of noise: for speed alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import tokenizers
import torch
import transformers

from data_prep.schema import SAMPLE_RATE, Corpus, Utterance, write_corpus

EMOTIONS = ("neutral", "happy", "sad", "angry")
N_WORDS = 2_000
_WORDS_PER_SECOND = 2.5
_N_EVALUATED = 4  # rows of the valid and of the test split, which are not read


def save_wav2vec2(folder: Path, n_layers: int) -> str:
    """Save a wav2vec 2.0 of base size with so many layers, and its feature extractor.

    Dropout is that of facebook/wav2vec2-base; LayerDrop and SpecAugment are off, as they are in the
    plugin.
    """
    torch.manual_seed(1)
    config = transformers.Wav2Vec2Config(
        num_hidden_layers=n_layers,
        activation_dropout=0.0,
        feat_proj_dropout=0.1,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.0,
    )
    config.vocab_size = config.hidden_size
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


def save_minilm(folder: Path) -> str:
    """Save a BERT of the size of MiniLM-L6, whose tokens are the words of :func:`write_noise`."""
    torch.manual_seed(1)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = {word: n for n, word in enumerate(list(specials) + [_word(n) for n in range(N_WORDS)])}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


def write_noise(folder: Path, n_rows: int, shortest: float = 0.0, longest: float = 12.0) -> str:
    """Write a data dir of noise; the same numbers always give the same one.

    Args:
        folder: to be written.
        n_rows: of the train split.
        shortest: seconds; 0 = lengths as in conversations: a log-normal distribution with a median
            of 3 s, and no less than 1 s.
        longest: seconds; without `shortest`, longer clips are cut.
    """
    draw = np.random.default_rng(1)

    def rows(split: str, number: int) -> Iterator[Utterance]:
        (folder / "audio").mkdir(parents=True, exist_ok=True)
        for row in range(number):
            if shortest:
                seconds = draw.uniform(shortest, longest)
            else:
                seconds = float(np.clip(3 * np.exp(0.6 * draw.normal()), 1, longest))
            noise = 0.1 * draw.normal(size=int(seconds * SAMPLE_RATE))
            audio = f"audio/{split}_{row:04d}.flac"
            soundfile.write(folder / audio, noise, SAMPLE_RATE, subtype="PCM_16")
            words = draw.integers(N_WORDS, size=max(1, round(seconds * _WORDS_PER_SECOND)))
            yield Utterance(
                f"{split}_{row:04d}",
                audio=audio,
                n_samples=len(noise),
                text=" ".join(map(_word, words.tolist())),
                emotion=EMOTIONS[row % len(EMOTIONS)],
            )

    sizes = {"train": n_rows, "valid": _N_EVALUATED, "test": _N_EVALUATED}
    splits = {split: list(rows(split, number)) for split, number in sizes.items()}
    write_corpus(folder, Corpus("noise", labels={"emotion": EMOTIONS}), splits)
    return str(folder)


def copy_ravdess(corpus: Path, folder: Path, n_rows: int) -> str:
    """Write a data dir of clips of RAVDESS, drawn at random; the same number gives the same ones.

    Args:
        corpus: has Actor_01 ... Actor_24.
        folder: to be written; the clips are copied into it.
        n_rows: of the train split.
    """
    files = sorted(corpus.glob("Actor_*/03-*.*"))
    if not files:
        raise SystemExit(f"{corpus}: no Actor_XX/03-*.wav or .flac there")
    order = np.random.default_rng(1).permutation(len(files))[: n_rows + 2 * _N_EVALUATED]
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in order.tolist():
        audio = folder / "audio" / files[number].name
        audio.write_bytes(files[number].read_bytes())
        emotion = EMOTIONS[int(audio.name.split("-")[2]) % len(EMOTIONS)]
        n_samples = soundfile.info(audio).frames
        rows.append(
            Utterance(audio.stem, audio=f"audio/{audio.name}", n_samples=n_samples, emotion=emotion)
        )
    ends = {"valid": rows[:_N_EVALUATED], "test": rows[_N_EVALUATED : 2 * _N_EVALUATED]}
    splits = {"train": rows[2 * _N_EVALUATED :], **ends}
    write_corpus(folder, Corpus("ravdess", labels={"emotion": EMOTIONS}), splits)
    return str(folder)


def _word(number: int) -> str:
    return f"word{number}"
