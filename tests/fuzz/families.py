"""The formats that the product reads, each as a small valid instance and its reader."""

import argparse
import csv
import functools
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from hf_folders import build as build_hf_folder

from data_prep.audio.loading import load_audio
from data_prep.commands.pack_audio import pack_audio
from data_prep.commands.validate import validate
from data_prep.corpora.toy import prepare_toy
from data_prep.errors import ManifestError
from data_prep.features.mmsa_pickles import load_pickle, read_modality
from data_prep.features.stored import open_features, write_split
from data_prep.folds.file import read_folds
from data_prep.packed_audio.opening import open_packed
from data_prep.prototypes import read_prototypes
from data_prep.schema import (
    Corpus,
    Utterance,
    read_corpus,
    read_manifest,
    write_corpus,
)
from data_prep.segmentation.formats import FORMATS, read_segmentation, write_turns
from data_prep.segmentation.turn import Turn
from data_prep.tables.prepare import prepare_table
from data_prep.tables.recipe import TableRecipe
from emo_fairseq.data.fold import read_fold
from emo_fairseq.data.legacy import read_split as read_legacy
from emo_fairseq.data.tokens import open_binarized
from emo_fairseq.data.vocabulary import read_vocabulary
from emo_fairseq.evaluation import (
    attention,
    embeddings,
    predictions,
)
from emo_fairseq.evaluation.embeddings import read_embeddings
from emo_fairseq.experiments.scoring_sets import read_label_map
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.vad_to_emotion.design import Design
from emo_fairseq.vad_to_emotion.forest import fit_forest, read_forest, write_forest
from fuzz.harness import Family

ROWS = [
    Utterance(
        f"u{number}",
        text=f"some words {number}, and more",
        speaker=f"s{number % 3}",
        emotion=("happy", "sad")[number % 2],
        valence=number / 8,
        arousal=0.5,
        dominance=1 - number / 8,
        votes=("happy:2 sad:0.5", "sad:3 other:1", None)[number % 3],
        n_annotators=3,
        valence_sd=number / 16,
    )
    for number in range(8)
]


