"""A real Slurm on two hosts of their own (network namespaces) on this machine; for tests.

The first host holds the controller too. Each host has a name, a folder for temporary files that only it sees, and, as
Debian writes it, a loopback address for its own name in /etc/hosts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.ray_hosts import Host, two_hosts, wait_until, why_no_hosts

DAEMONS = ("munged", "slurmctld", "slurmd")
NAMES = ("node1", "node2")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "BOOT_FAIL"}
# No cgroups, as containers seldom may make them: processes are found by their parents. Requeued jobs may start after
# cred_expire, and a silent node counts as lost after SlurmdTimeout.
CONFIGURATION = """
ClusterName=test
SlurmctldHost=node1({first})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=20
CredType=cred/munge
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
SchedulerParameters=sched_interval=2
SlurmdTimeout=15
KillWait=30
ReturnToService=2
NodeName=node1 NodeAddr={first} CPUs=1 State=UNKNOWN
NodeName=node2 NodeAddr={second} CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_no_slurm() -> str | None:
    """Why Slurm cannot be started here, or ``None``."""
    missing = [name for name in (*DAEMONS, "sbatch") if shutil.which(name, path=_path()) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (packages of Debian: slurmctld slurmd slurm-client munge)"
    if os.geteuid():
        return "Slurm's daemons and hosts of their own need root"
    return why_no_hosts()


@dataclass
class Slurm:
    """Two hosts that run Slurm; ``folder`` is a disk that both see, with Slurm's logs and state."""

    hosts: tuple[Host, Host]
    folder: Path

    def command(self, *arguments: str) -> str:
        """What one of Slurm's commands, run on the first host, prints."""
        done = self.hosts[0].run(*arguments, cwd=self.folder)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def job(self, job: str) -> dict[str, str]:
        """What the controller knows of the job."""
        shown = self.command("scontrol", "show", "job", job, "--oneliner")
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)

    def wait_for(self, job: str, *states: str, seconds: float = 400) -> dict[str, str]:
        """Waits until the job is in one of ``states`` (by default: has ended), and gives what is known of it."""
        asked = set(states) or ENDED
        wait_until(lambda: self.job(job)["JobState"] in asked, f"job {job} is {' or '.join(asked)}", seconds)
        return self.job(job)

    def start_node(self, number: int) -> None:
        """The daemon of a node, and the host's private folder of temporary files; returns when Slurm may use it."""
        host, name = self.hosts[number], NAMES[number]
        private = [f"hostname {name}", f"mount --bind {self.folder}/hosts-{name} /etc/hosts", "exec slurmd -D"]
        host.start("unshare", "--uts", "sh", "-c", " && ".join(private))
        wait_until(
            lambda: self.command("sinfo", "--noheader", f"--nodes={name}", "--format=%t") in {"idle", "mix", "alloc"},
            f"Slurm has the node {name}",
        )

    def temporary(self, number: int) -> list[str]:
        """Names in the host's folder of temporary files."""
        (daemon, *_) = [process for process in self.hosts[number].running("slurmd") if _is_daemon(process)]
        return os.listdir(f"/proc/{daemon}/root{self.hosts[number].environment['TMPDIR']}")

    def ray(self) -> list[int]:
        """Processes of Ray on both hosts."""
        return [process for host in self.hosts for process in host.running("ray", "gcs_server")]


@contextmanager
def real_slurm(environment: Mapping[str, str]) -> Iterator[Slurm]:
    """Slurm on two hosts; on leaving, its processes, folders and namespaces are gone."""
    folder = Path(tempfile.mkdtemp(prefix="bps"))
    folder.chmod(0o755)
    temporary = folder / "tmp"
    own = {"SLURM_CONF": str(folder / "slurm.conf"), "TMPDIR": str(temporary), "PATH": _path()}
    try:
        with two_hosts({**environment, **own}) as hosts, _munge(folder / "munge"):
            _write(folder, hosts)
            for host in hosts:
                host.hidden.append(temporary)
            slurm = Slurm(hosts, folder)
            hosts[0].start("unshare", "--uts", "sh", "-c", "hostname node1 && exec slurmctld -D -c")
            for number in range(len(NAMES)):
                slurm.start_node(number)
            yield slurm
    finally:
        shutil.rmtree(folder)


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    """The daemon with which Slurm's parts know one another."""
    for part in (folder, folder / "own"):
        part.mkdir(mode=0o755 if part == folder else 0o700)
    key = folder / "own" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = {
        "socket": folder / "socket",
        "key-file": key,
        **{f"{name}-file": folder / "own" / name for name in ("log", "pid", "seed")},
    }
    # --force: the parents of these folders may be written by all.
    options = [f"--{option}={path}" for option, path in files.items()]
    command = [shutil.which("munged", path=_path()) or "munged", "--foreground", "--force", *options]
    daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(files["socket"].exists, "munged answers", seconds=30)
        yield
    finally:
        daemon.terminate()
        daemon.wait()


def _write(folder: Path, hosts: tuple[Host, Host]) -> None:
    first, second = (host.address for host in hosts)
    for part in ("state", "tmp", *(f"spool-{name}" for name in NAMES)):
        (folder / part).mkdir()
    # None is used, but without a word here the daemon of a node looks for cgroups, and ends.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, first=first, second=second))
    for name, line in zip(NAMES, (f"{second} node2", f"{first} node1"), strict=True):
        (folder / f"hosts-{name}").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n{line}\n")


def _path() -> str:
    """Debian puts daemons where only root looks."""
    return os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))


def _is_daemon(process: int) -> bool:
    return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"slurmd\0")
