# SPDX-License-Identifier: Apache-2.0
"""build-env build against uv + tar | zstd and bun + tar | zstd: cold, warm, and one package more.

All sides work in fresh folders of one disk, interleaved; medians of --rounds runs. Bytecode is
off on both sides, and measured apart on both. Usage: ./dev bench build [--rounds N]
"""

import argparse
import os
import subprocess
import time

from peers import BUILD_ENV, Scratch, Table, install_bun, install_uv, machine, timed, timed_pipe

PIP = ["pandas==2.2.0", "requests==2.32.3", "pytest==8.3.4"]
PIP_ONE_MORE = "toolz==1.0.0"
NPM = ["express@4.18.0", "typescript@5.4.5", "tsx@4.19.2"]
ZSTD = ["zstd", "-q", "-3", "-T0"]


def ours(home, manager, specs, *options):
    argv = [BUILD_ENV, "build", *options]
    for spec in specs:
        argv += [f"--{manager}", spec]
    env = {k: v for k, v in os.environ.items() if not k.startswith("STRATA_")}
    return timed(argv, env={**env, "STRATA_HOME": home})


def uv_round(uv, scratch, table, cache, label):
    venv = os.path.join(scratch.fresh("venv"), "v")
    env = {**os.environ, "UV_CACHE_DIR": cache, "UV_LINK_MODE": "copy"}
    subprocess.run([uv, "-q", "venv", "--python", "/usr/bin/python3", venv], env=env, check=True)
    seconds, _, _ = timed([uv, "-q", "pip", "install", "--python", f"{venv}/bin/python", *PIP],
                          env=env)
    packed = timed_pipe(venv, ZSTD, os.path.join(scratch.fresh("out"), "v.tar.zst"))
    table.add(f"uv {label} + tar | zstd", seconds + packed)
    table.add(f"uv {label} alone", seconds)
    return venv


def bun_round(bun, scratch, table, cache, label):
    project = scratch.fresh("bun")
    with open(os.path.join(project, "package.json"), "w", encoding="utf-8") as f:
        f.write("{}")
    env = {**os.environ, "BUN_INSTALL_CACHE_DIR": cache}
    seconds, _, _ = timed([bun, "add", "--silent", "--ignore-scripts", "--backend=copyfile", *NPM],
                          env=env, cwd=project)
    packed = timed_pipe(project, ZSTD, os.path.join(scratch.fresh("out"), "n.tar.zst"))
    table.add(f"bun {label} + tar | zstd", seconds + packed)
    table.add(f"bun {label} alone", seconds)


def pip_table(uv, scratch, rounds):
    table = Table(f"pip: {' '.join(PIP)}")
    peak = 0
    for _ in range(rounds):
        cache = scratch.fresh("uv-cache")
        uv_round(uv, scratch, table, cache, "cold")
        home = scratch.fresh("home")
        seconds, mib, _ = ours(home, "pip", PIP, "--no-bytecode")
        table.add("strata cold", seconds)
        peak = max(peak, mib)
        gzip_home = scratch.fresh("home-gz")
        seconds, mib, _ = ours(gzip_home, "pip", PIP, "--no-bytecode", "--compression", "gzip")
        table.add("strata cold, gzip by splicing", seconds)
        peak = max(peak, mib)
        uv_round(uv, scratch, table, cache, "warm")
        table.add("strata warm", ours(home, "pip", PIP, "--no-bytecode")[0])
        table.add("strata one package more",
                  ours(home, "pip", [*PIP, PIP_ONE_MORE], "--no-bytecode")[0])
    table.goal("cold / uv cold + tar | zstd", "strata cold", "uv cold + tar | zstd", 0.4)
    table.goal("cold gzip / uv cold + tar | zstd", "strata cold, gzip by splicing",
               "uv cold + tar | zstd", 0.25)
    table.goal("one more / cold", "strata one package more", "strata cold", 0.05)
    table.goal_ms("warm", "strata warm", 15)
    table.show()
    print(f"  peak memory {peak:.0f} MiB (goal 300): {'reached' if peak <= 300 else 'missed'}")
    return home


