"""``branchpoint serve``: a local web page on which a person drops a study and looks at the page of its result."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

TOKEN = "BRANCHPOINT_SERVE_TOKEN"


def serve(
    bundle: Annotated[Path, typer.Argument(help="Folder or .zip that `branchpoint bundle create` wrote.")],
    host: Annotated[str, typer.Option(help="Address to listen on; others than 127.0.0.1 are not encrypted.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8420,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU where there is one.")] = "auto",
    max_gib: Annotated[float, typer.Option(min=0.001, help="Most GiB of one study, packed or unpacked.")] = 4.0,
    max_files: Annotated[int, typer.Option(min=1, help="Most files of one study.")] = 20_000,
    keep_minutes: Annotated[float, typer.Option(min=0.1, help="How long results are kept.")] = 60.0,
) -> None:
    """Serve a web page for predictions; it needs the token that is printed, or that of $BRANCHPOINT_SERVE_TOKEN."""
    uvicorn = _uvicorn()
    from branchpoint.deploy.bundle.bundle import Bundle
    from branchpoint.deploy.serving.app import make_app
    from branchpoint.deploy.serving.guard import LOOPBACK
    from branchpoint.deploy.serving.studies import Studies
    from branchpoint.deploy.serving.uploads import GIB, Limits
    from branchpoint.deploy.serving.worker import Worker

    path = bundle.expanduser().resolve()
    opened = Bundle.open(path)
    token = os.environ.get(TOKEN) or secrets.token_urlsafe(24)
    if len(token) < 16:
        raise ValueError(f"${TOKEN} has {len(token)} characters; give at least 16, or none for a random one")
    listening = _listen(host, port)
    limits = Limits(bytes=int(max_gib * GIB), files=max_files)
    studies = Studies(Worker(path), limits, keep_s=60 * keep_minutes, say=typer.echo)
    hosts = () if host in ("0.0.0.0", "::") else tuple({*LOOPBACK, host})
    app = make_app(opened, studies, token, hosts, device)
    if host not in LOOPBACK:
        typer.echo(f"{host} can be reached from other machines, and nothing is encrypted", err=True)
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"{opened.name}: http://{shown}:{listening.getsockname()[1]}/login?token={token}")
    typer.echo("not for clinical use; stop with Ctrl-C")
    # No access log: names of files can be those of patients.
    settings = uvicorn.Config(app, log_level="error", access_log=False, server_header=False, limit_concurrency=100)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn ends on them in order, and then raises them once more
        signal.signal(number, lambda *_: None)
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    finally:
        studies.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as problem:
        raise ValueError(f"cannot listen on {host}:{port}: {problem.strerror}; give another --port") from None


def _uvicorn() -> Any:
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError:
        raise ModuleNotFoundError('the page needs starlette and uvicorn: pip install "branchpoint[serve]"') from None
    return uvicorn
