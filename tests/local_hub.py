"""A server on this machine that speaks as much of the Hugging Face hub's API as a model needs."""

import base64
import hashlib
import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

# It also logs when Python ends, after pytest has closed what is logged to.
logging.getLogger("httpcore").setLevel(logging.WARNING)


@dataclass
class Repository:
    """The commits of a model: of each its files; and which commit a branch names."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit of whole files to a branch and return its name."""
        content = json.dumps([sorted(files), len(self.commits)]).encode()
        name = hashlib.sha1(content).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        return name

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the commit and the files of a branch or a commit."""
        name = self.branches.get(revision, revision)
        return (name, self.commits[name]) if name in self.commits else None


@dataclass
class LocalHub:
    """What the server holds, and what it was requested.

    Attributes:
        repositories: by name.
        objects: large files that were sent, by SHA-256.
        requests: method and path of each.
        broken: the number of large files that are received before the connection is closed.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    broken: int | None = None

    def add(self, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit files to a repository, which is made if there is none."""
        return self.repositories.setdefault(name, Repository(False)).commit(files, branch)


@contextmanager
def running_hub() -> Iterator[LocalHub]:
    """Run a hub on a free port of the loopback interface."""
    hub = LocalHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_LARGE = 4096  # bytes from which a file is sent as a large one
_NAME = r"(?P<repo>[\w.-]+/[\w.-]+)"


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._dispatch("GET")

    def do_HEAD(self) -> None:
        self._dispatch("HEAD")

    def do_POST(self) -> None:
        self._dispatch("POST")

    def do_PUT(self) -> None:
        self._dispatch("PUT")

    def _dispatch(self, method: str) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append(f"{method} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for wanted, pattern, answer in self.ROUTES:
            if wanted == method and (match := re.fullmatch(pattern, path)):
                answer(self, match, body)
                return
        if method == "HEAD" and (match := re.fullmatch(self.RESOLVE, path)):
            self._resolve(match, body)
            return
        self._send(404, {"error": "no such route"})

    def _send(self, status: int, content: Any, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self, code: str) -> None:
        self._send(404, {"error": code}, X_Error_Code=code)

    def _create(self, _: re.Match[str], body: bytes) -> None:
        request = json.loads(body)
        organization = request.get("organization") or "me"
        name = f"{organization}/{request['name']}"
        if name in self.hub.repositories:
            self._send(409, {"error": "exists", "url": f"{self.hub.url}/{name}"})
            return
        private = request.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private)
        self.hub.repositories[name].commit({".gitattributes": b""})
        self._send(200, {"url": f"{self.hub.url}/{name}", "name": name})

    def _info(self, match: re.Match[str], _: bytes) -> None:
        repository = self.hub.repositories.get(match["repo"])
        if repository is None:
            self._missing("RepoNotFound")
            return
        found = repository.files(match.groupdict().get("revision") or "main")
        if found is None:
            self._missing("RevisionNotFound")
            return
        commit, files = found
        siblings = [{"rfilename": name} for name in files]
        content = {"id": match["repo"], "modelId": match["repo"], "sha": commit}
        self._send(200, content | {"private": repository.private, "siblings": siblings})

    def _tree(self, match: re.Match[str], _: bytes) -> None:
        found = self.hub.repositories[match["repo"]].files(match["revision"])
        assert found is not None
        entries = [
            {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}
            for name, content in found[1].items()
        ]
        self._send(200, entries)

    def _preupload(self, _: re.Match[str], body: bytes) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= _LARGE else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in json.loads(body)["files"]
        ]
        self._send(200, {"files": files})

    def _batch(self, _: re.Match[str], body: bytes) -> None:
        objects = []
        for item in json.loads(body)["objects"]:
            entry = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.objects:
                href = f"{self.hub.url}/objects/{item['oid']}"
                entry["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(entry)
        self._send(200, {"transfer": "basic", "objects": objects})

    def _object(self, match: re.Match[str], body: bytes) -> None:
        if self.hub.broken is not None:
            if self.hub.broken == 0:
                self._send(400, {"error": "the connection has failed"})
                return
            self.hub.broken -= 1
        assert _digest(body) == match["oid"]
        self.hub.objects[match["oid"]] = body
        self._send(200, {})

    def _commit(self, match: re.Match[str], body: bytes) -> None:
        repository = self.hub.repositories[match["repo"]]
        branch = match["revision"]
        before = repository.files(branch) or repository.files("main")
        assert before is not None
        files = dict(before[1])
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        name = repository.commit(files, branch)
        url = f"{self.hub.url}/{match['repo']}/commit/{name}"
        self._send(200, {"success": True, "commitOid": name, "commitUrl": url})

    def _branch(self, match: re.Match[str], _: bytes) -> None:
        repository = self.hub.repositories[match["repo"]]
        repository.branches.setdefault(match["revision"], repository.branches["main"])
        self._send(200, {})

    def _resolve(self, match: re.Match[str], _: bytes) -> None:
        repository = self.hub.repositories.get(match["repo"])
        found = None if repository is None else repository.files(match["revision"])
        if found is None or match["file"] not in found[1]:
            self._missing("EntryNotFound")
            return
        content = found[1][match["file"]]
        self._send(200, content, ETag=f'"{_digest(content)}"', X_Repo_Commit=found[0])

    def _valid(self, _: re.Match[str], body: bytes) -> None:
        self._send(200, {"errors": [], "warnings": []})

    RESOLVE = rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)"
    ROUTES = (
        ("POST", "/api/repos/create", _create),
        ("POST", "/api/validate-yaml", _valid),
        ("GET", rf"/api/models/{_NAME}(/revision/(?P<revision>[^/]+))?", _info),
        ("GET", rf"/api/models/{_NAME}/tree/(?P<revision>[^/]+)", _tree),
        ("POST", rf"/api/models/{_NAME}/preupload/(?P<revision>[^/]+)", _preupload),
        ("POST", rf"/api/models/{_NAME}/commit/(?P<revision>[^/]+)", _commit),
        ("POST", rf"/api/models/{_NAME}/branch/(?P<revision>[^/]+)", _branch),
        ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _batch),
        ("PUT", r"/objects/(?P<oid>\w+)", _object),
        ("GET", RESOLVE, _resolve),
    )
