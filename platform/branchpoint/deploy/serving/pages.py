"""The answers of ``branchpoint serve``, one for each address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.serving.guard import COOKIE, Guard
from branchpoint.deploy.serving.requests import read_about
from branchpoint.deploy.serving.studies import Studies
from branchpoint.deploy.serving.study import Study

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

ASSETS = Path(__file__).parent / "assets"
_MOST_FORM_BYTES = 2**16


class Pages:
    """The answers, one method for each address."""

    def __init__(self, bundle: Bundle, studies: Studies, token: str, device: str) -> None:
        from jinja2 import Environment, FileSystemLoader

        self.bundle, self.studies, self.device = bundle, studies, device
        self._guard = Guard(None, token, ())  # type: ignore[arg-type]
        self._templates = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True)

    async def login(self, request: Request) -> Response:
        """Take the token from the address or the form, and keep it in a cookie that scripts cannot read."""
        from starlette.responses import RedirectResponse

        given = request.query_params.get("token", "")
        if request.method == "POST":
            given = parse_qs((await _body(request)).decode(errors="replace")).get("token", [""])[0]
        if not self._guard.knows(given.strip()):
            return self._page("login.html.jinja", 401 if given else 200, wrong=bool(given))
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, given.strip(), httponly=True, samesite="strict")
        return answer

    async def home(self, request: Request) -> Response:
        """Where a study is dropped."""
        preparation = self.bundle.preparation
        return self._page(
            "home.html.jinja",
            bundle=self.bundle,
            modalities=preparation.modalities,
            volumes=preparation.kind == "volume",
            covariates=self.bundle.preprocessing["covariates"],
            gib=self.studies.limits.bytes / 2**30,
            studies=[study for study in self.studies if study.state != "uploading"],
        )

    async def asset(self, request: Request) -> Response:
        """Style and script."""
        from starlette.responses import FileResponse

        name = request.path_params["name"]
        if name not in ("serve.css", "serve.js"):
            return _absent()
        return FileResponse(ASSETS / name)

    async def create(self, request: Request) -> Response:
        """Open a study; the body is JSON with ``label``, ``options`` and ``covariates``."""
        from starlette.responses import JSONResponse

        body = await _body(request)
        try:
            given = json.loads(body or b"{}")
            about = read_about(given, self.bundle, self.device)
        except (ValueError, TypeError, AttributeError) as problem:
            raise CaseError("bad-request", str(problem), "correct the field") from None
        study = self.studies.open(about.label, about.options, about.covariates)
        return JSONResponse({"id": study.id}, 201)

    async def upload(self, request: Request) -> Response:
        """One file of a study: the body is its bytes, ``name`` its path in the study, ``modality`` what it shows."""
        from starlette.responses import Response

        study = self._known(request)
        modality = request.query_params.get("modality", "")
        if modality and modality not in self.bundle.preparation.modalities:
            raise CaseError("modality", f"{modality!r} is none of the bundle's", "send it without, or with another")
        await self.studies.receive(study, request.query_params.get("name", ""), modality, request.stream())
        return Response(status_code=204)

    async def start(self, request: Request) -> Response:
        """All files are there: queue the prediction."""
        from starlette.responses import JSONResponse

        study = self._known(request)
        self.studies.start(study)
        return JSONResponse({"address": f"/studies/{study.id}"}, 202)

    async def study(self, request: Request) -> Response:
        """The result, or where it stays."""
        study = self._known(request)
        ahead, files = self.studies.ahead(study), list(study.result_files())
        return self._page("study.html.jinja", study=study, ahead=ahead, files=files, bundle=self.bundle)

    async def state(self, request: Request) -> Response:
        """For the page that waits, and for programs."""
        from starlette.responses import JSONResponse

        study = self._known(request)
        known = {"state": study.state, "ahead": self.studies.ahead(study), "files": list(study.result_files())}
        return JSONResponse({**known, "failure": dict(study.failure) or None})

    async def file(self, request: Request) -> Response:
        """One file of the results, by its name among them."""
        from starlette.responses import FileResponse

        study = self._known(request)
        path = study.result_files().get(request.path_params["name"])
        if path is None:
            return _absent()
        shown = path.suffix in (".html", ".png", ".json")
        return FileResponse(path, filename=path.name, content_disposition_type="inline" if shown else "attachment")

    async def delete(self, request: Request) -> Response:
        """Remove a study and all its files."""
        from starlette.responses import RedirectResponse

        self.studies.delete(self._known(request))
        return RedirectResponse("/", 303)

    def _known(self, request: Request) -> Study:
        from starlette.exceptions import HTTPException

        study = self.studies.get(request.path_params["id"])
        if study is None:
            raise HTTPException(404, "no such study: it was deleted, or its time was over")
        return study

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        from starlette.responses import HTMLResponse

        return HTMLResponse(self._templates.get_template(template).render(**values), status)


def _absent() -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("no such file\n", 404)


async def _body(request: Request) -> bytes:
    """A small body.

    Raises:
        CaseError: it is not small.
    """
    found = b""
    async for part in request.stream():
        found += part
        if len(found) > _MOST_FORM_BYTES:
            raise CaseError("too-large", "the form is too large", "shorten it")
    return found
