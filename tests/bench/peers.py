# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: peers in a scratch folder, timed commands, tables of medians."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_ENV = os.environ.get("STRATA_BUILD_ENV", os.path.join(ROOT, "build", "bin", "build-env"))


class Scratch:
    """Fresh folders on one disk. Old ones are kept until the end: on ext4 a file created just
    after many were removed is slow, which would punish whoever comes next."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="strata-bench-", dir=os.environ.get("STRATA_BENCH_DIR"))
        self.count = 0

    def fresh(self, name):
        self.count += 1
        path = os.path.join(self.top, f"{self.count:04d}-{name}")
        os.makedirs(path)
        return path

    def remove(self):
        subprocess.run(["chmod", "-R", "u+w", self.top], check=False)
        shutil.rmtree(self.top, ignore_errors=True)


def timed(argv, env=None, cwd=None):
    """Seconds and peak memory (MiB) of a command; fails loudly. What others wrote is on the disk before: a side that
    waits for its own bytes would wait for theirs, too."""
    os.sync()
    started = time.perf_counter()
    child = subprocess.Popen(argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"bench: {' '.join(argv)} failed ({child.returncode}):\n{err.decode()[-2000:]}")
    return seconds, usage.ru_maxrss / 1024, out.decode()


def timed_pipe(folder, compressor, target):
    """tar of a folder through a compressor into a file."""
    started = time.perf_counter()
    with open(target, "wb") as out:
        tar = subprocess.Popen(["tar", "-C", folder, "-cf", "-", "."], stdout=subprocess.PIPE)
        zip_ = subprocess.Popen(compressor, stdin=tar.stdout, stdout=out, stderr=subprocess.DEVNULL)
        tar.stdout.close()
        if zip_.wait() or tar.wait():
            sys.exit("bench: tar or its compressor failed")
    return time.perf_counter() - started


def install_uv(scratch):
    venv = scratch.fresh("uv")
    subprocess.run(["/usr/bin/python3", "-m", "venv", venv], check=True)
    subprocess.run([f"{venv}/bin/pip", "-q", "install", "uv"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return f"{venv}/bin/uv"


def install_bun(scratch):
    prefix = scratch.fresh("bun")
    machine = {"x86_64": "x64", "aarch64": "aarch64"}[platform.machine()]
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts",
                    "--prefix", prefix, f"@oven/bun-linux-{machine}"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return f"{prefix}/node_modules/@oven/bun-linux-{machine}/bin/bun"


class Table:
    """Rows of samples; prints medians, spread, and ratios with their goals."""

    def __init__(self, title):
        self.title = title
        self.samples = {}
        self.ratios = []

    def add(self, row, seconds):
        self.samples.setdefault(row, []).append(seconds)

    def median(self, row):
        return statistics.median(self.samples[row])

    def goal(self, text, row, peer, most):
        self.ratios.append((text, row, peer, most))

    def goal_ms(self, text, row, most_ms):
        self.ratios.append((text, row, None, most_ms))

    def show(self):
        print(f"\n{self.title}")
        for row, values in self.samples.items():
            print(f"  {row:44s} {statistics.median(values) * 1000:9.1f} ms"
                  f"   ({min(values) * 1000:.1f}..{max(values) * 1000:.1f}, n={len(values)})")
        for text, row, peer, most in self.ratios:
            if row not in self.samples or (peer and peer not in self.samples):
                continue
            if peer:
                value = self.median(row) / self.median(peer)
                verdict = "reached" if value <= most else f"missed by {value / most - 1:.0%}"
                print(f"  {text:44s} {value:9.3f}      goal {most}: {verdict}")
            else:
                value = self.median(row) * 1000
                verdict = "reached" if value <= most else f"missed by {value / most - 1:.0%}"
                print(f"  {text:44s} {value:9.1f} ms   goal {most} ms: {verdict}")


def machine():
    model = "?"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    load = os.getloadavg()[0]
    return (f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}, "
            f"load {load:.1f} at start")
