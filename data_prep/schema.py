"""The format of data dirs: manifest columns, `Utterance`, `Corpus`, and their readers and writers.

A data dir holds one `{split}.tsv` per split and one `corpus.yaml`. A manifest is tab-separated with
one header row and no quoting; an empty field is a missing value, never 0. `audio` is relative to
`--data-raw`, by default the folder that corpus.yaml keeps as `data_raw`, and without that the data
dir; `n_samples` counts samples per channel after resampling to `corpus.yaml`'s `sample_rate`;
valence, arousal and dominance are in [0, 1]. The optional columns `start` and `end` give the
seconds of a segment of a longer recording (empty: from its beginning, to its end); `n_samples` then
counts the segment, which is read by seeking. `votes` holds how many annotators chose each emotion,
such as `angry:2 sad:1`; a row without agreement, or whose majority is no class, has an empty
`emotion` and keeps its votes. `n_annotators`, `valence_sd`, `arousal_sd` and `dominance_sd`
describe the ratings whose means are valence, arousal and dominance.
`python -m data_prep.validate DATA_DIR` checks all of it.
"""

from data_prep.manifest.columns import (
    AXES,
    KNOWN_COLUMNS,
    LABEL_COLUMNS,
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
)
from data_prep.manifest.corpus_card import read_corpus, shared_values, write_corpus
from data_prep.manifest.records import (
    CORPUS_FILE,
    SAMPLE_RATE,
    SPLITS,
    TEST,
    TRAIN,
    VALID,
    Corpus,
    DroppedRow,
    Utterance,
    scale_vad,
    unscale_vad,
    vad_scale,
)
from data_prep.manifest.tsv import read_manifest, scan_manifest, write_manifest

__all__ = [
    "AXES",
    "CORPUS_FILE",
    "KNOWN_COLUMNS",
    "LABEL_COLUMNS",
    "OPTIONAL_COLUMNS",
    "REQUIRED_COLUMNS",
    "SAMPLE_RATE",
    "SPLITS",
    "TEST",
    "TRAIN",
    "VALID",
    "Corpus",
    "DroppedRow",
    "Utterance",
    "read_corpus",
    "read_manifest",
    "scale_vad",
    "scan_manifest",
    "shared_values",
    "unscale_vad",
    "vad_scale",
    "write_corpus",
    "write_manifest",
]
