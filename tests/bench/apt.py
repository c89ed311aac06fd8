# SPDX-License-Identifier: Apache-2.0
"""build-env build against apt-get install + tar | zstd, and against dpkg-deb -x + tar | gzip.

Ours resolves and downloads in the time shown; the other two start with the .debs on disk, which favours
them. apt-get runs in namespaces on an overlay of this machine's root, without a network. As root. Usage: ./dev bench apt [--rounds N] [PACKAGE…]
"""

import argparse
import os
import subprocess
import sys
import time

from peers import BUILD_ENV, ROOT, Scratch, Table, machine, timed, timed_pipe

sys.path.insert(0, os.path.join(ROOT, "tests", "differential"))
import apt_compare  # noqa: E402  the reference installation

PACKAGES = ["ffmpeg", "mariadb-server"]


def ours(home, specs):
    env = {k: v for k, v in os.environ.items() if not k.startswith("STRATA_")}
    return timed([BUILD_ENV, "build", *[a for s in specs for a in ("--apt", s)]],
                 env={**env, "STRATA_HOME": home})


def unpacked(folder, target, out):
    started = time.perf_counter()
    for name in sorted(os.listdir(folder)):
        subprocess.run(["dpkg-deb", "-x", os.path.join(folder, name), target], check=True)
    return time.perf_counter() - started + timed_pipe(target, ["gzip"], os.path.join(out, "x.tar.gz"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("packages", nargs="*")
    options = parser.parse_args()
    specs = options.packages or PACKAGES
    if os.geteuid() != 0:
        sys.exit("bench: apt-get's side needs root")
    scratch = Scratch()
    print(f"machine: {machine()}")
    table, peak = Table(f"apt: {' '.join(specs)}"), 0
    try:
        for _ in range(options.rounds):
            home = scratch.fresh("home")
            seconds, mib, _ = ours(home, specs)
            table.add("strata cold, with downloads", seconds)
            peak = max(peak, mib)
            table.add("strata warm", ours(home, specs)[0])
            folder = os.path.join(scratch.fresh("apt"), "s")
            started = time.perf_counter()
            upper = apt_compare.reference(home, specs, folder)
            seconds = time.perf_counter() - started
            packed = timed_pipe(upper, ["zstd", "-q", "-3", "-T0"], os.path.join(folder, "u.tar.zst"))
            table.add("apt-get install + tar | zstd, no downloads", seconds + packed)
            table.add("dpkg-deb -x + tar | gzip, no downloads",
                      unpacked(os.path.join(folder, "debs"), scratch.fresh("x"), folder))
        table.goal("cold / apt-get + tar | zstd", "strata cold, with downloads",
                   "apt-get install + tar | zstd, no downloads", 0.5)
        table.goal("cold / dpkg-deb -x + tar | gzip", "strata cold, with downloads",
                   "dpkg-deb -x + tar | gzip, no downloads", 1)
        table.goal_ms("warm", "strata warm", 15)
        table.show()
        print(f"  peak memory {peak:.0f} MiB (goal 300): {'reached' if peak <= 300 else 'missed'}")
    finally:
        scratch.remove()


if __name__ == "__main__":
    main()
