# SPDX-License-Identifier: Apache-2.0
"""Loads the API (over the test double) on loopback and tells its latencies.
Usage: api.py [CLIENTS [SECONDS [THINK_MS]]]; the programs are those of the release preset."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("STRATA_BIN") or os.path.join(HERE, "..", "..", "build", "bin")
os.environ.setdefault("STRATA_API_SERVER", os.path.join(BIN, "api_server"))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from api_client import Server  # noqa: E402 - it reads the variable when it is imported

with Server("--jobs", "2") as s:
    sys.exit(subprocess.run([os.path.join(BIN, "bench_api"), str(s.port), s.keys[0], *sys.argv[1:]]).returncode)