def npm_table(bun, scratch, rounds):
    table = Table(f"npm: {' '.join(NPM)}")
    peak = 0
    for _ in range(rounds):
        cache = scratch.fresh("bun-cache")
        bun_round(bun, scratch, table, cache, "cold")
        home = scratch.fresh("home")
        seconds, mib, _ = ours(home, "npm", NPM)
        table.add("strata cold", seconds)
        peak = max(peak, mib)
        bun_round(bun, scratch, table, cache, "warm")
        table.add("strata warm", ours(home, "npm", NPM)[0])
    table.goal("cold / bun cold + tar | zstd", "strata cold", "bun cold + tar | zstd", 0.8)
    table.goal_ms("warm", "strata warm", 15)
    table.show()
    print(f"  peak memory {peak:.0f} MiB (goal 300): {'reached' if peak <= 300 else 'missed'}")


def bytecode_table(uv, scratch, rounds):
    table = Table("pip with bytecode, cold")
    for _ in range(rounds):
        venv = os.path.join(scratch.fresh("venv"), "v")
        env = {**os.environ, "UV_CACHE_DIR": scratch.fresh("uv-cache"), "UV_LINK_MODE": "copy"}
        subprocess.run([uv, "-q", "venv", "--python", "/usr/bin/python3", venv], env=env,
                       check=True)
        seconds, _, _ = timed([uv, "-q", "pip", "install", "--compile-bytecode", "--python",
                               f"{venv}/bin/python", *PIP], env=env)
        packed = timed_pipe(venv, ZSTD, os.path.join(scratch.fresh("out"), "v.tar.zst"))
        table.add("uv --compile-bytecode + tar | zstd", seconds + packed)
        table.add("strata with bytecode", ours(scratch.fresh("home"), "pip", PIP)[0])
    table.goal("with bytecode / uv", "strata with bytecode", "uv --compile-bytecode + tar | zstd", 1)
    table.show()


def mount_table(home, rounds):
    """From our exec to the command's: the command prints the clock as soon as it runs."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("STRATA_")}
    env["STRATA_HOME"] = home
    digest = ours(home, "pip", PIP, "--no-bytecode")[2].split()[0]
    table = Table("mounting a stored environment (run DIGEST -- date)")
    for i in range(rounds + 1):
        started = time.time_ns()
        out = subprocess.run([BUILD_ENV, "run", digest, "--", "date", "+%s%N"], env=env,
                             capture_output=True, check=True)
        if i == 0:
            table.add("first run, which unpacks", (int(out.stdout) - started) / 1e9)
        else:
            table.add("exec to exec", (int(out.stdout) - started) / 1e9)
        before = time.time_ns()
        out = subprocess.run(["date", "+%s%N"], capture_output=True, check=True)
        table.add("date alone", (int(out.stdout) - before) / 1e9)
    table.goal_ms("run, date's own start included", "exec to exec", 10)
    table.show()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["pip", "npm", "bytecode", "mount"])
    options = parser.parse_args()
    scratch = Scratch()
    print(f"machine: {machine()}")
    try:
        home = None
        if options.only in (None, "pip", "bytecode"):
            uv = install_uv(scratch)
        if options.only in (None, "pip"):
            home = pip_table(uv, scratch, options.rounds)
        if options.only in (None, "npm"):
            npm_table(install_bun(scratch), scratch, options.rounds)
        if options.only in (None, "bytecode"):
            bytecode_table(uv, scratch, min(options.rounds, 3))
        if options.only in (None, "mount"):
            mount_table(home or scratch.fresh("home"), max(options.rounds, 10))
    finally:
        scratch.remove()


if __name__ == "__main__":
    main()
