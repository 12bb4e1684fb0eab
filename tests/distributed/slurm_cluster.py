"""A Slurm cluster of two hosts: its controller on the first, a daemon on each.

Needs slurmctld, slurmd and munged (Debian: slurmctld, slurmd, slurm-client, munge), which nobody
else on the machine has to run: they are started in a folder of their own, and ended.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from two_hosts import Host

PROGRAMS = ("slurmctld", "slurmd", "munged", "srun", "sbatch", "scontrol")
PARTITION = "gpu"  # its name in the documentation; no host has one

CONFIGURATION = """
ClusterName=two_hosts
SlurmctldHost={first}
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0
ReturnToService=2
KillWait=10
NodeName={hosts} Port=16818 CPUs=2 State=UNKNOWN
PartitionName={partition} Nodes={hosts} Default=YES MaxTime=60 State=UP
"""


def missing() -> str:
    """Return which programs are not installed; empty if there can be a cluster."""
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(programs)}" if programs else ""


class Cluster:
    """A running cluster.

    Attributes:
        first: the host on which commands are given.
        environment: of these commands.
    """

    def __init__(self, first: Host, environment: Mapping[str, str]) -> None:
        self.first, self.environment = first, environment

    def run(self, *command: str) -> str:
        """Run a command of Slurm, and return its output."""
        return self.first.run(*command, env=self.environment)

    def field(self, job: str, name: str) -> str:
        """Return what ``scontrol show job`` has under a name."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        (value,) = (word.partition("=")[2] for word in words if word.startswith(f"{name}="))
        return value


@contextmanager
def slurm(hosts: list[Host], folder: Path) -> Iterator[Cluster]:
    """Yield a cluster whose files lie in a folder; its daemons end with the block."""
    first = hosts[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            first=first.name,
            hosts=",".join(host.name for host in hosts),
            partition=PARTITION,
        )
    )
    # A namespace has no control groups mounted, which another version would look for.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    munge = {name: f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")}
    cluster = Cluster(first, environment)
    cluster.run("munged", "--force", f"--socket={folder}/munge.socket", *munge.values())
    try:
        cluster.run("slurmctld", "-c", "-f", str(configuration))
        for host in hosts:
            (folder / f"spool-{host.name}").mkdir()
            host.run("slurmd", "-f", str(configuration), "-N", host.name, env=environment)
        _wait_until_idle(cluster, len(hosts))
        yield cluster
    finally:
        for host in hosts:
            host.kill_all()


def _wait_until_idle(cluster: Cluster, n_hosts: int, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while (states := cluster.run("sinfo", "-h", "-N", "-o", "%t").split()) != ["idle"] * n_hosts:
        assert time.monotonic() < deadline, f"hosts are {states}"
        time.sleep(0.5)
