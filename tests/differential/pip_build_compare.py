#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what source distributions become here and with pip, file by file.

    pip_build_compare.py --build-env build/dev/bin/build-env [--pip PROGRAM] [--apt NAME,NAME] SPEC...

pip downloads the source distribution of SPEC (name==version) and installs it; we build the same
file, which lies on a server of this program. Compared is as in pip_tree_compare.py; of compiled
extensions what is left without debug information and build id, since pip's folder for building
has a random name.
"""
import argparse
import functools
import hashlib
import http.server
import os
import subprocess
import sys
import tempfile
import threading

from pip_tree_compare import (MOUNT, Failed, check_own_records, compare_records, compare_trees, read_records,
                              read_tree, run)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def serve(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def plain(content, scratch):
    """A compiled file without what tells where it was compiled."""
    if not content.startswith(b"\x7fELF"):
        return content
    file = os.path.join(scratch, "plain")
    with open(file, "wb") as f:
        f.write(content)
    run("objcopy", "--strip-debug", "--remove-section", ".note.gnu.build-id", file)
    with open(file, "rb") as f:
        return f.read()


def build_ours(options, url, scratch):
    env = {**os.environ, "STRATA_HOME": options.home}
    args = [a for name in options.apt for a in ("--apt", name)]
    done = subprocess.run([options.build_env, "build", "--no-bytecode", *args, "--pip", url], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise Failed(done.stderr.decode())
    digest = done.stdout.decode().strip()
    subprocess.run([options.build_env, "export", digest, f"tar:{scratch}/tree.tar"], env=env, check=True,
                   stdout=subprocess.DEVNULL)
    os.mkdir(scratch + "/strata")
    run("tar", "-x", "-p", "-f", scratch + "/tree.tar", "-C", scratch + "/strata", MOUNT[1:])


def compare(options, spec):
    with tempfile.TemporaryDirectory() as scratch:
        os.mkdir(scratch + "/sdist")
        run(options.python, "-m", "venv", "--without-pip", scratch + "/pip")
        python = scratch + "/pip/bin/python"
        pip = [*options.pip, "--python", python]
        run(*pip, "download", "-q", "--no-deps", "--no-binary", spec.split("==")[0], "-d", scratch + "/sdist", spec)
        file = os.listdir(scratch + "/sdist")[0]
        with open(f"{scratch}/sdist/{file}", "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        run(*pip, "install", "-q", "--no-compile", "--no-cache-dir", f"{scratch}/sdist/{file}")
        full = run(python, "-c", "import platform; print(platform.python_version())").decode().strip()
        site = "lib/python%s/site-packages" % full.rsplit(".", 1)[0]
        server = serve(scratch + "/sdist")
        try:
            build_ours(options, f"{spec.split('==')[0]} @ http://127.0.0.1:{server.server_port}/{file}#sha256={digest}",
                       scratch)
        finally:
            server.shutdown()
            server.server_close()
        mine = scratch + "/strata" + MOUNT
        trees = {"ours": read_tree(mine, MOUNT), "pip": read_tree(scratch + "/pip", scratch + "/pip")}
        records = read_records(mine, site)
        bad = check_own_records(mine, site, records)
        compiled = set()
        for tree in trees.values():
            for path, (kind, mode, content) in tree.items():
                if content.startswith(b"\x7fELF"):
                    compiled.add(path)
                    tree[path] = (kind, mode, plain(content, scratch))
        differing, rewritten = compare_trees(trees["ours"], trees["pip"], "pip")
        bad += differing
        bad += compare_records(records, read_records(scratch + "/pip", site), site, rewritten | compiled, "pip")
        return file, len(trees["ours"]), len(compiled), bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build-env", required=True)
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--pip", default="pip")
    parser.add_argument("--apt", default="")
    parser.add_argument("specs", nargs="+")
    options = parser.parse_args()
    options.pip = options.pip.split()
    options.apt = [name for name in options.apt.split(",") if name]
    os.umask(0o022)
    failed = 0
    with tempfile.TemporaryDirectory() as options.home:
        for spec in options.specs:
            try:
                file, files, compiled, bad = compare(options, spec)
            except Failed as why:
                file, files, compiled, bad = spec, 0, 0, str(why).splitlines()
            failed += bool(bad)
            print("%-4s %5d files %3d compiled  %s" % ("bad" if bad else "ok", files, compiled, file))
            for text in bad[:40]:
                print("     " + text)
            sys.stdout.flush()
    print("%d of %d equal" % (len(options.specs) - failed, len(options.specs)))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
