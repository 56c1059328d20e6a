"""In front of every request: the host it names, the token, the origin of changes; and headers on every answer."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "branchpoint-token"
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OPEN = ("/login", "/assets/serve.css")


class Guard:
    """ASGI middleware.

    Args:
        app: behind it.
        token: that each request must show: as a cookie, or ``Authorization: Bearer``.
        hosts: names by which the server may be called, which keeps out pages that had their own name point here;
            empty for any.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Sequence[str]) -> None:
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass, and answer the rest."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, RedirectResponse

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        request = Request(scope)
        answer: Any = self.app
        if self.hosts and (urlsplit(f"//{request.headers.get('host', '')}").hostname or "") not in self.hosts:
            answer = PlainTextResponse("this server is not known by that name\n", 421)
        elif not _same_origin(request):
            answer = PlainTextResponse("the request comes from another page\n", 403)
        elif request.url.path not in _OPEN and not self.knows(_shown(request)):
            wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
            answer = (
                RedirectResponse("/login", 303)
                if wants_page
                else PlainTextResponse("a token is needed: Authorization: Bearer TOKEN\n", 401)
            )
        await answer(scope, receive, send_with_headers)

    def knows(self, token: str) -> bool:
        """Whether it is the token, in time that does not depend on where they differ."""
        return secrets.compare_digest(token.encode(), self.token.encode())


def _shown(request: Any) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")


def _same_origin(request: Any) -> bool:
    """Whether a change was asked for by a page of this server, or by no page at all."""
    origin = request.headers.get("origin")
    return request.method in ("GET", "HEAD") or origin is None or urlsplit(origin).netloc == request.headers.get("host")
