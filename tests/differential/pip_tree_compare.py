#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares installed trees with those of pip and uv, file by file.

    pip_tree_compare.py --fill build/dev/bin/fill_tree [--python PROGRAM] [--uv PROGRAM]
                        [--bytecode] SET...
    pip_tree_compare.py --build-env build/dev/bin/build-env ... SET...

A SET is a list of requirements, comma-separated. pip chooses and downloads the wheels; each
client then installs the same wheels, without looking at dependencies; with --build-env, we
resolve the set ourselves, build it and export the tree. Compared are paths,
types, modes, contents, and the rows of every RECORD. Not compared: what a client writes in
its own way (INSTALLER, REQUESTED, direct_url.json, the bodies of entry point wrappers, the
environment's own files, bytecode).
"""
import argparse
import base64
import csv
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile

MOUNT = "/opt/managed-env/pip/venv"
OWN_INFO = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json",
            "RECORD"}
OWN_FILES = {"pyvenv.cfg", "lib64", ".gitignore", ".lock", "CACHEDIR.TAG", "share/man"}


class Failed(Exception):
    pass


def run(*args, **kwargs):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs)
    if done.returncode:
        raise Failed("%s\n%s" % (" ".join(args), done.stdout.decode(errors="replace")))
    return done.stdout


def is_own(path):
    name = os.path.basename(path)
    folder = os.path.basename(os.path.dirname(path))
    if path.startswith("bin/"):
        return name.startswith(("activate", "deactivate", "pydoc.bat")) or \
            name in {"python", "python3", "pythonw", "Activate.ps1"} or \
            (name.startswith("python3.") and name[8:].isdigit())
    return path in OWN_FILES or name in {"_virtualenv.py", "_virtualenv.pth"} or \
        (folder.endswith(".dist-info") and name in OWN_INFO) or \
        "__pycache__" in path.split("/")


def read_tree(root, prefix):
    """path -> (type, mode, content); the environment's place is written as MOUNT."""
    tree = {}
    for folder, dirs, files in os.walk(root):
        for name in files + [d for d in dirs if os.path.islink(os.path.join(folder, d))]:
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root)
            if is_own(path):
                continue
            st = os.lstat(full)
            if stat.S_ISLNK(st.st_mode):
                tree[path] = ("link", 0, os.readlink(full).encode())
                continue
            with open(full, "rb") as f:
                content = f.read()
            if path.startswith("bin/") and content.startswith(b"#!"):
                first, newline, rest = content.partition(b"\n")
                first = first.replace(prefix.encode(), MOUNT.encode())
                first = first.replace(b"/bin/python3.11", b"/bin/python")
                first = first.replace(b"/bin/python3", b"/bin/python")
                content = first + newline + rest
            tree[path] = ("file", stat.S_IMODE(st.st_mode), content)
    return tree


def read_records(root, site):
    """dist-info -> {path -> (hash, size)}"""
    records = {}
    base = os.path.join(root, site)
    for name in os.listdir(base):
        file = os.path.join(base, name, "RECORD")
        if name.endswith(".dist-info") and os.path.exists(file):
            with open(file, newline="") as f:
                records[name] = {row[0]: tuple(row[1:3]) for row in csv.reader(f) if row}
    return records


def is_wrapper(ours, theirs):
    return ours.startswith(b"#!") and theirs.startswith(b"#!") and \
        b"sys.exit(" in ours and b"sys.exit(" in theirs


def compare_trees(ours, theirs, client):
    bad, rewritten = [], set()
    for path in sorted(set(ours) | set(theirs)):
        a, b = ours.get(path), theirs.get(path)
        if a is None or b is None:
            bad.append("%s: only %s has it" % (path, client if a is None else "strata"))
            continue
        mode_differs = a[1] != b[1]
        if mode_differs and client == "pip" and path.startswith("bin/") and a[1] == 0o755:
            mode_differs = False  # pip leaves scripts of .data without x bits
        if a[0] != b[0] or mode_differs:
            bad.append("%s: %s %o, %s has %s %o" % (path, a[0], a[1], client, b[0], b[1]))
        if path.startswith("bin/"):
            rewritten.add(path)
            if a[2].split(b"\n")[0] != b[2].split(b"\n")[0]:
                bad.append("%s: first line %r, %s has %r" % (
                    path, a[2].split(b"\n")[0], client, b[2].split(b"\n")[0]))
            if is_wrapper(a[2], b[2]):
                continue
        if a[2] != b[2]:
            bad.append("%s: other content" % path)
    return bad, rewritten


def compare_records(ours, theirs, site, rewritten, client):
    bad = []
    for name in sorted(set(ours) | set(theirs)):
        a, b = ours.get(name, {}), theirs.get(name, {})
        for path in sorted(set(a) | set(b)):
            real = os.path.normpath(os.path.join(site, path))
            if is_own(real) and os.path.basename(path) != "RECORD":
                continue
            if real in rewritten and path in a and path in b:
                continue  # hashes of rewritten files; our own are checked against the files
            if a.get(path) != b.get(path):
                bad.append("%s/RECORD: %s: %s, %s has %s" % (name, path, a.get(path), client,
                                                            b.get(path)))
    return bad


