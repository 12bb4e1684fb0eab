"""Processes side by side: their shares, their failures, and what is left when they are stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from codes import raises

from emo_fairseq.errors import UsageError
from emo_fairseq.experiments import jobs, runs
from emo_fairseq.experiments.jobs import (
    Command,
    Errors,
    Outcome,
    environments,
    failure,
    interrupted_by_sigterm,
    run_all,
)
from emo_fairseq.experiments.runs import RunFolder

MEET = """
import pathlib, sys, time
ours, theirs = map(pathlib.Path, sys.argv[1:])
ours.touch()
for _ in range(600):
    if theirs.exists(): sys.exit(0)
    time.sleep(0.05)
sys.exit("nobody came")
"""


def python(code, log, lock=2, arguments=()):
    return Command([sys.executable, "-c", code, *map(str, arguments)], log, lock)


def steps(*commands):
    for command in commands:
        code = yield command
        if code:
            return failure(command, code)
    return Outcome(True, "done")


def ignore(name, outcome):
    pass


@pytest.mark.parametrize(
    ("codes", "keep_going", "n_run"),
    [
        (["refused", "fine", "fine"], False, 1),
        (["refused", "fine", "fine"], True, 3),
        (["fine", "refused", "fine"], False, 3),
        (["1 / 0", "fine"], False, 2),
    ],
)
def test_a_refusal_before_any_success_stops_what_waits(codes, keep_going, n_run, tmp_path):
    words = {"refused": "import sys; sys.exit('error: --data x: no')", "fine": "print('fine')"}
    work = {
        str(n): steps(python(words.get(code, code), tmp_path / f"{n}.log"))
        for n, code in enumerate(codes)
    }
    outcomes = run_all(work, 1, ignore, keep_going)
    assert len(outcomes) == n_run
    refusals = [outcome.refusal for outcome in outcomes.values()]
    assert refusals.count("--data x: no") == codes.count("refused")


def test_two_at_a_time(tmp_path):
    """Each waits for the other."""
    files = tmp_path / "one", tmp_path / "two"
    work = {
        "one": steps(python(MEET, tmp_path / "1.log", arguments=files)),
        "two": steps(python(MEET, tmp_path / "2.log", arguments=files[::-1])),
    }
    outcomes = run_all(work, 2, ignore)
    assert all(outcome.ok for outcome in outcomes.values()), outcomes


def test_one_after_the_other_and_a_failure_in_between(tmp_path):
    log = tmp_path / "run.log"
    reported = []
    work = {
        "first": steps(python("print('early')", log), python("print('x' * 999); 1 / 0", log)),
        "second": steps(python("print('fine')", log)),
    }
    outcomes = run_all(work, 1, lambda name, outcome: reported.append((name, outcome.ok)))
    assert reported == [("first", False), ("second", True)]
    message = outcomes["first"].message
    assert f"failed with exit code 1; the whole log: {log}" in message
    assert message.splitlines()[1:] == ["  | ZeroDivisionError: division by zero"]
    assert "early" not in message  # of the command before


def test_a_refusal_of_several_lines_is_whole_and_nothing_before_it(tmp_path):
    code = "import sys; print('epoch 1'); sys.exit('error: a.tsv: 2 rows\\n  row 1\\n  row 2')"
    work = {"run": steps(python(code, tmp_path / "run.log"))}
    outcome = run_all(work, 1, ignore)["run"]
    assert outcome.refusal == "a.tsv: 2 rows\n  row 1\n  row 2"
    assert outcome.message.splitlines()[1:] == [
        "  | error: a.tsv: 2 rows",
        "  |   row 1",
        "  |   row 2",
    ]


def test_an_error_that_was_logged_long_before_the_end_does_not_hide_it(tmp_path):
    code = "print('OSError: no board'); [print('epoch', n) for n in range(99)]; print('Killed')"
    work = {"run": steps(python(f"{code}; raise SystemExit(9)", tmp_path / "run.log"))}
    shown = run_all(work, 1, ignore)["run"].message.splitlines()[1:]
    assert (shown[0], shown[-1], len(shown)) == ("  | OSError: no board", "  | Killed", 15)


def test_an_error_of_several_runs_is_shown_once(tmp_path):
    codes = {
        "one": "raise OSError('runs/one: no space')",
        "two": "raise OSError('runs/two: no space')",
        "other": "1 / 0",
        "fine": "print('fine')",
    }
    work = {name: steps(python(code, tmp_path / f"{name}.log")) for name, code in codes.items()}
    errors, shown = Errors(len(work)), {}
    run_all(work, 1, lambda name, outcome: shown.update({name: errors.show(name, outcome)}))
    assert shown["one"].splitlines()[1:] == ["  | OSError: runs/one: no space"]
    assert f"the whole log: {tmp_path / 'two.log'}" in shown["two"]
    assert shown["two"].splitlines()[1:] == ["  | the error of one"]
    assert shown["other"].splitlines()[1:] == ["  | ZeroDivisionError: division by zero"]
    assert shown["fine"] == "done"
    assert errors.counts() == ["2 of 4 runs failed with the error of one"]


def test_commands_of_this_environment_are_started(tmp_path, monkeypatch):
    """fairseq's lie beside this Python, which need not be on the PATH."""
    monkeypatch.setenv("PATH", "")
    for name in ("fairseq-hydra-train", "fairseq-validate"):
        assert (Path(sys.executable).parent / name).is_file()
    name = Path(sys.executable).name
    work = {"run": steps(Command([name, "-c", "print('done')"], tmp_path / "log", 2))}
    assert run_all(work, 1, ignore)["run"].ok
    assert (tmp_path / "log").read_text().endswith("\ndone\n")


