"""The page of all file formats: the docstring of the module that owns each, and its schema."""

import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel

from data_prep.manifest.columns import COLUMNS
from reference_pages.docstrings import to_markdown
from reference_pages.markdown import GENERATED, code, escaped, joined, table

_INTRODUCTION = """# File formats

Every file is read by one loader, which refuses what does not follow the format, in one sentence
with file, row or key, and remedy. [Data integrity](../explanation/data_integrity.md) lists what is
checked against records of size and SHA-256.

A data dir, as preparation writes it and training reads it:

```text
data/mine/
    corpus.yaml              labels, scales, counts, rows that were dropped
    train.tsv valid.tsv test.tsv
    folds/PROTOCOL.json      sets of cross-validation
    text/NAME/ speech/NAME/  tokens: {split}.bin, {split}.idx, dict.txt, tokenizer.yaml
    features/NAME/           stored features: {split}.npy, {split}.lengths, features.yaml
    packed_audio/            decoded audio: {split}.s16le, packed_audio.yaml
    prepared_from.json       source and options of `emotion-recognize train`
    prototypes.json          VAD prototypes of the emotions
    cache/                   outputs of frozen encoders
```
"""
_MANIFEST = "Manifest: {split}.tsv"


@dataclass(frozen=True)
class Format:
    """A file format: its title, the module whose docstring describes it, and its schemas."""

    title: str
    module: str
    schemas: tuple[str, ...] = ()


FORMATS = (
    Format(_MANIFEST, "data_prep.schema"),
    Format("corpus.yaml", "data_prep.manifest.corpus_card", ("CorpusCard", "SplitCard")),
    Format("prepared_from.json", "emo_fairseq.cli.train.data", ("PreparationRecord",)),
    Format("Folds: folds/PROTOCOL.json", "data_prep.folds.file", ("FoldsFile", "FoldSets")),
    Format("Tokens: tokenizer.yaml", "data_prep.tokens.folder", ("TokenizerCard", "SplitCounts")),
    Format("Stored features", "data_prep.features.layouts"),
    Format("features.yaml", "data_prep.features.stored", ("FeatureCard", "FeatureSplit")),
    Format(
        "packed_audio.yaml", "data_prep.packed_audio.card", ("PackCard", "PackedSplit", "SomeRows")
    ),
    Format("prototypes.json", "data_prep.prototypes.file", ("PrototypesFile", "CentroidEntry")),
    Format(
        "Environment of a training: environment.json",
        "emo_fairseq.tasks.environment",
        ("Environment",),
    ),
    Format("Predictions: predictions.tsv", "emo_fairseq.evaluation.predictions"),
    Format(
        "Facts beside predictions: predictions.json",
        "emo_fairseq.evaluation.predictions",
        ("PredictionFacts", "SetFacts"),
    ),
    Format(
        "Provenance: FILE.provenance.json",
        "data_prep.manifest.provenance",
        ("BesideState", "SeenState"),
    ),
    Format(
        "Model folder",
        "emo_fairseq.inference.model_folder.config",
        ("FolderConfig", "ProcessorConfig"),
    ),
    Format(
        "Ensemble folder: ensemble.json",
        "emo_fairseq.inference.ensemble_folder",
        ("EnsembleConfig", "StackingConfig"),
    ),
    Format("Turns: .rttm", "data_prep.segmentation.rttm"),
    Format("Turns: .TextGrid", "data_prep.segmentation.textgrid"),
    Format("Turns: .eaf", "data_prep.segmentation.eaf"),
    Format("Turns: .srt", "data_prep.segmentation.srt"),
    Format("Turns: .vtt", "data_prep.segmentation.vtt"),
    Format("Turns: .json of Whisper", "data_prep.segmentation.whisper"),
    Format("Turns: .csv", "data_prep.segmentation.table"),
    Format("Embeddings: FILE.npz", "emo_fairseq.evaluation.embeddings"),
    Format("Attention: FILE.npz", "emo_fairseq.evaluation.attention"),
)


def pages() -> dict[str, str]:
    """Return the page."""
    parts = [_INTRODUCTION, GENERATED]
    described: set[str] = set()
    for each in FORMATS:
        module = importlib.import_module(each.module)
        parts.append(f"## {each.title}")
        if each.module not in described:
            parts.append(to_markdown(inspect.getdoc(module) or ""))
        described.add(each.module)
        if each.title == _MANIFEST:
            parts.append(_columns())
        parts += [_schema(getattr(module, name)) for name in each.schemas]
    return {"reference/formats.md": joined(parts)}


def _columns() -> str:
    """Return a table of the columns of a manifest."""
    rows = [
        [code(column.name), "no" if column.optional else "yes", escaped(column.help)]
        for column in COLUMNS
    ]
    return table(["column", "required", ""], rows)


def _schema(schema: type[BaseModel]) -> str:
    summary = (schema.__doc__ or "").partition("\n")[0].replace("``", "`")
    rows = [_field(schema, name) for name in schema.model_fields]
    return f"`{schema.__name__}`: {summary}\n\n{table(['key', 'type', 'required', ''], rows)}"


def _field(schema: type[BaseModel], name: str) -> list[str]:
    required = "yes" if schema.model_fields[name].is_required() else "no"
    kind = _type(get_type_hints(schema)[name])  # without the checks of Annotated
    return [f"`{name}`", code(kind), required, escaped(_comment(schema, name))]


def _type(annotation: Any) -> str:
    """Return a type as it is written, without modules.

    >>> _type(int), _type(dict[str, int] | None)
    ('int', 'dict[str, int] | None')
    """
    plain = isinstance(annotation, type) and not get_args(annotation)
    text = annotation.__name__ if plain else str(annotation)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def _comment(schema: type[BaseModel], name: str) -> str:
    """Return the comment behind a field."""
    match = re.search(rf"^ +{name}: [^#\n]*# (.*)$", inspect.getsource(schema), re.MULTILINE)
    return match.group(1) if match else ""
