# SPDX-License-Identifier: Apache-2.0
"""Registries of tiny packages, built from fixtures/ and served on 127.0.0.1 with the real protocols.

    with FixtureRegistry() as r:
        r.config()      # text of a strata.yaml that points at it
        r.fault("beta-2.0", Fault.STATUS, 500, times=2)

Faults are by a part of the path: an answer with a status, a body that is cut, altered, delayed, or a
connection that is closed. Every request is kept in `requests`.
"""

import base64
import csv
import gzip
import hashlib
import http.server
import io
import json
import os
import ssl
import tarfile
import threading
import time
import urllib.parse
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.path.join(ROOT, "fixtures")
ZIP_DATE = (2020, 1, 1, 0, 0, 0)


def fixture(manager):
    with open(os.path.join(FIXTURES, manager, "packages.json"), encoding="utf-8") as f:
        return json.load(f)


# ---- pip -----------------------------------------------------------------------------------------


def normalise(name):
    return "-".join(p for p in "".join(c if c.isalnum() else "-" for c in name.lower()).split("-") if p)


def metadata_text(p):
    lines = [f"Metadata-Version: {p.get('metadata_version', '2.1')}", f"Name: {p['name']}", f"Version: {p['version']}"]
    if "requires_python" in p:
        lines.append(f"Requires-Python: {p['requires_python']}")
    lines += [f"Provides-Extra: {e}" for e in p.get("extras", [])]
    lines += [f"Requires-Dist: {r}" for r in p.get("requires", [])]
    return "\n".join(lines) + "\n\nA fixture.\n"


def make_wheel(p, extra_files=None):
    """extra_files: [(name, bytes)] put in as they are, for hostile wheels."""
    stem = f"{p['name'].replace('-', '_')}-{p['version']}"
    files = {name: text.encode() for name, text in p["files"].items()}
    if "big_bytes" in p:
        # Hardly compressible, the same each time.
        blocks = (hashlib.sha256(str(i).encode()).digest() for i in range(p["big_bytes"] // 32))
        files["big/data.bin"] = b"".join(blocks)
    info = f"{stem}.dist-info"
    files[f"{info}/METADATA"] = metadata_text(p).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: fixture\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if "scripts" in p:
        entries = "".join(f"{k} = {v}\n" for k, v in p["scripts"].items())
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{entries}".encode()
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(content)])
    rows.writerow([f"{info}/RECORD", "", ""])
    files[f"{info}/RECORD"] = record.getvalue().encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in [*files.items(), *(extra_files or [])]:
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(entry, content)
    return f"{stem}-py3-none-any.whl", out.getvalue()


def make_sdist(p):
    """p["entries"]: [(tarfile.TarInfo, bytes)] put in as they are, for hostile sdists."""
    stem = f"{p['name'].replace('-', '_')}-{p['version']}"
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as gz, tarfile.open(fileobj=gz, mode="w") as t:
        files = {"PKG-INFO": metadata_text(p), "setup.py": "raise SystemExit\n", **p["files"]}
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{stem}/{name}")
            entry.size = len(text.encode())
            t.addfile(entry, io.BytesIO(text.encode()))
        for entry, content in p.get("entries", []):
            t.addfile(entry, io.BytesIO(content))
    return f"{stem}.tar.gz", out.getvalue()


class PipRegistry:
    def __init__(self, packages):
        self.projects, self.files = {}, {}
        for p in packages:
            self.add(p)

    def add(self, p, content=None):
        name, data = make_sdist(p) if p.get("sdist") else make_wheel(p, p.get("extra_files"))
        data = content or data
        self.files[name] = data
        entry = {"filename": name, "url": f"../../files/{name}", "size": len(data),
                 "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
                 "requires-python": p.get("requires_python"), "yanked": p.get("yanked", False),
                 "upload-time": p.get("upload_time", "2020-01-01T00:00:00Z")}
        self.projects.setdefault(normalise(p["name"]), []).append(entry)

    def answer(self, path, accept):
        parts = path.strip("/").split("/")
        if parts[0] == "files" and len(parts) == 2 and parts[1] in self.files:
            return 200, "application/octet-stream", self.files[parts[1]]
        if parts[0] != "simple" or len(parts) != 2 or parts[1] not in self.projects:
            return 404, "text/plain", b"no such project"
        if "json" in accept:
            page = {"meta": {"api-version": "1.0"}, "name": parts[1], "files": self.projects[parts[1]]}
            return 200, "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()
        links = []
        for f in self.projects[parts[1]]:
            extra = f' data-yanked="{f["yanked"]}"' if f["yanked"] else ""
            if f["requires-python"]:
                extra += f' data-requires-python="{f["requires-python"].replace(">", "&gt;")}"'
            links.append(f'<a href="{f["url"]}#sha256={f["hashes"]["sha256"]}"{extra}>{f["filename"]}</a>')
        return 200, "text/html", ("<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>").encode()