def check_own_records(root, site, records):
    """Our RECORDs against our files: every row right, every file in one."""
    bad, listed = [], set()
    for name, rows in records.items():
        for path, (digest, size) in rows.items():
            full = os.path.normpath(os.path.join(root, site, path))
            listed.add(os.path.relpath(full, root))
            if not os.path.isfile(full):
                bad.append("%s/RECORD: %s is not there" % (name, path))
                continue
            if not digest:
                continue
            with open(full, "rb") as f:
                content = f.read()
            if not digest.startswith("sha256="):
                continue
            want = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            if digest[7:] != want or int(size) != len(content):
                bad.append("%s/RECORD: %s does not match the file" % (name, path))
    for path in read_tree(root, MOUNT):
        if path not in listed:
            bad.append("%s: in no RECORD" % path)
    return bad


def lock_of(wheels, python_full):
    packages = []
    for name in sorted(os.listdir(wheels)):
        file = os.path.join(wheels, name)
        parts = name[:-4].split("-")
        with open(file, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        packages.append({
            "name": parts[0].lower().replace("_", "-").replace(".", "-"),
            "version": parts[1].replace("_", "-"),
            "filename": name,
            "digest": "sha256:" + digest,
            "requested": True,
            "file": file,
        })
    return {"packages": packages, "python": python_full.rsplit(".", 1)[0],
            "python_full": python_full}


def install_ours(options, specs, lock, scratch):
    if options.build_env:
        os.environ["STRATA_HOME"] = options.home
        args = [a for spec in specs for a in ("--pip", spec)]
        if not options.bytecode:
            args.append("--no-bytecode")
        digest = subprocess.run([options.build_env, "build", *args], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        if digest.returncode:
            raise Failed(digest.stderr.decode())
        run(options.build_env, "export", digest.stdout.decode().strip(),
            "tar:" + scratch + "/tree.tar")
        run("tar", "-x", "-p", "-f", scratch + "/tree.tar", "-C", scratch + "/strata")
        return
    with open(scratch + "/lock.json", "w") as f:
        json.dump(lock, f)
    extra = ["--bytecode", os.path.realpath(options.python)] if options.bytecode else []
    run(options.fill, "pip", scratch + "/lock.json", scratch + "/strata", *extra)


def compare_set(options, specs):
    bad = []
    with tempfile.TemporaryDirectory() as scratch:
        wheels = os.path.join(scratch, "wheels")
        run(options.python, "-m", "venv", "--without-pip", scratch + "/pip")
        python = scratch + "/pip/bin/python"
        run(*options.pip, "--python", python, "download", "-q", "--only-binary", ":all:",
            "-d", wheels, *specs)
        files = [os.path.join(wheels, n) for n in sorted(os.listdir(wheels))]
        full = run(python, "-c", "import platform; print(platform.python_version())")
        full = full.decode().strip()
        site = "lib/python%s/site-packages" % full.rsplit(".", 1)[0]
        run(*options.pip, "--python", python, "install", "-q", "--no-compile", "--no-deps",
            "--no-index", *files)
        roots = {"pip": scratch + "/pip"}
        if options.uv:
            run(options.uv, "venv", "-q", "--python", options.python, scratch + "/uv")
            run(options.uv, "pip", "install", "-q", "--link-mode", "copy", "--no-deps",
                "--offline", "--no-index", "--python", scratch + "/uv/bin/python", *files)
            roots["uv"] = scratch + "/uv"
        os.mkdir(scratch + "/strata")
        install_ours(options, specs, lock_of(wheels, full), scratch)
        mine = scratch + "/strata" + MOUNT
        ours, records = read_tree(mine, MOUNT), read_records(mine, site)
        bad += check_own_records(mine, site, records)
        for client, root in roots.items():
            differing, rewritten = compare_trees(ours, read_tree(root, root), client)
            bad += differing
            bad += compare_records(records, read_records(root, site), site, rewritten, client)
    return len(files), len(ours), bad


def main():
    parser = argparse.ArgumentParser()
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--fill")
    how.add_argument("--build-env")
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--pip", default="pip")
    parser.add_argument("--uv")
    parser.add_argument("--bytecode", action="store_true")
    parser.add_argument("sets", nargs="+")
    options = parser.parse_args()
    options.pip = options.pip.split()
    os.umask(0o022)
    failed = 0
    home = tempfile.TemporaryDirectory()
    options.home = home.name
    for line in options.sets:
        try:
            wheels, files, bad = compare_set(options, line.split(","))
        except Failed as why:
            wheels, files, bad = 0, 0, str(why).splitlines()
        failed += bool(bad)
        print("%-4s %3d wheels %6d files  %s" % ("bad" if bad else "ok", wheels, files, line))
        for text in bad[:40]:
            print("     " + text)
        sys.stdout.flush()
    print("%d of %d sets equal" % (len(options.sets) - failed, len(options.sets)))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
