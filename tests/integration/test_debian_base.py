#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A root that build-env makes of the archive this machine's apt uses: it runs, dpkg finds nothing wrong in it, and two
empty homes give one digest. As root, with a network; exit status 77, said so, where that is not so."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD_ENV = os.environ["STRATA_BUILD_ENV"]


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def codename():
    with open("/etc/os-release", encoding="utf-8") as f:
        m = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', f.read(), re.M)
    return m[1] if m and shutil.which("apt-get") else skip("this machine is no Debian")


def run(home, *args):
    env = {**os.environ, "STRATA_HOME": home}
    return subprocess.run([BUILD_ENV, *args], env=env, capture_output=True, text=True, check=False, timeout=500)


def check(top, file):
    digests = set()
    for home in (os.path.join(top, "one"), os.path.join(top, "two")):
        built = run(home, "build", file)
        if built.returncode == 4:
            skip("the archive cannot be reached: " + built.stderr.strip().splitlines()[-1])
        if "namespace" in built.stderr and built.returncode != 0:
            skip(built.stderr.strip().splitlines()[-1])
        assert built.returncode == 0, built.stderr
        digests.add(built.stdout.strip())
    assert len(digests) == 1, digests
    for command, said in ((["tree", "--version"], "tree v"), (["dpkg", "--audit"], ""), (["dpkg", "-V"], ""),
                          (["dpkg-query", "-W", "-f", "${Status}", "tree"], "install ok installed"),
                          (["sh", "-c", "test ! -e /usr/bin/cc && echo alone"], "alone")):
        done = run(os.path.join(top, "one"), "run", file, "--", *command)
        assert done.returncode == 0 and done.stdout.startswith(said) and (said or not done.stdout), \
            f"{command}: {done.returncode} {done.stdout}{done.stderr}"


def main():
    if os.geteuid() != 0:
        skip("only root can make a root whose files belong to several")
    suite = codename()
    top = tempfile.mkdtemp(prefix="strata-base-")
    try:
        file = os.path.join(top, "base.yaml")
        with open(file, "w", encoding="utf-8") as f:
            f.write(f"name: base\nbase: debian:{suite}\nconfig:\n  packages:\n    apt: [tree]\n")
        check(top, file)
    finally:
        shutil.rmtree(top, ignore_errors=True)


main()
