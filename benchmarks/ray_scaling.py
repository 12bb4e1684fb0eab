"""Log-mel frames of many clips on Ray, with one worker and with two, beside local processes.

``python -m benchmarks.ray_scaling`` writes ``--clips`` FLAC files from half a second to 3.5 s, a
fifth of them at 48 kHz, and starts a Ray cluster of this machine: a head without CPUs, and a raylet
of one CPU for each of the workers. ``data_prep.extract_features`` then runs in a process of its own
by each engine with each number of workers, in turn, ``--rounds`` times; what it writes is compared
byte for byte. Prints seconds of whole commands, and clips a second without the start of the
command, which is that of a corpus of ``--small`` clips.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.audio import write_clips
from benchmarks.results import Ratio, add_json_option, save_ratios
from data_prep.engines.engine import LOCAL, RAY

Peer = tuple[str, int]  # an engine and its workers
PEERS: Sequence[Peer] = ((LOCAL, 1), (LOCAL, 2), (RAY, 1), (RAY, 2))
RATIOS: Sequence[tuple[Peer, Peer]] = (
    ((RAY, 2), (RAY, 1)),
    ((LOCAL, 2), (LOCAL, 1)),
    ((RAY, 2), (LOCAL, 2)),
)


@contextmanager
def ray_cluster(n_raylets: int) -> Iterator[str]:
    """Yield the address of a cluster of this machine with raylets of one CPU each."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(n_raylets):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def extract(data_dir: Path, peer: Peer, address: str) -> float:
    """Return the seconds of the command; its earlier frames and digests are removed before.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    engine, workers = peer
    shutil.rmtree(features_of(data_dir, peer), ignore_errors=True)
    (data_dir / "features" / ".digests.json").unlink(missing_ok=True)
    words = [str(data_dir), "--name", name_of(peer), "--dtype", "float32"]
    words += ["--workers", str(workers), "--engine", engine]
    words += ["--ray-address", address] if engine == RAY else []
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "data_prep.extract_features", *words], check=True, stdout=sys.stderr
    )
    return time.perf_counter() - began


def name_of(peer: Peer) -> str:
    """Return the name of the features of an engine.

    >>> name_of(("ray", 2))
    'ray-2'
    """
    return f"{peer[0]}-{peer[1]}"


def features_of(data_dir: Path, peer: Peer) -> Path:
    """Return the folder of the features of an engine."""
    return data_dir / "features" / name_of(peer)


def check_same(data_dir: Path) -> None:
    """Check that all engines wrote the same bytes.

    Raises:
        RuntimeError: they did not.
    """
    reference, *others = PEERS
    expected = content_of(features_of(data_dir, reference))
    for peer in others:
        if content_of(features_of(data_dir, peer)) != expected:
            raise RuntimeError(f"{name_of(peer)} wrote other bytes than {name_of(reference)}")


def content_of(folder: Path) -> Mapping[str, bytes]:
    """Return the content of the files of a folder, but for hidden ones."""
    return {file.name: file.read_bytes() for file in sorted(folder.glob("[!.]*"))}


def measure(clips: Path, few: Path, rounds: int, address: str) -> Mapping[Peer, tuple[float, ...]]:
    """Return the median seconds of each engine over many clips, and over a few."""
    seconds: dict[tuple[Peer, Path], list[float]] = {}
    for _ in range(rounds):
        for peer in PEERS:
            for data_dir in (few, clips):
                seconds.setdefault((peer, data_dir), []).append(extract(data_dir, peer, address))
    return {peer: tuple(median(seconds[peer, part]) for part in (clips, few)) for peer in PEERS}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=2_000, help="of the corpus that is made")
    parser.add_argument("--small", type=int, default=8, help="of that which shows the start")
    parser.add_argument("--rounds", type=int, default=1, help="of all engines, in turn")
    add_json_option(parser)
    args = parser.parse_args()
    with TemporaryDirectory() as scratch:
        sizes = {Path(scratch) / "clips": args.clips, Path(scratch) / "few": args.small}
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.starmap(write_clips, sizes.items())
        clips, few = sizes
        with ray_cluster(max(workers for _, workers in PEERS)) as address:
            seconds = measure(clips, few, args.rounds, address)
        check_same(clips)
    print(f"{'':<10}{'seconds':>9}{'start s':>9}{'clips/s':>9}")
    speeds = {}
    for peer, (whole, start) in seconds.items():
        speeds[peer] = (args.clips - args.small) / (whole - start)
        print(f"{name_of(peer):<10}{whole:>9.1f}{start:>9.1f}{speeds[peer]:>9.0f}")
    print(f"the frames of {args.clips} clips are the same to the bit")
    ratios = [
        Ratio(
            f"log-mel, {name_of(of)}",
            speeds[of],
            "clips/s",
            name_of(peer),
            speeds[of] / speeds[peer],
        )
        for of, peer in RATIOS
    ]
    for ratio in ratios:
        print(f"{ratio.name}: {ratio.ratio:.2f}")
    save_ratios(args.json, ratios)


if __name__ == "__main__":
    main()