def test_an_error_ends_one_run_alone():
    def steps_with_error():
        raise UsageError("nothing to score", "checkpoint-missing")
        yield

    outcomes = run_all({"bad": steps_with_error(), "good": steps()}, 1, ignore)
    assert not outcomes["bad"].ok
    assert "[checkpoint-missing]" in outcomes["bad"].message
    assert outcomes["good"] == Outcome(True, "done")


def test_an_interruption_stops_the_processes(tmp_path):
    """And lets go of their folders."""

    def locked_steps():
        with RunFolder(tmp_path / "run").locked() as lock:
            yield python("import time; time.sleep(600)", tmp_path / "log", lock)
        return Outcome(True, "never")

    def interrupt(name, outcome):
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_all({"long": locked_steps(), "short": steps()}, 2, interrupt)
    with RunFolder(tmp_path / "run").locked():
        assert time.monotonic() - began < 60


def test_a_training_that_outlives_its_sweep_keeps_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_LOCK_TIMEOUT", 0.2)
    with RunFolder(tmp_path / "run").locked() as lock:
        process = jobs.start(python("import time; time.sleep(600)", tmp_path / "log", lock), {})
    with (
        raises("run-locked"),
        RunFolder(tmp_path / "run").locked(),
    ):
        pass
    process.kill()
    process.wait()
    with RunFolder(tmp_path / "run").locked():
        pass


def test_shares_of_threads_and_gpus(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert environments(1) == [{}]
    assert environments(3) == [
        {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": gpu} for gpu in ("3", "5", "3")
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert environments(2) == [{"OMP_NUM_THREADS": "1"}] * 2


def test_the_command_starts_as_a_process() -> None:
    words = [sys.executable, "-m", "emo_fairseq.experiments.sweep", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout


STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text(str(__import__("os").getpid()))
time.sleep(60)
"""


def test_a_second_interruption_ends_the_processes_too(tmp_path, monkeypatch):
    """The first one ends them by SIGTERM and waits; the second one interrupts that wait."""
    started = [tmp_path / name for name in ("a", "b")]
    work = {
        file.name: steps(python(STUBBORN, tmp_path / f"{file.name}.log", arguments=[file]))
        for file in started
    }

    def interrupt_when_started():
        if all(file.exists() and file.read_text() for file in started):
            raise KeyboardInterrupt

    def interrupted(self, timeout=None):
        if timeout is not None:
            raise KeyboardInterrupt
        return wait(self)

    wait = subprocess.Popen.wait
    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all(work, 2, ignore, watch=interrupt_when_started)
    monkeypatch.undo()
    for file in started:
        deadline = time.monotonic() + 10
        stat = Path("/proc", file.read_text(), "stat")
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, f"{file.name} still runs"
            time.sleep(0.05)


def test_sigterm_interrupts_the_runs_and_nothing_after_them():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interrupted_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
