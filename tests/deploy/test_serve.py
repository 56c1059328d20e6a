"""What the server lets in: tokens, names, sizes, archives, one prediction at a time; real files have a real result."""

from __future__ import annotations

import gzip
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from branchpoint.deploy.bundle.bundle import Bundle
from branchpoint.deploy.errors import CaseError
from branchpoint.deploy.prediction.output import write_failure
from branchpoint.deploy.serving.guard import LOOPBACK
from branchpoint.deploy.serving.requests import predict_options
from branchpoint.deploy.serving.studies import Studies
from branchpoint.deploy.serving.temporary import remove_left_overs
from branchpoint.deploy.serving.uploads import Limits, check_sizes, safe_parts, unpack_archives
from branchpoint.deploy.serving.worker import Request, Worker, find_case
from tests.deploy.conftest import Finished

testclient = pytest.importorskip("starlette.testclient", reason="starlette is not installed: extra serve")

TOKEN = "a-token-for-the-tests"
BEARER = {"authorization": f"Bearer {TOKEN}"}


class FakeWorker:
    """Writes a page for each request when it is let go; remembers whether two ever ran at once."""

    def __init__(self) -> None:
        self.go, self.running, self.most, self.order = threading.Event(), 0, 0, []
        self.go.set()

    def run(self, request: Request, timeout_s: float) -> bool:
        self.running += 1
        self.most = max(self.most, self.running)
        self.order.append(request.id)
        assert self.go.wait(30)
        self.running -= 1
        if request.id == "bad":
            problem = CaseError("missing-slice", f"{request.upload}/Doe/1.dcm is missing", "send it")
            write_failure(request.id, problem, request.out)
            return False
        folder = request.out / request.id
        folder.mkdir(parents=True)
        (folder / "page.html").write_text("<p>result</p>")
        return True

    def stop(self) -> None:
        self.go.set()


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def client(
    finished: Finished, worker: FakeWorker, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    from branchpoint.deploy.serving.app import make_app

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    studies = Studies(worker, Limits(bytes=50_000, files=3), most=4, say=said.append)
    app = make_app(Bundle.open(finished.bundle), studies, TOKEN, LOOPBACK)
    with testclient.TestClient(app, base_url="http://127.0.0.1") as opened:
        yield opened
    assert not list(tmp_path.glob("branchpoint-serve-*")), "all files are removed at the end"


def send(client: Any, label: str, name: str = "ct.nii.gz", content: bytes = b"some bytes") -> str:
    opened = client.post("/studies", json={"label": label}, headers=BEARER)
    assert opened.status_code == 201, opened.text
    identifier = opened.json()["id"]
    sent = client.post(f"/studies/{identifier}/upload", params={"name": name}, content=content, headers=BEARER)
    assert sent.status_code == 204, sent.text
    assert client.post(f"/studies/{identifier}/start", headers=BEARER).status_code == 202
    return str(identifier)


def until(client: Any, identifier: str, *states: str) -> dict[str, Any]:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found: dict[str, Any] = client.get(f"/studies/{identifier}/state", headers=BEARER).json()
        if found["state"] in states:
            return found
        time.sleep(0.01)
    raise AssertionError(found)


def test_nothing_without_the_token(client: Any) -> None:
    for address in ("/", "/studies/x", "/studies/x/state", "/studies/x/files/page.html", "/assets/serve.js", "/none"):
        assert client.get(address).status_code == 401
        assert client.get(address, headers={"authorization": "Bearer wrong"}).status_code == 401
    for address in ("/studies", "/studies/x/upload", "/studies/x/start", "/studies/x/delete"):
        assert client.post(address, content=b"{}").status_code == 401
    sent = client.get("/", headers={"accept": "text/html"}, follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, "/login")
    assert client.get("/login?token=wrong").status_code == 401
    known = client.get(f"/login?token={TOKEN}", follow_redirects=False)
    assert known.status_code == 303
    assert {"httponly", "samesite=strict"} <= set(known.headers["set-cookie"].lower().split("; "))
    assert client.get("/").status_code == 200, "the cookie is the token"
    assert client.post("/login", data={"token": "wrong"}).status_code == 401


def test_other_names_and_other_pages_are_refused(client: Any) -> None:
    assert client.get("/", headers={**BEARER, "host": "evil.example"}).status_code == 421
    assert client.get("/", headers={**BEARER, "host": "localhost:8420"}).status_code == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert client.post("/studies", content=b"{}", headers={**BEARER, "origin": origin}).status_code == 403
    own = client.post("/studies", content=b"{}", headers={**BEARER, "origin": "http://127.0.0.1"})
    assert own.status_code == 201


def test_security_headers_on_every_answer(client: Any) -> None:
    answers = [client.get("/", headers=BEARER), client.get("/"), client.get("/none", headers=BEARER)]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"


BAD_NAMES = ["../x", "a/../../x", "/etc/passwd", "..\\x", "C:\\x", ".hidden", "a//b", "", "a\0b", "a\nb", "x" * 300]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_leave_their_folder(client: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(CaseError, match="file-name"):
        safe_parts(name)
    identifier = client.post("/studies", content=b"{}", headers=BEARER).json()["id"]
    sent = client.post(f"/studies/{identifier}/upload", params={"name": name}, content=b"x", headers=BEARER)
    assert sent.status_code == 400
    assert sent.json()["rule"] == "file-name"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["../result.json", "..%2f..%2fx", "%2e%2e/x", "none.html"])
def test_only_results_are_handed_out(client: Any, name: str) -> None:
    identifier = send(client, "a")
    until(client, identifier, "done")
    assert client.get(f"/studies/{identifier}/files/page.html", headers=BEARER).text == "<p>result</p>"
    assert client.get(f"/studies/{identifier}/files/{name}", headers=BEARER).status_code == 404
    assert client.get(f"/studies/{identifier}/files/..%2f..%2fupload%2fct.nii.gz", headers=BEARER).status_code == 404


def test_limits_on_bytes_files_and_studies(client: Any, tmp_path: Path) -> None:
    identifier = client.post("/studies", content=b"{}", headers=BEARER).json()["id"]
    address = f"/studies/{identifier}/upload"
    large = client.post(address, params={"name": "a"}, content=b"x" * 60_000, headers=BEARER)
    assert large.status_code == 413
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing of it is kept"
    codes = [client.post(address, params={"name": f"f{k}"}, content=b"", headers=BEARER).status_code for k in range(4)]
    assert codes == [204, 204, 204, 413]
    rest = [client.post("/studies", content=b"{}", headers=BEARER).status_code for _ in range(4)]
    assert rest == [201, 201, 201, 503]
    assert client.post("/studies", content=b"x" * 100_000, headers=BEARER).status_code == 413
    for wrong in (
        b"[1]",
        b"{",
        b'{"options": {"center": "x"}}',
        b'{"covariates": {"age": "old"}}',
        b'{"label": "a/b"}',
    ):
        assert client.post("/studies", content=wrong, headers=BEARER).status_code == 400, wrong


def test_one_at_a_time_in_order_and_no_names_in_the_log(
    client: Any, worker: FakeWorker, said: list[str], tmp_path: Path
) -> None:
    worker.go.clear()
    first, second, third = send(client, "Doe^Jane"), send(client, "bad"), send(client, "c")
    until(client, first, "running")
    assert client.get(f"/studies/{third}/state", headers=BEARER).json()["ahead"] == 2
    assert "2 ahead" in client.get(f"/studies/{third}", headers=BEARER).text
    again = client.post(f"/studies/{third}/upload", params={"name": "x"}, content=b"", headers=BEARER)
    assert again.status_code == 409
    worker.go.set()
    assert until(client, third, "done")["files"] == ["page.html"]
    failed = until(client, second, "failed")["failure"]
    assert failed["rule"] == "missing-slice"
    assert str(tmp_path) not in failed["found"]
    assert "missing-slice" in client.get(f"/studies/{second}", headers=BEARER).text
    assert (worker.order, worker.most) == (["Doe^Jane", "bad", "c"], 1)
    assert not list(tmp_path.rglob("upload")), "what was sent is removed"
    assert not any("Doe" in line or "ct.nii" in line for line in said)
    assert [line.split(" in ")[0] for line in said] == [
        "study 1: done",
        "study 2: failed (missing-slice)",
        "study 3: done",
    ]
    client.post(f"/studies/{first}/delete", headers=BEARER)
    assert client.get(f"/studies/{first}", headers=BEARER).status_code == 404


def archive(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


def test_archives_are_unpacked_within_limits(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({"study/1.dcm": b"one", "__MACOSX/x": b"", "study/.DS_Store": b"."}))
    unpack_archives(tmp_path, Limits())
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        "archive-0/study/1.dcm"
    ]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (archive({"bomb": bytes(20_000_000)}), "too-large"),
        (archive({f"f{k}": b"" for k in range(11)}), "too-many-files"),
        (archive({"../../x": b"x"}), "file-name"),
        (archive({"/x": b"x"}), "file-name"),
        (archive({"a": b"x" * 5000})[:-200] + archive({"a": b""})[-60:], "damaged-archive"),
    ],
    ids=["bomb", "many files", "parent folder", "absolute name", "damaged"],
)
def test_bombs_and_damaged_archives(tmp_path: Path, content: bytes, rule: str) -> None:
    folder = tmp_path / "upload"
    folder.mkdir()
    (folder / "a.zip").write_bytes(content)
    if not zipfile.is_zipfile(folder / "a.zip"):
        pytest.fail("the test's archive is none")
    with pytest.raises(CaseError) as raised:
        unpack_archives(folder, Limits(bytes=1_000_000, files=10))
    assert raised.value.rule == rule
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2_100_000
    assert [path.name for path in tmp_path.iterdir()] == ["upload"]


