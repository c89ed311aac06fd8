#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares locks of pip packages with what uv and pip resolve, on the sets in pip_sets.txt.

usage: pip_compare.py [--lock PROGRAM] [--no-pip] [--only TEXT] [--jobs N] [SETS]

For each set {normalised name, version, file, sha256} must agree: with every package in
`uv pip compile --format pylock.toml` (which lists all fitting files; ours must be one of
them), and with `pip install --dry-run --report` exactly. The index is the one that pip on
this machine uses. uv and a current pip are installed into a scratch environment below
$TMPDIR when they are missing. STRATA_BUILD_ENV names a build-env whose `lock --json` is to
be compared instead of the program pip_lock. Exit status: 0 all agree."""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from urllib.parse import unquote, urlparse

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"


def scratch_clients():
    root = os.path.join(os.environ.get("TMPDIR", tempfile.gettempdir()), "strata-pip-clients")
    python = os.path.join(root, "bin", "python")
    uv = os.path.join(root, "bin", "uv")
    if not os.path.exists(uv):
        subprocess.run([PYTHON, "-m", "venv", root], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-U", "pip", "uv"], check=True)
    return python, uv


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def clean_env():
    env = {k: v for k, v in os.environ.items() if k != "PIP_FIND_LINKS"}
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return env


class Set:
    def __init__(self, line):
        self.text = line
        self.flags = {}
        m = re.match(r"\[([^\]]*)\]\s*(.*)", line)
        if m and not line.startswith('"'):
            for word in m.group(1).replace(",", " ").split():
                key, _, value = word.partition("=")
                self.flags[key] = value or True
            line = m.group(2)
        self.specs = shlex.split(line)


def ours(args, s):
    options = []
    if os.environ.get("STRATA_BUILD_ENV"):
        command = [os.environ["STRATA_BUILD_ENV"], "lock", "--json"]
        if "exclude-newer" in s.flags:
            command += ["--exclude-newer", s.flags["exclude-newer"]]
        for spec in s.specs:
            command += ["--pip", spec]
    else:
        if "only-binary" in s.flags:
            options.append("--only-binary")
        if "pre" in s.flags:
            options.append("--pre")
        if "exclude-newer" in s.flags:
            from datetime import datetime
            t = datetime.fromisoformat(s.flags["exclude-newer"].replace("Z", "+00:00"))
            options += ["--exclude-newer", str(int(t.timestamp() * 1000))]
        command = [args.lock] + options + ["--"] + s.specs
    start = time.time()
    r = subprocess.run(command, capture_output=True, text=True, timeout=300)
    took = time.time() - start
    if r.returncode:
        return None, r.stderr.strip(), took
    lock = json.loads(r.stdout)
    lock = lock.get("managers", {}).get("pip", lock)
    return {p["name"]: (p["version"], p["filename"], p["digest"].split(":")[1])
            for p in lock["packages"]}, "", took


def with_uv(args, s):
    command = [args.uv, "pip", "compile", "-", "--format", "pylock.toml", "--python", PYTHON,
               "--no-header", "--quiet", "--no-config"]
    if "only-binary" in s.flags:
        command += ["--only-binary", ":all:"]
    if "pre" in s.flags:
        command += ["--prerelease", "allow"]
    if "exclude-newer" in s.flags:
        command += ["--exclude-newer", s.flags["exclude-newer"]]
    r = subprocess.run(command, input="\n".join(s.specs), capture_output=True, text=True,
                       env=clean_env(), timeout=600)
    if r.returncode:
        return None, r.stderr.strip()
    out = {}
    for p in tomllib.loads(r.stdout).get("packages", []):
        files = {}
        for f in p.get("wheels", []) + ([p["sdist"]] if "sdist" in p else []) + \
                ([p["archive"]] if "archive" in p else []):
            name = f.get("name") or unquote(os.path.basename(urlparse(f["url"]).path))
            files[name] = f["hashes"]["sha256"]
        out[normal(p["name"])] = (p.get("version"), files)
    return out, ""


def with_pip(args, s):
    command = [args.python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
               "--report", "-"]
    if "only-binary" in s.flags:
        command += ["--only-binary", ":all:"]
    if "pre" in s.flags:
        command += ["--pre"]
    if "exclude-newer" in s.flags:
        command += ["--uploaded-prior-to", s.flags["exclude-newer"]]
    r = subprocess.run(command + ["--"] + s.specs, capture_output=True, text=True,
                       env=clean_env(), timeout=900)
    if r.returncode:
        return None, r.stderr.strip()
    out = {}
    for p in json.loads(r.stdout)["install"]:
        d = p["download_info"]
        hashes = d.get("archive_info", {}).get("hashes", {})
        out[normal(p["metadata"]["name"])] = (
            p["metadata"]["version"], unquote(os.path.basename(urlparse(d["url"]).path)),
            hashes.get("sha256"))
    return out, ""


def same_version(a, b):
    strip = lambda v: re.sub(r"(\.0)+$", "", v or "")
    return strip(a) == strip(b)


def differences_uv(mine, uv):
    bad = []
    for name in sorted(set(mine) | set(uv)):
        if name not in mine or name not in uv:
            bad.append(f"{name}: ours {mine.get(name, ('-',))[0]}, uv {uv.get(name, ('-',))[0]}")
            continue
        version, filename, digest = mine[name]
        if not same_version(version, uv[name][0]):
            bad.append(f"{name}: ours {version}, uv {uv[name][0]}")
        elif uv[name][1].get(filename) != digest:
            bad.append(f"{name}: file {filename} {digest[:12]} is not uv's")
    return bad


def differences_pip(mine, pip):
    bad = []
    for name in sorted(set(mine) | set(pip)):
        if name not in mine or name not in pip:
            bad.append(f"{name}: ours {mine.get(name, ('-',))[0]}, pip {pip.get(name, ('-',))[0]}")
        elif not same_version(mine[name][0], pip[name][0]) or mine[name][1:] != pip[name][1:]:
            bad.append(f"{name}: ours {mine[name]}, pip {pip[name]}")
    return bad


def compare(args, s):
    """(verdict, lines)"""
    lines = []
    mine, why, took = ours(args, s)
    expected = [f for f in ("unresolvable", "missing", "needs_build") if f in s.flags]
    if expected:
        code = {"missing": "package_not_found"}.get(expected[0], expected[0])
        if mine is not None or code not in why:
            return "DIFFERS", [f"expected {code}, got: {why or 'a lock'}"], took
        lines.append(why)
        if expected[0] == "needs_build":
            return "agrees", lines, took
    elif mine is None:
        lines.append("ours fails: " + why)
    bad = []
    if "pip-only" not in s.flags:
        uv, why = with_uv(args, s)
        if (uv is None) != (mine is None):
            bad.append("uv: " + (why[:600] if uv is None else "resolves it"))
        elif uv is not None:
            bad += differences_uv(mine, uv)
    if not args.no_pip and "uv-only" not in s.flags:
        pip, why = with_pip(args, s)
        if (pip is None) != (mine is None):
            bad.append("pip: " + (why[-600:] if pip is None else "resolves it"))
        elif pip is not None:
            bad += differences_pip(mine, pip)
    count = "" if mine is None else f"{len(mine)} packages"
    return ("DIFFERS" if bad else "agrees " + count), lines + bad, took


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--lock", default=os.path.join(HERE, "../../build/dev/bin/pip_lock"))
    ap.add_argument("--no-pip", action="store_true")
    ap.add_argument("--only")
    ap.add_argument("--jobs", type=int, default=2)
    ap.add_argument("sets", nargs="?", default=os.path.join(HERE, "pip_sets.txt"))
    args = ap.parse_args()
    args.python, args.uv = scratch_clients()
    with open(args.sets) as f:
        sets = [Set(line.strip()) for line in f if line.strip() and not line.startswith("#")]
    if os.environ.get("STRATA_BUILD_ENV"):  # its command line has no such policy
        sets = [s for s in sets if not {"pre", "only-binary"} & set(s.flags)]
    if args.only:
        sets = [s for s in sets if args.only in s.text]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for s, (verdict, lines, took) in zip(sets, pool.map(lambda s: compare(args, s), sets)):
            print(f"{verdict:20} {took * 1000:6.0f} ms  {s.text}", flush=True)
            for line in lines:
                print("    " + line.replace("\n", "\n    "), flush=True)
            bad += verdict == "DIFFERS"
    print(f"{len(sets) - bad} of {len(sets)} sets agree")
    return 1 if bad else 0


sys.exit(main())