# ---- npm -----------------------------------------------------------------------------------------


def make_tarball(p, entries=None):
    """entries: [(tarfile.TarInfo, bytes)] put in as they are, for hostile tarballs."""
    manifest = {k: v for k, v in p.items() if k not in ("files", "entries")}
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as gz, tarfile.open(fileobj=gz, mode="w") as t:
        for name, text in {"package.json": json.dumps(manifest, indent=2), **p["files"]}.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text.encode())
            entry.mode = 0o644
            t.addfile(entry, io.BytesIO(text.encode()))
        for entry, content in entries or []:
            t.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class NpmRegistry:
    def __init__(self, packages):
        self.documents, self.files = {}, {}
        for p in packages:
            self.add(p)

    def add(self, p, content=None):
        data = content or make_tarball(p, p.get("entries"))
        base = p["name"].split("/")[-1]
        path = f"{p['name']}/-/{base}-{p['version']}.tgz"
        self.files[path] = data
        manifest = {k: v for k, v in p.items() if k not in ("files", "entries")}
        integrity = base64.b64encode(hashlib.sha512(data).digest()).decode()
        manifest["dist"] = {"tarball": f"@BASE@/{path}", "integrity": f"sha512-{integrity}",
                            "shasum": hashlib.sha1(data).hexdigest()}
        if "scripts" in p:
            manifest["hasInstallScript"] = True
        doc = self.documents.setdefault(p["name"], {"name": p["name"], "dist-tags": {}, "versions": {}})
        doc["versions"][p["version"]] = manifest
        doc["dist-tags"]["latest"] = p["version"]

    def answer(self, path, accept, base):
        path = urllib.parse.unquote(path.strip("/"))
        if path in self.files:
            return 200, "application/octet-stream", self.files[path]
        name, _, version = path, None, None
        if name not in self.documents and "/" in name:
            name, version = path.rsplit("/", 1)
        document = self.documents.get(name)
        if document and version:
            document = document["versions"].get(document["dist-tags"].get(version, version))
        if not document:
            return 404, "application/json", b'{"error":"not found"}'
        return 200, "application/json", json.dumps(document).replace("@BASE@", base).encode()


# ---- the server ----------------------------------------------------------------------------------


class Fault:
    STATUS = "status"  # answer with this status; a tuple (status, headers) too
    CUT = "cut"  # send only this share of the body, then close
    ALTER = "alter"  # flip a byte of the body
    CLOSE = "close"  # close without an answer
    STALL = "stall"  # send half of the body, then nothing for this many seconds


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        registry = self.server.registry
        registry.requests.append(self.path)
        status, kind, body = registry.answer(self.path, self.headers.get("Accept", ""))
        headers = {}
        fault, value = registry.take_fault(self.path)
        if fault == Fault.CLOSE:
            self.close_connection = True
            return
        if fault == Fault.STATUS:
            status, headers = value if isinstance(value, tuple) else (value, {})
            body = b"fault"
        if fault == Fault.ALTER:
            body = body[:-1] + bytes([body[-1] ^ 1])
        start = 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes=") and status == 200 and not fault:
            whole = body
            first, _, last = asked[6:].partition("-")
            start = int(first) if first else max(0, len(whole) - int(last))
            end = int(last) + 1 if first and last else len(whole)
            body = whole[start:end]
            status = 206
            headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(whole)}"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        self.send_body(body, fault, value)

    def send_body(self, body, fault, value):
        if fault == Fault.CUT:
            body = body[: int(len(body) * value)]
            self.close_connection = True
        if fault == Fault.STALL:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            time.sleep(value)
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients of ours that hang up are part of the tests."""


class FixtureRegistry:
    def __init__(self, pip=None, npm=None):
        self.pip = PipRegistry(fixture("pip") if pip is None else pip)
        self.npm = NpmRegistry(fixture("npm") if npm is None else npm)
        self.requests, self.faults = [], []
        self.mutex = threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.registry = self
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def over_tls(self, certificate, key):
        """From now on https alone, with this certificate (PEM files)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.base = self.base.replace("http://", "https://")

    def answer(self, path, accept):
        for prefix, registry in (("/pip/", self.pip), ("/npm/", self.npm)):
            if path.startswith(prefix):
                rest = path[len(prefix):].split("?")[0]
                if prefix == "/npm/":
                    return registry.answer(rest, accept, self.base + "/npm")
                return registry.answer(rest, accept)
        return 404, "text/plain", b"nothing here"

    def fault(self, part, kind, value=None, times=10**9):
        with self.mutex:
            self.faults.append([part, kind, value, times])

    def take_fault(self, path):
        with self.mutex:
            for f in self.faults:
                if f[0] in urllib.parse.unquote(path) and f[3] > 0:
                    f[3] -= 1
                    return f[1], f[2]
        return None, None

    def config(self):
        return f"registries:\n  pip: {self.base}/pip/simple/\n  npm: {self.base}/npm/\n"
