#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares installed trees with those of `npm install --global`, file by file.

    npm_tree_compare.py --fill build/dev/bin/fill_tree SET...
    npm_tree_compare.py --build-env build/dev/bin/build-env SET...

A SET is a list of npm specs, comma-separated. npm installs it without running scripts. With
--fill, its tree becomes a lock, which is installed from the same tarballs; with --build-env,
the set is built and exported, resolution included. Compared are paths, types, modes, contents
and the targets of links.
"""
import argparse
import os
import stat
import subprocess
import sys
import tempfile

MOUNT = "/opt/managed-env/npm"


class Failed(Exception):
    pass


def run(*args):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise Failed("%s\n%s" % (" ".join(args), done.stderr.decode(errors="replace")))
    return done.stdout


def read_tree(root):
    tree = {}
    for folder, dirs, files in os.walk(root):
        for name in files + [d for d in dirs if os.path.islink(os.path.join(folder, d))]:
            full = os.path.join(folder, name)
            st = os.lstat(full)
            if stat.S_ISLNK(st.st_mode):
                found = ("link", 0, os.readlink(full).encode())
            else:
                with open(full, "rb") as f:
                    found = ("file", stat.S_IMODE(st.st_mode), f.read())
            tree[os.path.relpath(full, root)] = found
    return tree


def compare(ours, theirs):
    bad = []
    for path in sorted(set(ours) | set(theirs)):
        a, b = ours.get(path), theirs.get(path)
        if a is None or b is None:
            bad.append("%s: only %s has it" % (path, "npm" if a is None else "strata"))
        elif a[:2] != b[:2]:
            bad.append("%s: %s %o, npm has %s %o" % (path, a[0], a[1], b[0], b[1]))
        elif a[2] != b[2]:
            bad.append("%s: %s" % (path, "-> %r, npm has %r" % (a[2], b[2])
                                   if a[0] == "link" else "other content"))
    return bad


def compare_set(options, specs):
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("npm", "tarballs", "strata"):
            os.mkdir(os.path.join(scratch, name))
        run(options.npm, "install", "--global", "--prefix", scratch + "/npm", "--ignore-scripts",
            "--no-audit", "--no-fund", "--prefer-offline", "--cache", options.cache, *specs)
        if options.build_env:
            os.environ["STRATA_HOME"] = options.cache + "/strata"
            args = [a for spec in specs for a in ("--npm", spec)]
            digest = run(options.build_env, "build", *args).decode().strip()
            run(options.build_env, "export", digest, "tar:" + scratch + "/tree.tar")
            run("tar", "-x", "-p", "-f", scratch + "/tree.tar", "-C", scratch + "/strata")
            ours = read_tree(scratch + "/strata" + MOUNT)
            return len(ours), compare(ours, read_tree(scratch + "/npm"))
        lock = run("node", here + "/npm_tree_lock.js", options.npm_folder, scratch + "/npm",
                   options.registry, options.cache + "/_cacache", scratch + "/tarballs")
        with open(scratch + "/lock.json", "wb") as f:
            f.write(lock)
        run(options.fill, "npm", scratch + "/lock.json", scratch + "/strata")
        ours = read_tree(scratch + "/strata" + MOUNT)
        return len(ours), compare(ours, read_tree(scratch + "/npm"))


def main():
    parser = argparse.ArgumentParser()
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--fill")
    how.add_argument("--build-env")
    parser.add_argument("--npm", default="npm")
    parser.add_argument("sets", nargs="+")
    options = parser.parse_args()
    modules = run(options.npm, "root", "--global").decode().strip()
    options.npm_folder = os.path.join(modules, "npm")
    options.registry = run(options.npm, "config", "get", "registry").decode().strip()
    os.umask(0o022)
    failed = 0
    with tempfile.TemporaryDirectory() as cache:
        options.cache = cache
        for line in options.sets:
            try:
                files, bad = compare_set(options, line.split(","))
            except Failed as why:
                files, bad = 0, str(why).splitlines()
            failed += bool(bad)
            print("%-4s %6d files  %s" % ("bad" if bad else "ok", files, line))
            for text in bad[:40]:
                print("     " + text)
            sys.stdout.flush()
    print("%d of %d sets equal" % (len(options.sets) - failed, len(options.sets)))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
