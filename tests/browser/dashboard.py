# SPDX-License-Identifier: Apache-2.0
"""Runs dashboard.mjs in node with jsdom and axe-core, installed into a scratch folder. Ends with
77 (skipped) when the registry cannot be reached."""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from api_client import Server  # noqa: E402

SKIPPED = 77


def main():
    if not shutil.which("npm") or not shutil.which("node"):
        print("skipped: node and npm are not installed")
        return SKIPPED
    with Server("--jobs", "2") as s:
        folder = os.path.join(s.folder, "browser")
        os.makedirs(folder)
        with open(os.path.join(folder, "package.json"), "w") as f:
            f.write('{"private": true, "type": "module"}')
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "jsdom@26",
                               "axe-core@4"], cwd=folder, capture_output=True, text=True, timeout=240)
        if done.returncode:
            print("skipped: jsdom and axe-core cannot be installed:", done.stderr[-400:])
            return SKIPPED
        shutil.copy(os.path.join(HERE, "dashboard.mjs"), folder)
        return subprocess.run(["node", "dashboard.mjs", str(s.port), s.keys[0]], cwd=folder,
                              timeout=120).returncode


sys.exit(main())
