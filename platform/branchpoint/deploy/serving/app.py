"""The web page of ``branchpoint serve``: a person drops one study and looks at the page of its result."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.serving.guard import Guard
from branchpoint.deploy.serving.pages import Pages
from branchpoint.deploy.serving.studies import Studies

if TYPE_CHECKING:
    from starlette.responses import Response

_STATUS = {"full": 503, "too-large": 413, "too-many-files": 413, "no-space": 507, "started": 409}


def make_app(bundle: Bundle, studies: Studies, token: str, hosts: Sequence[str], device: str = "auto") -> Any:
    """The ASGI application.

    Args:
        bundle: that predicts.
        studies: that are held.
        token: that each request must show.
        hosts: as in :class:`Guard`.
        device: of the networks.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route

    pages = Pages(bundle, studies, token, device)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(studies.work()), asyncio.create_task(studies.expire())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            studies.close()

    routes = [
        Route("/", pages.home),
        Route("/login", pages.login, methods=["GET", "POST"]),
        Route("/assets/{name}", pages.asset),
        Route("/studies", pages.create, methods=["POST"]),
        Route("/studies/{id}", pages.study),
        Route("/studies/{id}/state", pages.state),
        Route("/studies/{id}/upload", pages.upload, methods=["POST"]),
        Route("/studies/{id}/start", pages.start, methods=["POST"]),
        Route("/studies/{id}/delete", pages.delete, methods=["POST"]),
        Route("/studies/{id}/files/{name}", pages.file),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, token=token, hosts=hosts)],
        exception_handlers={CaseError: _case_error},
    )


async def _case_error(_: Any, problem: Exception) -> Response:
    from starlette.responses import JSONResponse

    assert isinstance(problem, CaseError)
    content = {"rule": problem.rule, "found": problem.found, "fix": problem.fix}
    return JSONResponse(content, _STATUS.get(problem.rule, 400))
