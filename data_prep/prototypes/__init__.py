"""prototypes.json: the VAD prototype of every class, of all corpora together and of each.

Written by `python -m data_prep.fit_prototypes` from the train split alone, and nothing else:

    {"label": "emotion", "statistic": "mean", "axes": ["valence", "arousal", "dominance"],
     "split": "train", "labels": ["neutral", "happy"], "rows": 480, "left_out": {"no emotion": 0,
     "VAD incomplete": 2},
     "all": {"prototypes": {"neutral": {"valence": 0.5, "arousal": 0.4, "dominance": 0.5,
                                        "n": 120, "mean_difficulty": 0.1}},
             "difficulty_quantiles": {"0.1": 0.04, ...}},
     "corpus": {"prototypes": {"iemocap": {"neutral": {...}}}, "difficulty_quantiles": {...}},
     "warnings": ["..."]}

A class without a row that has all three axes has no prototype. In use:

    p = read_prototypes(path)
    difficulties(vad, labels, p.array(names))                                   # scope "all"
    difficulties(vad, labels, p.by_corpus(names), p.domains(corpus_of_row))     # scope "corpus"
"""

from data_prep.prototypes.file import (
    PROTOTYPES_FILE,
    prototypes_path,
    read_prototypes,
    write_prototypes,
)
from data_prep.prototypes.maths import (
    difficulties,
    fit,
    fit_by_domain,
)
from data_prep.prototypes.records import (
    PUBLISHED,
    PUBLISHED_NAME,
    Centroid,
    Prototypes,
    canonical_label,
    published_prototypes,
)

__all__ = [
    "PROTOTYPES_FILE",
    "PUBLISHED",
    "PUBLISHED_NAME",
    "Centroid",
    "Prototypes",
    "canonical_label",
    "difficulties",
    "fit",
    "fit_by_domain",
    "prototypes_path",
    "published_prototypes",
    "read_prototypes",
    "write_prototypes",
]
