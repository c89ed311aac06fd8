# SPDX-License-Identifier: Apache-2.0
"""Set-up and end of a sandbox and of a run, as who we are and, as root, as an ordinary user."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "bin" / "bench_sandbox"
USER_ID = 54321


def run(title, **options):
    print(f"== {title}", flush=True)
    return subprocess.run([PROGRAM], cwd="/", check=False, **options).returncode


def main():
    failed = run("as root" if os.geteuid() == 0 else "as an ordinary user")
    if os.geteuid() == 0:
        failed |= run("as an ordinary user", user=USER_ID, group=USER_ID, extra_groups=[])
    return failed


if __name__ == "__main__":
    sys.exit(main())
