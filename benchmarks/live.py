"""Latency of a live conversation in a real browser: ``python -m benchmarks.live MODEL SPEECH``.

Turns of recorded speech, with pauses between them, are the microphone of a Chromium that opens the
page of ``emotion-recognize serve`` and stays there for as long as they last. Measured of each turn:

- from its detection to its message: in the browser, from sending the block of samples with which
  the server can know that the turn has ended to receiving its emotion. This is the network, the
  rest of the detection, the queue, and the prediction. The server's own part is in its messages.
- from its end to its message: the same, and before it the silence after which a turn has ended.

CPU seconds are those of the server's process, all threads: while the turns last, and before them
while the microphone is silent, which is the detection of speech alone.

Needs Linux, Chromium, playwright, and recordings of speech, such as the folder of RAVDESS.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.serving import Served, _cpu_seconds, _server
from data_prep.audio.loading import load_with_warnings
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.diarization.silero import FRAME

_HERE = Path(__file__).resolve().parents[1]
_RATE = 16_000  # of what is sent
_MICROPHONE_RATE = 48_000  # of Chromium's microphones
_LEAD = 20.0  # seconds of silence before the first turn
_QUIET = 0.03  # of the loudest sample of a recording: softer is trimmed from its ends
_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SPY = """
window.live = { sent: [], turns: [], dropped: 0, seconds: 0 };
const Native = WebSocket;
window.WebSocket = class extends Native {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      const now = performance.now(), message = JSON.parse(data);
      if (message.type === "turn") live.turns.push([message.end, message.delay, now]);
      if (message.type === "dropped") live.dropped += 1;
      if ("seconds" in message) live.seconds = message.seconds;
    });
  }
  send(data) {
    if (typeof data !== "string") live.sent.push([data.byteLength / 2, performance.now()]);
    super.send(data);
  }
};
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live")
    parser.add_argument("model", type=Path, help="model folder or checkpoint that reads speech")
    parser.add_argument("speech", type=Path, help="folder of recordings of speech")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--turn-seconds", type=float, default=1.2, help="of a turn, at most")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between turns")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "microphone.wav"
        seconds = _write_turns(file, options)
        with _server(Served("live", _HERE), options.model) as (server, port):
            result, cpu = _listen(port, server.pid, file, seconds)
    _report(options.turns, result, cpu)


def _write_turns(file: Path, options: argparse.Namespace) -> float:
    """Write what the microphone records; return its length in seconds."""
    rate, paths = (
        _MICROPHONE_RATE,
        sorted(p for p in options.speech.rglob("*") if p.suffix in _SUFFIXES),
    )
    if not paths:
        raise SystemExit(f"{options.speech}: has no recordings below it")
    order = np.random.default_rng(1).permutation(len(paths))
    pause = np.zeros(round(options.pause * rate), np.float32)
    parts = [np.zeros(round(_LEAD * rate), np.float32)]
    for number in range(options.turns):
        samples, _ = load_with_warnings(paths[order[number % len(paths)]], sample_rate=rate)
        loud = np.flatnonzero(np.abs(samples) > _QUIET * np.abs(samples).max())
        speech = samples[loud[0] : loud[-1] + 1][: round(options.turn_seconds * rate)]
        parts += [0.5 * speech / np.abs(speech).max(), pause]
    whole = np.concatenate(parts)
    soundfile.write(file, whole, rate, subtype="PCM_16")
    return len(whole) / rate


def _listen(port: int, pid: int, file: Path, seconds: float) -> tuple[dict[str, Any], list[float]]:
    """Return what the page saw, and CPU seconds of the silence and of the turns."""
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={file}%noloop",
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=switches)
        page = browser.new_page()
        page.add_init_script(_SPY)
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#recognize:enabled").wait_for()
        page.locator("#live-button").click()
        used, memory = [], []
        for until in (1.0, _LEAD - 1.0, seconds):
            _wait(page, until)
            used.append(_cpu_seconds(pid))
            memory.append(_megabytes(pid))
        page.locator("#live-button").click()
        page.locator("#live-status", has_text="Stopped").wait_for()
        result: dict[str, Any] = {**page.evaluate("live"), "memory": memory}
        browser.close()
    silent, spoken = np.diff(used).tolist()
    return result, [silent / (_LEAD - 2.0), spoken, seconds - _LEAD + 1.0]


def _megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def _wait(page: Any, seconds: float) -> None:
    """Wait until the server has received so many seconds."""
    deadline = time.monotonic() + seconds + 60
    while page.evaluate("live.seconds") < seconds:
        if time.monotonic() > deadline:
            raise SystemExit(f"the server has not received {seconds:g} s in time")
        page.wait_for_timeout(250)


def _latencies(result: dict[str, Any]) -> Iterator[tuple[float, float, float]]:
    """Yield of each turn, in ms: detection to message, the server's part, end to message."""
    options = TurnOptions()
    lengths, times = np.transpose(result["sent"])
    ends = np.cumsum(lengths)  # of blocks, in samples
    for end, delay, arrived in result["turns"]:
        speech_end = round((end - options.padding) * _RATE)
        # Known with the first frame that begins a pause after the end of speech.
        known = FRAME * (1 + np.ceil((speech_end + options.pause * _RATE) / FRAME))
        detected = times[min(np.searchsorted(ends, known), len(times) - 1)]
        block = min(np.searchsorted(ends, speech_end), len(times) - 1)
        spoken = times[block] - 1000 * (ends[block] - speech_end) / _RATE
        yield arrived - detected, 1000 * delay, arrived - spoken


def _report(n_spoken: int, result: dict[str, Any], cpu: Sequence[float]) -> None:
    columns = np.transpose(list(_latencies(result)))
    n_predicted, n_dropped = len(result["turns"]), result["dropped"]
    names = ("detection to message", "of this on the server", "end of speech to message")
    print(f"{n_spoken} turns spoken, {n_predicted} predicted, {n_dropped} dropped")
    print(f"load average of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, column in zip(names, columns, strict=True):
        p50, p95 = np.percentile(column, [50, 95])
        print(f"{name:26s} p50 {p50:7.1f} ms   p95 {p95:7.1f} ms   max {column.max():7.1f} ms")
    of_silence, used, seconds = cpu
    of_turns = (used - of_silence * seconds) / n_predicted
    print(f"CPU of the server: {1000 * used / n_predicted:.1f} ms a turn with detection")
    print(f"  silence    {1000 * of_silence:.1f} ms a second")
    print(f"  prediction {1000 * of_turns:.1f} ms a turn")
    memory = ", ".join(f"{value:.0f}" for value in result["memory"])
    print(f"memory of the server at the beginning, before the turns, after them: {memory} MiB")


if __name__ == "__main__":
    main()