def test_links_in_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    with pytest.raises(CaseError, match="link"):
        unpack_archives(tmp_path, Limits())


def test_small_files_that_are_large_in_memory(tmp_path: Path) -> None:
    limits = Limits(bytes=1_000_000)
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(bytes(5_000_000)))
    with pytest.raises(CaseError, match="too-large"):
        check_sizes(tmp_path, limits)
    image = sitk.GetImageFromArray(np.zeros((20, 20, 20), np.uint8))
    sitk.WriteImage(image, str(tmp_path / "x.nii.gz"))
    check_sizes(tmp_path, limits)
    image = sitk.GetImageFromArray(np.zeros((80, 80, 80), np.uint8))
    sitk.WriteImage(image, str(tmp_path / "x.nii.gz"), useCompression=True)
    with pytest.raises(CaseError, match="too-large"):
        check_sizes(tmp_path, limits)


def test_which_file_is_which(tmp_path: Path) -> None:
    def found(*names: str) -> dict[str, str]:
        folder = tmp_path / "-".join(names)
        folder.mkdir()
        for name in names:
            (folder / name).touch()
        case = find_case(Request(id="a", upload=folder, out=tmp_path), ("CT", "PET"))
        return {modality: path.name for modality, path in case.images.items()}

    assert found("A1_ct.nii.gz", "A1_pt.nii.gz") == {"CT": "A1_ct.nii.gz", "PET": "A1_pt.nii.gz"}
    assert found("PET_image.nrrd", "CT_image.nrrd") == {"CT": "CT_image.nrrd", "PET": "PET_image.nrrd"}
    for names in (["a.nii", "b.nii"], ["ct.nii"], ["ct.nii", "pet.nii", "pet-2.nii"], ["ct-pet.nii", "x.nii"]):
        with pytest.raises(CaseError, match="which-files"):
            found(*names)


