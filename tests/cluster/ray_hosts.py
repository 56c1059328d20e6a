"""Hosts with addresses of their own on this machine (network namespaces), and Ray nodes on them; for tests.

Every process of a host is known by the kernel (``ip netns pids``), so each is ended by its id, and a link that is
cut is a real failure: packets stop, and nobody is told.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PORT = 6379
# A node counts as dead after about 12 s without an answer (Ray's defaults: 60 s), and gives up itself as soon. Less
# would lose nodes of a machine that is merely busy.
SHORT_PATIENCE = {
    "RAY_worker_niceness": "0",
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "8",
    "RAY_grpc_client_keepalive_time_ms": "4000",
    "RAY_grpc_client_keepalive_timeout_ms": "4000",
}


def why_no_hosts() -> str | None:
    """Why hosts cannot be made here, or ``None``."""
    if shutil.which("ip") is None:
        return "the command `ip` is not installed"
    name = f"bp{secrets.token_hex(3)}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode:
        return f"network namespaces are not permitted here: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain until {what}")
        time.sleep(0.1)


@dataclass
class Host:
    """One namespace.

    Attributes:
        name: of the namespace.
        address: its own.
        link: its end of the cable.
        folder: for Ray's sockets and logs; short, as socket paths are limited.
        environment: of its processes, beside this process's own.
        hidden: folders of this machine that its processes see empty, as if they lay on another host's disk.
    """

    name: str
    address: str
    link: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    hidden: list[Path] = field(default_factory=list)

    def _entered(self, *command: str) -> list[str]:
        """``command`` on this host; each has mounts of its own, which end with it."""
        mounts = [f"mount -t tmpfs tmpfs {shlex.quote(str(folder))} && " for folder in self.hidden]
        shell = ["sh", "-c", f'{"".join(mounts)}exec "$@"', "sh"] if mounts else []
        return ["ip", "netns", "exec", self.name, *shell, *command]

    def start(self, *command: str, output: Path | None = None, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """A process on this host; ``output`` gets what it prints."""
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with (output or self.folder / "output.txt").open("ab") as file:
            return subprocess.Popen(
                self._entered(*command),
                env={**environment, **self.environment},
                cwd=cwd,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def run(self, *command: str, seconds: float = 60, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A process on this host, to its end."""
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        return subprocess.run(
            self._entered(*command),
            env={**environment, **self.environment},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )

    def start_ray(self, head: Host | None = None, *options: str, cpus: int = 2, cwd: Path | None = None) -> None:
        """A Ray node; without ``head`` the head of a new cluster. Returns when it has joined.

        Tried three times: on a busy machine Ray gives up after a minute.
        """
        for _ in range(3):
            if self._joins(head, *options, cpus=cpus, cwd=cwd):
                return
            self.kill()
        raise AssertionError(f"Ray does not start on {self.name}: {(self.folder / 'ray.txt').read_text()}")

    def _joins(self, head: Host | None, *options: str, cpus: int, cwd: Path | None) -> bool:
        as_head = ["--head", f"--port={PORT}", "--disable-usage-stats"]
        where = as_head if head is None else [f"--address={head.address}:{PORT}"]
        self.folder.mkdir(exist_ok=True)
        output = self.folder / "ray.txt"
        output.unlink(missing_ok=True)
        started = self.start(
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            *where,
            f"--node-ip-address={self.address}",
            f"--temp-dir={self.folder}",
            f"--num-cpus={cpus}",
            "--num-gpus=0",
            "--object-store-memory=100000000",
            "--block",
            *options,
            cwd=cwd,
            output=output,
        )

        wait_until(
            lambda: started.poll() is not None or "Ray runtime started" in output.read_text(),
            "Ray has started or failed",
        )
        return started.poll() is None

    def cut(self) -> None:
        """Pull the cable out."""
        _ip("-n", self.name, "link", "set", self.link, "down")

    def mend(self) -> None:
        """Plug it in, or in again."""
        _ip("-n", self.name, "link", "set", self.link, "up")
        # Ray asks the routing table for its own address, by way of one that is far away.
        _ip("-n", self.name, "route", "replace", "default", "dev", self.link)

    def processes(self) -> list[int]:
        """All processes of this host."""
        listed = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        return [int(number) for number in listed.stdout.split()]

    def running(self, *names: str) -> list[int]:
        """Its processes whose command line has one of ``names``."""
        found = []
        for process in self.processes():
            try:
                command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found += [process] if any(name in command for name in names) else []
        return found

    def kill(self) -> None:
        """Power off: every process ends at once."""

        def nobody_left() -> bool:
            for process in self.processes():
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            return not [process for process in self.processes() if not _is_zombie(process)]

        wait_until(nobody_left, f"every process of {self.name} ended")


@contextmanager
def two_hosts(environment: Mapping[str, str]) -> Iterator[tuple[Host, Host]]:
    """Two hosts with a cable between them; on leaving, their processes, folders and namespaces are gone."""
    tag = secrets.token_hex(2)
    net = f"10.213.{secrets.randbelow(256)}"
    hosts = []
    with ExitStack() as stack:
        for number in (1, 2):
            name, link = f"bp{tag}-{number}", f"bp{tag}v{number}"
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            folder = Path(tempfile.mkdtemp(prefix="bp"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            hosts.append(Host(name, f"{net}.{number}", link, folder, dict(environment)))
            stack.callback(hosts[-1].kill)
        first, second = hosts
        _ip(
            "link",
            "add",
            first.link,
            "netns",
            first.name,
            "type",
            "veth",
            "peer",
            "name",
            second.link,
            "netns",
            second.name,
        )
        for host in hosts:
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.link)
            _ip("-n", host.name, "link", "set", "lo", "up")
            host.mend()
        yield first, second


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _is_zombie(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
