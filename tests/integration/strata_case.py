# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: build-env with a state folder and configuration of its own."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from fixture_registry import FixtureRegistry

BUILD_ENV = os.environ["STRATA_BUILD_ENV"]
SECONDS = 120  # a run that takes longer hangs


class StrataCase(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="strata-it-")
        self.addCleanup(self.remove_top)
        self.registry = FixtureRegistry()
        self.addCleanup(self.registry.close)
        self.config = os.path.join(self.top, "strata.yaml")
        self.write_config(self.registry.config())

    def remove_top(self):
        subprocess.run(["chmod", "-R", "u+w", self.top], check=False)
        shutil.rmtree(self.top, ignore_errors=True)

    def write_config(self, text):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)

    def home(self, name="home"):
        return os.path.join(self.top, name)

    def write(self, name, text):
        path = os.path.join(self.top, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def environment(self, home="home", **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("STRATA_", "PIP_", "NPM_", "npm_")) and "proxy" not in k.lower()}
        return {**env, "STRATA_HOME": self.home(home), **more}

    def run_env(self, *args, home="home", env=None, **options):
        argv = [BUILD_ENV, *args]
        at = argv.index("--") if "--" in argv else len(argv)
        argv[at:at] = ["--config", self.config]
        return subprocess.run(argv, env=self.environment(home, **(env or {})), capture_output=True,
                              timeout=SECONDS, cwd=self.top, **options)

    def ok(self, *args, **options):
        """Runs, expects success, gives standard output without its last newline."""
        done = self.run_env(*args, **options)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stderr.decode()}")
        return done.stdout.decode().rstrip("\n")

    def fails(self, status, *args, words=(), **options):
        """Runs, expects this exit status and these words on standard error."""
        done = self.run_env(*args, **options)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, status, f"{args}: {text}")
        for word in words:
            self.assertIn(word, text)
        return text

    def build(self, pip=(), npm=(), *options, **more):
        return self.ok("build", *self.specs(pip, npm), *options, **more)

    @staticmethod
    def specs(pip=(), npm=()):
        return [a for s in pip for a in ("--pip", s)] + [a for s in npm for a in ("--npm", s)]

    def lock(self, pip=(), npm=(), **more):
        return json.loads(self.ok("lock", "--json", *self.specs(pip, npm), **more))

    def versions(self, lock, manager):
        return {p["name"]: p["version"] for p in lock["managers"][manager]["packages"]}

    def assert_nothing_published(self, home="home"):
        self.assertEqual(json.loads(self.ok("list", "--json", home=home)), [])