def tone(seconds: float = 0.2, rate: int = 16_000) -> np.ndarray:
    """(T,) of a swelling tone."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 220 * t) * (0.5 + 0.5 * np.sin(9 * t))).astype(np.float32)


# -- the data dir ----------------------------------------------------------------------------------


def _build_data_dir(folder: Path) -> None:
    rows = {"train": ROWS, "valid": [Utterance("v0", text="hi", emotion="sad")]}
    write_corpus(folder, Corpus("small", labels={"emotion": ("happy", "sad")}), rows)


def _read_data_dir(folder: Path) -> Any:
    if faults := validate(folder):
        raise ManifestError("\n".join(map(str, faults)))
    corpus = read_corpus(folder)
    return corpus, {split: read_manifest(folder / f"{split}.tsv") for split in corpus.splits}


# -- tables ----------------------------------------------------------------------------------------


def _build_table(folder: Path, suffix: str = ".csv") -> None:
    delimiter = {".csv": ",", ".tsv": "\t"}
    file = folder / f"table{suffix}"
    rows = [
        {"id": row.id, "text": f'he said "{row.text}"', "emotion": row.emotion, "who": row.speaker}
        for row in ROWS
    ]
    if suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix in (".xlsx", ".ods"):
        import pandas

        engine = "odf" if suffix == ".ods" else "openpyxl"
        pandas.DataFrame(rows).to_excel(file, index=False, engine=engine)
    elif suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    else:
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter[suffix])
            writer.writeheader()
            writer.writerows(rows)


_COLUMNS = {"id": "id", "text": "text", "emotion": "emotion", "speaker": "who"}


def _read_table(folder: Path) -> Any:
    (file,) = folder.glob("table.*")
    recipe = TableRecipe(name="t", columns=_COLUMNS, split_by="row")
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    try:
        corpus = prepare_table({"": file}, out, recipe)
        return corpus, [read_manifest(out / f"{split}.tsv") for split in corpus.splits]
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _read_published_table(folder: Path) -> Any:
    from data_prep.tables.published import make_plan, prepare_hf_table
    from data_prep.tables.reader import open_table

    (file,) = folder.glob("table.*")
    out = folder / "out"
    recipe = TableRecipe(name="t", columns=_COLUMNS, split_by="row")
    try:
        sources = {"": [open_table(file)]}
        corpus = prepare_hf_table(sources, out, *make_plan(sources, recipe))
        return corpus, [read_manifest(out / f"{split}.tsv") for split in corpus.splits]
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _build_german_table(folder: Path) -> None:
    rows = [
        f"Satz {row.id}, und mehr;{('Glück', 'Ärger')[n % 2]};s{n % 4};{1 + n % 4},5"
        for n, row in enumerate(ROWS)
    ]
    text = "\r\n".join(["Äußerung;Gefühl;Sprecher;Valenz", *rows, ""])
    (folder / "labels.csv").write_bytes(text.encode("cp1252"))


def _read_inferred_table(folder: Path) -> Any:
    from data_prep.tables.decisions import infer_recipe
    from data_prep.tables.options import add_preparation_options

    parser = argparse.ArgumentParser()
    add_preparation_options(parser)
    tables = {"": folder / "labels.csv"}
    found = infer_recipe(tables, parser.parse_args(["--vad-scale", "1", "5"]), ["prepare"])
    out = folder / "out"
    try:
        corpus = prepare_table(tables, out, found.recipe)
        return corpus, [read_manifest(out / f"{split}.tsv") for split in corpus.splits]
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _build_dataset(folder: Path) -> None:
    import datasets

    rows = {"id": [row.id for row in ROWS], "text": [row.text for row in ROWS]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(folder / "set"))


def _read_dataset(folder: Path) -> Any:
    from data_prep.tables.datasets_table import open_saved

    tables = open_saved(folder / "set")
    return {split: [list(part.rows()) for part in parts] for split, parts in tables.items()}


# -- segmentations ---------------------------------------------------------------------------------


def _segmentation(kind: str) -> Family:
    file = f"turns{FORMATS[kind].suffix}"
    build = functools.partial(_build_segmentation, kind=kind, file=file)
    return _documents(f"segmentation: {kind}", build, file, read_segmentation)


def _build_segmentation(folder: Path, kind: str, file: str) -> None:
    turns = [
        Turn(Decimal(2 * number) / 8, Decimal(2 * number + 1) / 8, row.speaker, row.text)
        for number, row in enumerate(ROWS)
    ]
    if FORMATS[kind].write is not None:
        (folder / file).write_text(write_turns(turns, kind, recording="a.wav", labels=["sad"] * 8))
        return
    segments = [
        {"start": float(turn.start), "end": float(turn.end), "text": turn.text} for turn in turns
    ]
    if FORMATS[kind].suffix == ".jsonl":
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in segments))
    else:
        (folder / file).write_text(json.dumps({"segments": segments}))


# -- audio -----------------------------------------------------------------------------------------


def _build_audio(folder: Path, name: str, **options: Any) -> None:
    if Path(name).suffix in (".m4a", ".mp4", ".webm"):
        _encode_by_av(folder / name)
    else:
        soundfile.write(folder / name, np.stack([tone(), 0.5 * tone()], axis=1), 16_000, **options)


def _encode_by_av(file: Path) -> None:
    import av

    codec = "libopus" if file.suffix == ".webm" else "aac"
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(0.5, 48_000)[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=48_000)
        for part in resampler.resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def _read_audio(folder: Path) -> Any:
    (file,) = (path for path in folder.iterdir() if path.is_file())
    samples = load_audio(file)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert np.isfinite(samples).all()
    return samples


def _audio(name: str, **options: Any) -> Family:
    build = functools.partial(_build_audio, name=name, **options)
    label = Path(name).suffix.lstrip(".") + (f" {options['subtype']}" if options else "")
    # The loader states what is wrong, and its callers add the name of the file.
    return Family(f"audio: {label.lower()}", build, [name], _read_audio, names_file=False)


# -- features, tokens ------------------------------------------------------------------------------

_SETTINGS = {"features": "noise", "dtype": "float32"}


def _frames() -> list[np.ndarray]:
    noise = np.random.default_rng(1)
    return [noise.normal(size=(2 + number, 5)).astype(np.float32) for number in range(len(ROWS))]


def _build_features(folder: Path) -> None:
    write_split(folder, "train", ROWS, iter(_frames()), _SETTINGS, "content")


def _read_features(folder: Path) -> Any:
    stored = open_features(folder, "train", ROWS)
    if stored is None:
        raise ManifestError(f"{folder}: has no features of train")
    return [np.array(stored[row]) for row in range(len(stored))]


SOUNDS = [Utterance(f"u{number}", audio=f"{number}.wav", n_samples=3200) for number in range(4)]


def _build_packed_audio(folder: Path) -> None:
    for number, row in enumerate(SOUNDS):
        soundfile.write(folder / str(row.audio), tone() / (1 + number), 16_000)
    write_corpus(folder, Corpus("sounds"), {"train": SOUNDS})
    pack_audio(folder)


def _read_packed_audio(folder: Path) -> Any:
    packed = open_packed(folder / "packed_audio", folder / "train.tsv", SOUNDS, folder, 16_000)
    if packed is None:
        raise ManifestError(f"{folder}/packed_audio: is not that of its files")
    for row in range(len(packed)):
        packed.check(row)
    return [packed.read(row) for row in range(len(packed))]


def _build_foreign_features(folder: Path) -> None:
    np.save(folder / "train.npy", np.concatenate(_frames()))
    (folder / "train.lengths").write_text("".join(f"{len(frames)}\n" for frames in _frames()))


@functools.cache
def toy_data_dir(place: Path) -> Path:
    """A toy data dir with tokens, made once."""
    from data_prep.commands.tokenize_text import tokenize_with_sentencepiece
    from data_prep.tokens.kmeans_corpus import tokenize_with_kmeans

    prepare_toy(place, n_train=16, n_valid=8, n_test=8, speakers=(2, 2, 2))
    tokenize_with_sentencepiece(place, vocab_size=300, name=".")
    tokenize_with_kmeans(place, n_clusters=8, max_train_frames=1000, name=".")
    return place


def _build_tokens(folder: Path, toy: Path, kind: str) -> None:
    shutil.copytree(toy_data_dir(toy) / kind, folder / kind)


def _read_tokens(folder: Path, toy: Path, kind: str) -> Any:
    rows = read_manifest(toy_data_dir(toy) / "train.tsv")
    dataset = open_binarized(folder / kind, "train", rows)
    vocabulary = read_vocabulary(folder / kind)
    return [dataset[row].numpy() for row in range(len(dataset))], vocabulary


# -- documents -------------------------------------------------------------------------------------


def _build_folds(folder: Path) -> None:
    from data_prep.folds.__main__ import main

    write_corpus(folder, Corpus("small", labels={"emotion": ("happy", "sad")}), {"train": ROWS})
    assert main([str(folder), "--protocol", "leave_one_speaker_out", "--base", "train"]) == 0


def _read_folds(folder: Path) -> Any:
    folds = read_folds(folder / "folds" / "leave_one_speaker_out.json")
    return folds, [read_fold(folder, f"leave_one_speaker_out/{name}") for name in folds.folds]


def _build_prototypes(folder: Path) -> None:
    from data_prep.commands.fit_prototypes import main

    _build_data_dir(folder)
    assert main([str(folder)]) == 0


def _build_label_map(folder: Path) -> None:
    (folder / "map.yaml").write_text("joy: happy\nsadness: sad\nother: null\n")


# -- MMSA's pickles --------------------------------------------------------------------------------


def _build_mmsa(folder: Path) -> None:
    names = [f"{row.id}$_$1" for row in ROWS]
    noise = np.random.default_rng(1)
    lengths = [1 + number % 4 for number in range(len(ROWS))]
    audio = np.zeros((len(ROWS), 4, 3), np.float32)
    for number, length in enumerate(lengths):
        audio[number, :length] = noise.normal(size=(length, 3))
    content = {
        split: {"id": names, "audio": audio, "audio_lengths": lengths} for split in ("train",)
    }
    (folder / "features.pkl").write_bytes(pickle.dumps(content, protocol=4))


def _read_mmsa(folder: Path) -> Any:
    file = folder / "features.pkl"
    return read_modality(file, load_pickle(file), "audio")


# -- what training and scoring write ---------------------------------------------------------------


def _build_predictions(folder: Path) -> None:
    rows = [
        {
            "id": row.id,
            "split": "test",
            "truth": row.emotion,
            "prediction": "sad",
            "probability_happy": 0.25,
            "probability_sad": 0.75,
            "votes_happy": 0.4,
            "votes_sad": 0.6,
        }
        for row in ROWS
    ]
    predictions.write(folder / "predictions.tsv", rows)


def _build_embeddings(folder: Path) -> None:
    noise = np.random.default_rng(1)
    rows = [embeddings.Embedded(row.id, "test", noise.normal(size=4)) for row in ROWS]
    embeddings.write(folder / "embeddings.npz", rows)


def _read_embeddings(folder: Path) -> Any:
    return read_embeddings(folder / "embeddings.npz", "test", [row.id for row in ROWS])


def _build_attention(folder: Path) -> None:
    weights = {"text": np.full(3, 1 / 3, np.float32)}
    rows = [attention.Attended("u0", "test", ["a", "b", "c"], None, weights)]
    attention.write(folder / "attention.npz", rows)


def _build_forest(folder: Path) -> None:
    noise = np.random.default_rng(1)
    labels = ("happy", "sad")
    about = {"corpus": "c", "fitted_on": "x", "regressor": {}}
    forest = fit_forest(
        noise.random((40, 3)), noise.integers(0, 2, 40), labels, Design(trees=4), about
    )
    write_forest(forest, folder / "forest.skops")


def _read_forest(folder: Path) -> Any:
    grid = np.random.default_rng(2).random((20, 3))
    return read_forest(folder / "forest.skops").probabilities(grid)


def _read_model(folder: Path, data: Path | None = None) -> Any:
    place = folder / "model" if data is None else folder / "checkpoint.pt"
    recognizer = load_predictor(place, "cpu", data)
    predictions = recognizer.predict(None, ["I am so happy about it.", "Me too."], dialogue="d")
    return [prediction.as_dict() for prediction in predictions]


def _read_onnx(folder: Path) -> Any:
    from emo_fairseq.inference.predictor import load_predictor

    predictor = load_predictor(folder / "model", onnx=True)
    predictions = predictor.predict(None, ["I am happy.", "Me too."], dialogue="d")
    return [prediction.as_dict() for prediction in predictions]


# -- T_data, the layout of BERT-like fine-tuning ---------------------------------------------------


def _build_legacy(folder: Path) -> None:
    names = [row.id for row in ROWS]
    codes = {"happy": "hap", "sad": "sad"}
    labels = "".join(f"{row.id},{codes[row.emotion or '']}\n" for row in ROWS)
    (folder / "label_file_train.csv").write_text(f"FileName,Emotion\n{labels}")
    (folder / "train_t.tsv").write_text("".join(f"{name}.txt\n" for name in names))
    (folder / "train_size.tsv").write_text("".join(f"{name},4,4\n" for name in names))
    texts = folder / "train" / "text"
    texts.mkdir(parents=True)
    for number, name in enumerate(names):
        (texts / f"{name}.txt").write_text(f"0\t{10 + number}\t20\t2")


def _read_legacy(folder: Path) -> Any:
    rows, tokens = read_legacy(folder, folder, "train", ["text"])
    return rows, {name: list(found) for name, found in tokens.items()}


# -- encoders of Hugging Face ----------------------------------------------------------------------


def _build_hf(folder: Path) -> None:
    build_hf_folder(folder / "encoder")


def _read_hf(folder: Path) -> Any:
    from emo_fairseq.pretrained.encoders import build, describe, load

    card = describe("text", f"hf:{folder / 'encoder'}")
    encoder = build(card)
    load(encoder, card)
    return encoder.state_dict()


# -- the service -----------------------------------------------------------------------------------


def _build_requests(folder: Path) -> None:
    (folder / "request.json").write_text(json.dumps({"text": "I am so happy about it."}))
    soundfile.write(folder / "clip.wav", tone(), 16_000)
    soundfile.write(folder / "clip.flac", tone(), 16_000)


def _read_requests(folder: Path, model: Path) -> Any:
    client, answers = _client(model), []
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        if file.suffix == ".json":
            kind = {"Content-Type": "application/json"}
            response = client.post("/api/predict", content=content, headers=kind)
        else:
            response = client.post("/api/predict", files={"audio": (file.name, content)})
        if 400 <= response.status_code < 500 and isinstance(response.json()["error"], str):
            raise ValueError(f"{response.status_code}: {response.json()['error']}")
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {response.text}")
        answers.append(response.json())
    return answers


@functools.cache
def _client(model: Path) -> Any:
    from starlette.testclient import TestClient

    from emo_fairseq.serving.app import create_app
    from emo_fairseq.serving.limits import Limits
    from emo_fairseq.serving.model_description import read_description

    limits = Limits(requests_per_second=1e6, burst=1_000_000)
    app = create_app(load_predictor(model, "cpu"), limits, read_description(model))
    return TestClient(app, base_url="http://127.0.0.1")


# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """Tiny models that fairseq-train trained.

    Attributes:
        data: data dir of the first two.
        checkpoint: of a model of texts in dialogues.
        model: its model folder, with its graphs.
        service: model folder of a model of text and speech.
        ensemble: folder of both.
    """

    data: Path
    checkpoint: Path
    model: Path
    service: Path
    ensemble: Path


def families(place: Path, trained: Trained | None) -> list[Family]:
    """Return all formats.

    Args:
        place: folder for what several families share.
        trained: the models; None leaves out the formats that need them.
    """
    toy = place / "toy"
    found = [
        Family("data dir", _build_data_dir, ["*.tsv", "*.yaml"], _read_data_dir),
        *(
            Family(
                f"table: {suffix[1:]}",
                functools.partial(_build_table, suffix=suffix),
                [f"table{suffix}"],
                read,
            )
            for suffix, read in (
                (".csv", _read_table),
                (".tsv", _read_table),
                (".jsonl", _read_table),
                (".parquet", _read_published_table),
                (".xlsx", _read_table),
                (".ods", _read_table),
            )
        ),
        Family("table: inferred", _build_german_table, ["labels.csv"], _read_inferred_table),
        *map(_segmentation, FORMATS),
        Family("saved data set", _build_dataset, ["set/*"], _read_dataset),
        _audio("a.wav", subtype="PCM_16"),
        _audio("b.wav", subtype="FLOAT"),
        *map(_audio, ("a.flac", "a.ogg", "a.mp3", "a.aiff", "a.m4a", "a.webm")),
        Family("features", _build_features, ["*"], _read_features, sealed=True),
        Family(
            "packed audio",
            _build_packed_audio,
            ["packed_audio/[!.]*"],
            _read_packed_audio,
            sealed=True,
        ),
        Family("features of others", _build_foreign_features, ["*"], _read_features),
        *(
            Family(
                f"tokens: {kind}",
                functools.partial(_build_tokens, toy=toy, kind=kind),
                [f"{kind}/train.*", f"{kind}/dict.txt", f"{kind}/tokenizer.yaml"],
                functools.partial(_read_tokens, toy=toy, kind=kind),
                sealed=True,
            )
            for kind in ("text", "speech")
        ),
        Family("folds", _build_folds, ["folds/*.json"], _read_folds, sealed=True),
        _documents("prototypes", _build_prototypes, "prototypes.json", read_prototypes),
        _documents("label map", _build_label_map, "map.yaml", read_label_map),
        Family("MMSA pickle", _build_mmsa, ["features.pkl"], _read_mmsa),
        _documents("predictions", _build_predictions, "predictions.tsv", predictions.read, True),
        Family("embeddings", _build_embeddings, ["*.npz"], _read_embeddings, sealed=True),
        _documents("attention", _build_attention, "attention.npz", attention.read, True),
        Family("forest", _build_forest, ["forest.skops"], _read_forest, sealed=True),
        Family("T_data layout", _build_legacy, ["*.csv", "*.tsv", "*/*/u0.txt"], _read_legacy),
        Family("Hugging Face encoder", _build_hf, ["encoder/*"], _read_hf),
    ]
    return found if trained is None else [*found, *_of_models(trained)]


MODEL_FAMILIES = ("model folder", "model.onnx", "ensemble.json", "checkpoint", "requests")


def _of_models(trained: Trained) -> list[Family]:
    copy = functools.partial(_copy, source=trained.model, name="model")
    return [
        Family("model folder", copy, ["model/*", "model/text/*"], _read_model, sealed=True),
        Family("model.onnx", copy, ["model/model*.onnx"], _read_onnx, sealed=True),
        Family(
            "ensemble.json",
            functools.partial(_copy, source=trained.ensemble, name="model"),
            ["model/ensemble.json"],
            _read_model,
            sealed=True,
        ),
        Family(
            "checkpoint",
            functools.partial(_copy, source=trained.checkpoint, name="checkpoint.pt"),
            ["checkpoint.pt"],
            functools.partial(_read_model, data=trained.data),
            sealed=True,
        ),
        Family(
            "requests",
            _build_requests,
            ["*"],
            functools.partial(_read_requests, model=trained.service),
            names_file=False,
        ),
    ]


def _documents(
    name: str,
    build: Callable[[Path], None],
    file: str,
    read: Callable[[Path], Any],
    sealed: bool = False,
) -> Family:
    """One file in its folder."""
    return Family(name, build, [file], lambda folder: read(folder / file), sealed)


def _copy(folder: Path, source: Path, name: str) -> None:
    if source.is_dir():
        shutil.copytree(source, folder / name)
    else:
        shutil.copy(source, folder / name)
