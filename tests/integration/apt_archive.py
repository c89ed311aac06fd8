# SPDX-License-Identifier: Apache-2.0
"""An apt archive of tiny packages, signed by a key made for it, served on 127.0.0.1.

    archive = AptArchive(folder)
    archive.add("stable", {"name": "one", "version": "1", "files": {"usr/bin/one": "#!/bin/sh\n"}})
    archive.publish("stable")
    archive.config()        # text of a strata.yaml that points at it

A package is a dict: name, version, `fields` of its control file, `files` (path: text or bytes; below bin or
sbin executable), `links` (path: target), `conffiles`, `scripts` (preinst, postinst, prerm, postrm),
`triggers`. The fixtures are in fixtures/apt/packages.json.
"""

import gzip
import hashlib
import http.server
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import threading
import time

from fixture_registry import FIXTURES, Server

DATE = "%a, %d %b %Y %H:%M:%S UTC"
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "riscv64": "riscv64"}
ARCH = DEBIAN.get(os.uname().machine, "amd64")


def fixtures():
    with open(os.path.join(FIXTURES, "apt", "packages.json"), encoding="utf-8") as f:
        return json.load(f)


# ---- packages ------------------------------------------------------------------------------------


def tar_of(entries):
    """entries: [(tarfile.TarInfo, bytes)]"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        for info, content in entries:
            info.size = len(content)
            info.mtime = 1577836800
            t.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def data_tar(p):
    entries, folders = [], set()

    def above(path):
        parts = path.split("/")[:-1]
        for n in range(1, len(parts) + 1):
            folder = "/".join(parts[:n])
            if folder not in folders:
                folders.add(folder)
                info = tarfile.TarInfo("./" + folder + "/")
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                entries.append((info, b""))

    for path, content in p.get("files", {}).items():
        above(path)
        info = tarfile.TarInfo("./" + path)
        info.mode = 0o755 if "bin/" in path else 0o644
        info.mode = p.get("modes", {}).get(path, info.mode)
        info.uid, info.gid = p.get("owners", {}).get(path, (0, 0))
        entries.append((info, content.encode() if isinstance(content, str) else content))
    for kind, links in ((tarfile.SYMTYPE, p.get("links", {})), (tarfile.LNKTYPE, p.get("hard_links", {}))):
        for path, target in links.items():
            above(path)
            info = tarfile.TarInfo("./" + path)
            info.type, info.linkname = kind, target
            entries.append((info, b""))
    return tar_of(entries)


def control_text(p):
    fields = {"Package": p["name"], "Version": p["version"], "Architecture": p.get("arch", "all"),
              "Maintainer": "Fixtures <fixtures@example.com>", **p.get("fields", {}),
              "Description": "a fixture"}
    return "".join(f"{k}: {v}\n" for k, v in fields.items())


def control_tar(p):
    members = {"control": (control_text(p), 0o644)}
    if "conffiles" in p:
        members["conffiles"] = ("".join(f"{c}\n" for c in p["conffiles"]), 0o644)
    if "triggers" in p:
        members["triggers"] = (p["triggers"], 0o644)
    for name, text in p.get("scripts", {}).items():
        members[name] = ("#!/bin/sh\nset -e\n" + text, 0o755)
    entries = []
    for name, (text, mode) in members.items():
        info = tarfile.TarInfo("./" + name)
        info.mode = mode
        entries.append((info, text.encode()))
    return tar_of(entries)


def make_deb(p):
    out = [b"!<arch>\n"]
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.gz", control_tar(p)),
                          ("data.tar.gz", data_tar(p))):
        head = f"{name:<16}{1577836800:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        out.append(head.encode() + content + (b"\n" if len(content) % 2 else b""))
    return b"".join(out)


# ---- the archive ---------------------------------------------------------------------------------


class Key:
    """A signing key in a scratch folder of its own; `public` is its armoured half."""

    def __init__(self, folder):
        self.folder = folder
        os.mkdir(folder, 0o700)
        self.gpg("--quick-gen-key", "--passphrase", "", "archive@example.com", "ed25519", "sign", "never")
        self.public = os.path.join(folder, "public.asc")
        with open(self.public, "wb") as f:
            f.write(self.gpg("--armor", "--export"))

    def gpg(self, *args, text=b""):
        return subprocess.run(["gpg", "--homedir", self.folder, "--batch", "--quiet", "--pinentry-mode",
                               "loopback", *args], input=text, capture_output=True, check=True).stdout

    def sign(self, text, others=()):
        """Clear-signed by this key, and in the same message by others."""
        signed = self.gpg("--clearsign", text=text)
        if not others:
            return signed
        head, rest = signed.split(b"-----BEGIN PGP SIGNATURE-----", 1)
        blocks = [self.packets(b"-----BEGIN PGP SIGNATURE-----" + rest)]
        for key in others:
            block = key.gpg("--clearsign", text=text).split(b"-----BEGIN PGP SIGNATURE-----", 1)[1]
            blocks.append(self.packets(b"-----BEGIN PGP SIGNATURE-----" + block))
        return head + self.gpg("--enarmor", text=b"".join(blocks)).replace(b"ARMORED FILE", b"SIGNATURE")

    def packets(self, armoured):
        return self.gpg("--dearmor", text=armoured)

    def detach(self, text):
        return self.gpg("--armor", "--detach-sign", text=text)

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.folder, "--kill", "all"], check=False,
                       capture_output=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        archive = self.server.archive
        archive.requests.append(self.path)
        body = archive.files.get(self.path.lstrip("/"))
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args):
        pass


class AptArchive:
    def __init__(self, folder, packages=None):
        self.key = Key(os.path.join(folder, "gnupg"))
        self.files, self.requests, self.suites = {}, [], {}
        for p in fixtures() if packages is None else packages:
            self.add(p.get("suite", "stable"), p)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.archive = self
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        for suite in self.suites:
            self.publish(suite)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.key.close()

    def add(self, suite, p):
        deb = make_deb(p)
        path = f"pool/{p['name']}_{p['version'].replace(':', '%3a')}_{p.get('arch', 'all')}.deb"
        self.files[path] = deb
        stanza = control_text(p) + (f"Filename: {path}\nSize: {len(deb)}\n"
                                    f"SHA256: {hashlib.sha256(deb).hexdigest()}\n")
        self.suites.setdefault(suite, []).append(stanza)
        return path

    def publish(self, suite, fields=None, sign=True, key=None, others=()):
        """Writes the suite's lists and its InRelease, with `fields` over those of the Release."""
        folder = f"dists/{suite}/"
        plain = "\n".join(self.suites.get(suite, [])).encode()
        lists = {f"main/binary-{ARCH}/Packages": plain,
                 f"main/binary-{ARCH}/Packages.xz": lzma.compress(plain)}
        self.files.update({folder + name: content for name, content in lists.items()})
        now = time.time()
        release = {"Origin": "Fixtures", "Suite": suite, "Codename": suite,
                   "Date": time.strftime(DATE, time.gmtime(now - 3600)),
                   "Valid-Until": time.strftime(DATE, time.gmtime(now + 86400)),
                   "Architectures": ARCH, "Components": "main", **(fields or {})}
        text = "".join(f"{k}: {v}\n" for k, v in release.items()) + "SHA256:\n"
        for name, content in lists.items():
            text += f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
        self.files[folder + "InRelease"] = (key or self.key).sign(text.encode(), others) if sign else text.encode()
        return text.encode()

    def source(self, suite, options=""):
        return f"deb [signed-by={self.key.public}{options}] {self.base} {suite} main"

    def config(self, *suites, extra=()):
        lines = [self.source(s) for s in suites or ["stable"]] + list(extra)
        return "registries:\n  apt:\n" + "".join(f"    - {line}\n" for line in lines)


def missing_programs():
    return [p for p in ("gpg", "gpgv", "dpkg") if not shutil.which(p)]
