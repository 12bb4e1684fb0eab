"""Commands on a Ray cluster of three raylets of this machine, one of which is killed."""

import itertools
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from data_prep.commands import extract_features, tokenize_speech
from data_prep.engines import Engine, open_pool
from data_prep.errors import CodedError
from data_prep.features import extraction
from data_prep.files.shards import ShardStore
from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.cli.__main__ import main

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

ROWS = 240


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs, and three raylets with one CPU each."""
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    made.machines = [made.add_node(num_cpus=1) for _ in range(3)]
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def on_ray(cluster: Any) -> list[str]:
    return ["--engine", "ray", "--ray-address", cluster.address]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of noise of differing length; one row has no audio."""
    folder = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    rows = []
    for number in range(ROWS):
        n_samples = int(random.integers(8_000, 48_000))
        soundfile.write(folder / f"{number:03d}.wav", random.normal(0, 0.1, n_samples), 16_000)
        audio = {} if number == 5 else {"audio": f"{number:03d}.wav", "n_samples": n_samples}
        rows.append(Utterance(f"u{number}", text="a text", **audio))
    write_corpus(folder, Corpus(name="noise"), {"train": rows})
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kill_after(cluster: Any, n_shards: int) -> Callable[..., None]:
    """Return a `ShardStore.write` that kills a raylet with a worker after so many shards.

    What its worker has, or gets next, is lost: the command does not go on in the meantime.
    """
    write, n_written = ShardStore.write, itertools.count(1)

    def write_and_kill(store: ShardStore[Any], key: str, results: Sequence[Any]) -> None:
        write(store, key, results)
        if next(n_written) == n_shards:
            actors = ray._private.state.actors().values()
            at_work = {x["Address"]["NodeID"] for x in actors if x["State"] == "ALIVE"}
            machine = next(node for node in cluster.machines if node.node_id in at_work)
            cluster.machines.remove(machine)
            cluster.remove_node(machine, allow_graceful=False)

    return write_and_kill


def test_a_machine_is_killed_and_the_features_are_those_of_one_process(
    cluster: Any,
    on_ray: list[str],
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(extraction, "SHARD_ROWS", 4)
    words = [str(corpus), "--dtype", "float32", "--name"]
    assert extract_features.main([*words, "alone", "--workers", "1"]) == 0
    monkeypatch.setattr(ShardStore, "write", kill_after(cluster, 8))
    with caplog.at_level(logging.WARNING):
        assert extract_features.main([*words, "ray", *on_ray]) == 0
    lost = [message for message in caplog.messages if "its worker was lost" in message]
    assert lost, "the machine was killed while it computed"
    assert lost[0].startswith("ray train: shard ")
    alone, together = (content_of(corpus / "features" / name) for name in ("alone", "ray"))
    assert together == alone
    assert set(alone) == {"features.yaml", "train.npy", "train.lengths"}


def test_speech_tokens_are_those_of_one_process(on_ray: list[str], corpus: Path) -> None:
    words = [str(corpus), "--n-clusters", "8", "--name"]
    assert tokenize_speech.main([*words, "alone", "--workers", "1"]) == 0
    assert tokenize_speech.main([*words, "ray", *on_ray]) == 0
    alone, together = (content_of(corpus / "speech" / name) for name in ("alone", "ray"))
    assert together == alone


def test_a_bad_file_is_the_sentence_of_one_process(
    on_ray: list[str], corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = corpus / "100.wav"
    content = bad.read_bytes()
    bad.write_bytes(content[:1000])
    sentences = []
    for engine in (["--workers", "1"], on_ray):
        assert extract_features.main([str(corpus), "--name", "bad", "--pool", "mean", *engine]) == 1
        sentences.append(capsys.readouterr().err.strip().splitlines()[-1])
    bad.write_bytes(content)
    assert sentences[0] == sentences[1]
    assert sentences[0].startswith(f"error: {bad}: ")


def build_killer() -> Callable[[int], int]:
    def kill(number: int) -> int:
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return kill


def test_a_shard_that_kills_every_worker_is_named(cluster: Any) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with (
        pytest.raises(CodedError, match="unit 2: 3 workers died of it, the last .*") as error,
        open_pool(build_killer, Engine("ray", 2, cluster.address)) as over,
    ):
        list(over(range(4)))
    assert error.value.code == "worker-died"


def build_mortal(marks: Path) -> Callable[[int], int]:
    """Double numbers; the worker is killed by the first attempt at one of them."""

    def double(number: int) -> int:
        if number == 2 and not (marks / "killed").exists():
            (marks / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number

    return double


def test_one_worker_computes_all_and_is_replaced(cluster: Any, tmp_path: Path) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with open_pool(partial(build_mortal, tmp_path), Engine("ray", 1, cluster.address)) as over:
        assert list(over(range(4))) == [0, 2, 4, 6]
    assert (tmp_path / "killed").exists()


def test_a_cluster_without_gpus_is_refused(cluster: Any) -> None:
    with (
        pytest.raises(CodedError, match="--gpus-per-worker 1: the cluster has 0 GPUs"),
        open_pool(build_killer, Engine("ray", 1, cluster.address, gpus_per_worker=1)),
    ):
        pass


# -- Predictions -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(trained_models: Any) -> Path:
    """A tiny model folder of speech."""
    return trained_models.folder("--modality speech --speech-input log_mel")


@pytest.fixture(scope="module")
def recordings(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 recordings, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(40):
        shutil.copy(corpus / f"{number + 10:03d}.wav", folder)
    (folder / "020.wav").write_bytes(b"RIFF")
    return folder


def test_predict_is_that_of_one_process(
    on_ray: list[str], model: Path, recordings: Path, tmp_path: Path
) -> None:
    words = ["predict", str(model), str(recordings), "--batch-size", "2", "--output"]
    found = {}
    for name, engine in {"alone": [], "two": ["--workers", "2"], "ray": on_ray}.items():
        file = tmp_path / f"{name}.jsonl"
        assert main([*words, str(file), *engine]) == 1
        found[name] = file.read_bytes()
    assert found["two"] == found["alone"] == found["ray"]
    assert found["ray"].count(b"\n") == 40


def test_analyze_is_that_of_one_process(
    on_ray: list[str], model: Path, recordings: Path, tmp_path: Path
) -> None:
    turns = tmp_path / "turns"
    turns.mkdir()
    for path in recordings.iterdir():
        (turns / f"{path.stem}.csv").write_text("start,end\n0,0.2\n0.2,0.4\n")
    words = ["analyze", str(model), str(recordings), "--segments", str(turns), "--output-dir"]
    found = {}
    for name, engine in {"alone": [], "ray": on_ray}.items():
        assert main([*words, str(tmp_path / name), *engine]) == 1
        found[name] = content_of(tmp_path / name)
    assert found["ray"] == found["alone"]
    assert len(found["ray"]) == 2 * 39
