# SPDX-License-Identifier: Apache-2.0
"""Runs api_sdk.mjs with the official SDK, installed from the registry into a scratch folder.
Ends with 77 (skipped) when that cannot be reached."""
import os
import shutil
import subprocess
import sys

from api_client import Server

SKIPPED = 77


def install(folder):
    os.makedirs(folder)
    with open(os.path.join(folder, "package.json"), "w") as f:
        f.write('{"private": true, "type": "module"}')
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
                           "@anthropic-ai/sdk"], cwd=folder, capture_output=True, text=True, timeout=240)
    return done.returncode == 0, done.stderr[-400:]


def main():
    if not shutil.which("npm") or not shutil.which("node"):
        print("skipped: node and npm are not installed")
        return SKIPPED
    with Server() as s:
        folder = os.path.join(s.folder, "sdk")
        installed, why = install(folder)
        if not installed:
            print("skipped: the SDK cannot be installed:", why)
            return SKIPPED
        script = os.path.join(folder, "api_sdk.mjs")
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "api_sdk.mjs"), script)
        return subprocess.run(["node", script, str(s.port), *s.keys], cwd=folder, timeout=120).returncode


sys.exit(main())
