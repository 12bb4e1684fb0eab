"""One training on two hosts, by the command of the documentation."""

import re

import pytest
import torch
from training_results import assert_same_state, last_figures
from two_hosts import kill

UNEQUAL = {"wps", "ups", "wpb", "bsz", "wall", "train_wall"}  # speed, and rows a step
MANY = "--max-update 100000"


@pytest.fixture
def train(hosts, shell, commands_of_page):
    """Start the training of the page on both hosts."""

    def start(name, *further):
        shell.further.write_text(" ".join([f"--save-dir {shell.folder / name}", *further]))
        script = commands_of_page("torchrun")
        return [shell.start(host, script, f"{name}-{host.name}") for host in hosts]

    return start


def checkpoint(shell, name):
    return torch.load(shell.folder / name / "checkpoint_last.pt", weights_only=True)


def by_rank(running):
    """Return the processes in the order of the ranks that torchrun gave them."""
    for process in running:
        process.wait_for("initialized host")
    return sorted(running, key=lambda process: "as rank 1" in process.log)


def ends(running, seconds=180):
    return [process.wait(seconds) for process in running]


@pytest.mark.parametrize("backend", ["pytorch_ddp", "fully_sharded"])
def test_two_hosts_are_one_process(backend, train, hosts, shell, commands_of_page):
    # Adam would scale up gradients that are 0 but for rounding, such as of the biases of keys.
    end = "--batch-size 4 --max-update 12 --adam-eps 1e-4"
    two = by_rank(train("two", end, f"--ddp-backend {backend}"))
    assert ends(two) == [0, 0], two[0].log[-3000:]
    for rank, process in enumerate(two):
        assert f"initialized host {process.host.name} as rank {rank}" in process.log

    shell.further.write_text(f"{end} --update-freq 2 --save-dir {shell.folder / 'one'}")
    _, alone = commands_of_page("torchrun").split("$(which fairseq-train)")
    one = shell.start(hosts[0], f"fairseq-train {alone}", "one")
    assert one.wait() == 0, one.log[-3000:]
    for tag in ("train", "valid"):
        expected, got = last_figures(one.log, tag), last_figures(two[0].log, tag)
        assert expected.keys() == got.keys()
        for name in expected.keys() - UNEQUAL:
            assert got[name] == pytest.approx(expected[name], abs=1e-3), (tag, name)
    a, b = (checkpoint(shell, name) for name in ("one", "two"))
    assert a["model"].keys() == b["model"].keys()
    for name, weights in a["model"].items():
        torch.testing.assert_close(b["model"][name], weights, atol=1e-5, rtol=1e-5, msg=name)
    assert a["optimizer_history"][-1] == b["optimizer_history"][-1]


@pytest.mark.parametrize("backend", ["pytorch_ddp", "fully_sharded"])
def test_killed_rank(backend, train, shell):
    """The run ends on both hosts; started again, it is the one that was not killed."""
    every = f"--batch-size 4 --save-interval-updates 5 --ddp-backend {backend}"
    first, other = by_rank(train("killed", every, MANY))
    first.wait_for("_10.pt (epoch")
    (rank,) = other.host.processes("bin/fairseq-train", without="torchrun")
    kill(rank)
    assert 0 not in ends([first, other])
    (sentence,) = re.findall(r"error: (rank 0 of 2: .*)", first.log)
    assert "lost the connection to another rank" in sentence
    assert "[rank-lost]" in sentence
    assert "SIGKILL" in other.log  # torchrun names what ended it

    end = f"--max-update {int(last_figures(first.log, 'train_inner')['num_updates']) + 10}"
    for name in ("killed", "whole"):
        first, other = by_rank(train(name, every, end))
        assert ends([first, other]) == [0, 0], first.log[-3000:]
        assert ("Loaded checkpoint" in first.log) == (name == "killed")
    whole, killed = shell.folder / "whole", shell.folder / "killed"
    assert_same_state(whole / "checkpoint_last.pt", killed / "checkpoint_last.pt")


def test_terminated_host(train, shell):
    """SIGTERM to one of two torchruns, as before a shutdown: both ranks stop at one update."""
    first, other = by_rank(train("stopped", "--batch-size 4", MANY))
    first.wait_for("num_updates=5,")
    (agent, *_) = other.host.processes("bin/torchrun")
    other.host.run("kill", "-TERM", str(agent))
    assert 0 not in ends([first, other])
    (update,) = re.findall(r"SIGTERM: training stopped after update (\d+)", first.log)
    assert checkpoint(shell, "stopped")["optimizer_history"][-1]["num_updates"] == int(update)


def test_unreachable_host(train):
    """A cable that is cut ends both ranks after the time of --heartbeat-timeout."""
    first, other = by_rank(train("cut", "--batch-size 4 --heartbeat-timeout 15", MANY))
    first.wait_for("num_updates=5,")
    other.host.unplug()
    try:
        first.wait_for("error: rank 0 of 2: lost the connection")
        other.wait_for("error: rank 1 of 2: lost the connection")
    finally:
        other.host.plug()
    assert "[rank-lost]" in first.log
    assert "[rank-lost]" in other.log


def test_host_that_never_comes(hosts, shell, commands_of_page):
    sooner = "torchrun --rdzv_conf join_timeout=10 "
    script = commands_of_page("torchrun").replace("torchrun ", sooner, 1)
    alone = shell.start(hosts[0], script, "alone")
    assert alone.wait(120) != 0
    assert "RendezvousTimeoutError" in alone.log
