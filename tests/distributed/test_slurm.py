"""Trainings as jobs of Slurm, by the script and the command of the documentation."""

import re
import time

import pytest
from in_process import PLUGIN
from training_results import assert_same_state

TINY = {"embed_dim": 16, "ffn_embed_dim": 16, "attention_heads": 2, "encoder_layers": 1}
ON_CPU = "--ntasks-per-node=1 --gpus-per-node=0 --cpus-per-task=1"  # instead of the script's GPUs
BEGIN = "--batch-size 4"


@pytest.fixture
def submit(cluster, shell, commands_of_page):
    """Submit the script of the page with these options of sbatch; returns the job and its log."""
    script = shell.folder / "train.sbatch"
    script.write_text(commands_of_page("sbatch"))
    (shell.folder / "runs").mkdir()

    def run(*options):
        cluster.environment = {**shell.environment, **slurm_of(cluster)}
        words = ["--parsable", f"--chdir={shell.folder}", *ON_CPU.split(), *options]
        job = cluster.run("sbatch", *words, str(script)).strip()
        return job, shell.folder / "runs" / f"emotions-{job}.log"

    return run


def slurm_of(cluster):
    return {"SLURM_CONF": cluster.environment["SLURM_CONF"]}


def wait_for(condition, explain, seconds=400.0):
    """Return the first value of a condition that is true; an error with what explains it."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)
    return value


def read(log):
    return log.read_text(errors="replace") if log.exists() else ""


@pytest.mark.timeout(900)
def test_job_beyond_its_time_limit(cluster, submit, shell):
    """It is requeued, and ends with the state of a job that has the time."""
    shell.further.write_text(f"{BEGIN} --max-update 1000000")
    job, log = submit("--time=2", "--signal=USR1@30")
    stopped = r"SIGUSR1: training stopped after update (\d+); runs/emotions/checkpoint_last.pt is"
    (update,) = wait_for(lambda: re.findall(stopped, read(log)), lambda: read(log)[-3000:])
    end = f"--max-update {int(update) + 20}"
    shell.further.write_text(f"{BEGIN} {end}")
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=30")  # on a slow machine, too
    state = wait_for(
        lambda: (s := cluster.field(job, "JobState")) in ("COMPLETED", "FAILED", "TIMEOUT") and s,
        lambda: read(log)[-3000:],
    )
    assert state == "COMPLETED", read(log)[-3000:]
    assert int(cluster.field(job, "Restarts")) >= 1
    assert "initialized host host-b as rank 1" in read(log)
    assert re.search(rf"Loaded checkpoint runs/emotions/\S+ \(epoch \d+ @ {update} ", read(log))

    shell.further.write_text(f"{BEGIN} {end} --save-dir runs/whole")
    job, log = submit("--time=30")
    wait_for(lambda: cluster.field(job, "JobState") == "COMPLETED", lambda: read(log)[-3000:])
    names = ("whole", "emotions")
    assert_same_state(*(shell.folder / "runs" / name / "checkpoint_last.pt" for name in names))


@pytest.mark.timeout(900)
def test_sweep_with_a_preempted_job(cluster, shell, commands_of_page):
    """submitit puts it back into the queue; each job ends as the same training elsewhere."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sizes = [f"+model.{of}_{k}={x}" for of in ("text", "speech") for k, x in TINY.items()]
    small = [
        "common.log_interval=1 dataset.num_workers=0",
        "dataset.batch_size=4 optimization.max_update=150",
        *sizes,
    ]
    on_cpu = "hydra.launcher.gpus_per_node=0 hydra.launcher.cpus_per_task=1"
    quick = f"hydra.launcher.timeout_min=30 hydra.sweep.dir={shell.folder}/sweep"
    shell.further.write_text(" ".join([*small, on_cpu, quick]))
    sweep = shell.start(cluster.first, commands_of_page("sweep"), "sweep", **slurm_of(cluster))
    logs = shell.folder / "sweep" / ".submitit"

    def progressed():
        return [log for log in logs.glob("*/*_log.out") if "num_updates=20," in read(log)]

    log, *_ = wait_for(progressed, lambda: sweep.log[-3000:])
    job = log.name.partition("_log")[0].rpartition("_")[0]  # 7_0 of 7_0_0_log.out
    cluster.run("scancel", "--signal=USR2", job)
    assert sweep.wait(600) == 0, sweep.log[-3000:]
    assert "SIGUSR2: training stopped after update" in read(log)
    assert "Loaded checkpoint" in read(log)

    for fusion in ("concat", "gated"):
        alone = f"model.fusion={fusion} common.user_dir={PLUGIN} checkpoint.save_dir=alone/{fusion}"
        shell.further.write_text(" ".join([*small, alone]))
        command, _ = commands_of_page("sweep").split(" -m ")
        suite = "--config-dir examples/suites --config-name base suite=fusion_ablation"
        single = shell.start(cluster.first, f"{command} {suite}", f"alone-{fusion}")
        assert single.wait() == 0, single.log[-3000:]
        of_sweep = shell.folder / "checkpoints" / "suites" / "fusion_ablation" / fusion / "seed1"
        folders = (shell.folder / "alone" / fusion, of_sweep)
        assert_same_state(*(folder / "checkpoint_last.pt" for folder in folders))