def test_left_overs_of_a_killed_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, alive, other = (
        tmp_path / f"branchpoint-serve-{name}" for name in (f"{2**22 + 5}-x", f"{os.getpid()}-x", "y")
    )
    for folder in (dead, alive, other):
        folder.mkdir()
    remove_left_overs()
    assert [folder.exists() for folder in (dead, alive, other)] == [False, True, True]


def test_worker_predicts_real_files_and_starts_again(finished: Finished, strangers: Path, tmp_path: Path) -> None:
    worker = Worker(finished.bundle)
    ct = sorted(strangers.glob("*_ct.nii.gz"))[0]
    pet = ct.with_name(ct.name.replace("_ct.", "_pt."))

    def request(name: str) -> Request:
        upload = tmp_path / name
        upload.mkdir()
        content = {f"A/{path.name}": path.read_bytes() for path in (ct, pet)}
        (upload / "study.zip").write_bytes(archive(content))
        return Request(id=name, upload=upload, out=tmp_path / f"{name}-out", options=predict_options({}, "cpu"))

    try:
        assert not worker.run(request("late"), 0.0)
        assert "timeout" in (tmp_path / "late-out/failed/late.json").read_text()
        assert worker.run(request("good"), 120)
        names = {path.name for path in (tmp_path / "good-out/good").iterdir()}
        assert names == {"labels.json", "mask.nii.gz", "page.html", "result.json"}
    finally:
        worker.stop()
