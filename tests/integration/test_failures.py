# SPDX-License-Identifier: Apache-2.0
"""What goes wrong: registries that fail in every way, hostile packages, a full disk, sudden death.

Each time: a clear error, nothing published, and the next run goes on.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
import unittest
import zipfile

from fixture_registry import Fault, make_tarball, make_wheel
from strata_case import BUILD_ENV, StrataCase

ONE = {"name": "victim", "version": "1.0", "files": {"victim.py": "X = 1\n"}}
ONE_JS = {"name": "victim", "version": "1.0.0", "files": {"index.js": "x\n"}}


class Unsolvable(StrataCase):
    def test_errors_name_manager_package_and_cause(self):
        for pip, npm, status, words in [
            (["nowhere"], [], 3, ["pip", "nowhere"]),
            ([], ["nowhere"], 3, ["npm", "nowhere"]),
            (["beta==9"], [], 3, ["pip", "beta", "9"]),
            ([], ["lib@9"], 3, ["npm", "lib", "9"]),
            ([], ["unsolvable"], 3, ["npm", "lib", "^9.0.0"]),
            (["left", "right"], [], 3, ["left", "right", "beta"]),
            (["beta==4.0"], [], 3, ["beta", "4.0", ">=4"]),
            (["source-only"], [], 3, ["source-only", "built with", "setuptools"]),
            ([], ["needs-darwin"], 3, ["needs-darwin", "darwin"]),
        ]:
            with self.subTest(pip=pip, npm=npm):
                self.fails(status, "build", *self.specs(pip, npm), words=words)
        self.assert_nothing_published()

    def test_json_errors_carry_the_same(self):
        done = self.run_env("build", "--json", "--pip", "nowhere")
        error = json.loads(done.stdout)["error"]
        self.assertEqual((done.returncode, error["manager"], error["phase"]), (3, "pip", "resolve"))
        self.assertIn("nowhere", error["message"])


@unittest.skipUnless(shutil.which("openssl"), "openssl is not here")
class Trust(StrataCase):
    def certificate(self, name):
        files = [os.path.join(self.top, f"{name}.{end}") for end in ("pem", "key")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
        return files

    def test_each_client_trusts_whom_its_own_settings_name(self):
        ours, other = self.certificate("ours"), self.certificate("other")
        self.registry.over_tls(*ours)
        self.write_config(self.registry.config())
        self.fails(4, "build", "--pip", "beta", words=["pip", "SSL_CERT_FILE"])
        self.fails(4, "build", "--pip", "beta", env={"PIP_CERT": other[0]}, words=["pip"])
        self.fails(4, "build", "--pip", "beta", env={"npm_config_cafile": ours[0]}, words=["pip"])
        self.fails(4, "build", "--npm", "lib", env={"PIP_CERT": ours[0]}, words=["npm"])
        self.fails(4, "build", "--pip", "beta", env={"PIP_CERT": "/nowhere/ca.pem"}, words=["pip", "/nowhere/ca.pem"])
        self.ok("build", "--pip", "beta", env={"PIP_CERT": ours[0]})
        self.ok("build", "--npm", "lib", env={"npm_config_cafile": ours[0]})
        self.ok("build", "--pip", "beta", "--npm", "lib", home="both",
                env={"npm_config_cafile": ours[0], "PIP_CERT": ours[0], "SSL_CERT_FILE": other[0]})


class Registries(StrataCase):
    def setUp(self):
        super().setUp()
        self.registry.pip.add(ONE)
        self.registry.npm.add(ONE_JS)

    def recovers(self, part, fault, value, status, words, npm=False):
        """Fails while the fault lasts, and builds once it is gone."""
        with self.subTest(fault=fault, value=value, part=part):
            specs = self.specs([], ["victim"]) if npm else self.specs(["victim"])
            home = f"h{len(os.listdir(self.top))}"
            os.makedirs(self.home(home))
            self.registry.faults.clear()
            self.registry.fault(part, fault, value)
            self.fails(status, "build", "--no-bytecode", *specs, home=home, words=words)
            self.assert_nothing_published(home)
            self.registry.faults.clear()
            self.ok("build", "--no-bytecode", "--refresh", *specs, home=home)

    def test_refusals_are_errors_at_once(self):
        self.recovers("simple/victim", Fault.STATUS, 403, 4, ["pip", "victim", "403"])
        self.recovers("npm/victim", Fault.STATUS, 401, 4, ["npm", "victim", "401"], npm=True)

    def test_a_file_that_is_gone(self):
        self.recovers("files/victim", Fault.STATUS, 404, 4, ["pip", "victim"])
        self.recovers("victim/-/", Fault.STATUS, 404, 4, ["npm", "victim"], npm=True)

    def test_bytes_that_are_not_what_was_promised(self):
        # The pip resolver reads a wheel's end: what is altered there makes it no candidate at all.
        self.registry.pip.add({**ONE, "name": "grown", "big_bytes": 1_000_000})
        name = "grown-1.0-py3-none-any.whl"
        whole = self.registry.pip.files[name]
        self.registry.pip.files[name] = whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]
        self.fails(4, "build", "--no-bytecode", "--pip", "grown", words=["pip", "grown", "sha256"])
        self.assert_nothing_published()
        self.registry.pip.files[name] = whole
        self.ok("build", "--no-bytecode", "--refresh", "--pip", "grown")
        self.recovers("victim/-/", Fault.ALTER, None, 4, ["npm", "victim", "sha512"], npm=True)

    def test_pages_that_are_no_pages(self):
        for body in (b"", b"{", b"[]", b'{"files":{}}', b"\xff\xfe", b'{"files":[{"filename":3}]}'):
            with self.subTest(body=body):
                answer = self.registry.pip.answer
                self.registry.pip.answer = lambda path, accept, b=body: (
                    (200, "application/vnd.pypi.simple.v1+json", b) if "simple" in path else answer(path, accept))
                home = f"h{len(os.listdir(self.top))}"
                text = self.fails_any("build", "--pip", "victim", home=home)
                self.assertIn("victim", text)
                self.registry.pip.answer = answer
                self.ok("build", "--no-bytecode", "--refresh", "--pip", "victim", home=home)

    def fails_any(self, *args, home):
        done = self.run_env(*args, home=home)
        self.assertIn(done.returncode, (3, 4))
        return done.stderr.decode()

    def test_passing_trouble_is_not_even_seen(self):
        for fault, value in [(Fault.STATUS, 500), (Fault.STATUS, 503), (Fault.CUT, 0.5), (Fault.CLOSE, None),
                             (Fault.STATUS, (429, {"Retry-After": "0"}))]:
            for part in ("simple/victim", "files/victim", "npm/victim"):
                with self.subTest(fault=fault, value=value, part=part):
                    self.registry.faults.clear()
                    self.registry.fault(part, fault, value, times=2)
                    home = f"h{len(os.listdir(self.top))}"
                    self.ok("build", "--no-bytecode", *self.specs(["victim"], ["victim"]), home=home)

    def test_names_that_a_registry_makes_up_cannot_reach_the_terminal(self):
        evil = "\x1b]0;title\x07\x1b[31m\u202e\x9b2J"
        self.registry.pip.add({**ONE, "name": "retitled", "yanked": evil})
        self.registry.npm.add({**ONE_JS, "name": "warned", "deprecated": evil, "engines": {"node": "<1 " + evil}})
        self.registry.npm.add({**ONE_JS, "name": "asking", "dependencies": {"lib": evil}})
        self.registry.npm.add({**ONE_JS, "name": "naming", "dependencies": {"x" + evil: "1"}})
        self.registry.npm.add({**ONE_JS, "name": "elsewhere", "os": [evil]})
        self.registry.pip.add({**ONE, "name": "requiring", "requires": ["lib ; python_version > '" + evil + "'"]})
        for pip, npm, status in [(["retitled"], [], 3), (["retitled==1.0"], [], 0), ([], ["warned"], 0),
                                 ([], ["asking"], 4), ([], ["naming"], 4), ([], ["elsewhere"], 3),
                                 (["requiring"], [], 3)]:
            with self.subTest(pip=pip, npm=npm):
                text = self.fails(status, "build", "--no-bytecode", *self.specs(pip, npm))
                for mark in ("\x1b", "\x07", "\u202e", "\x9b"):
                    self.assertNotIn(mark, text)

    def test_files_that_cannot_be_had_name_their_package(self):
        for url in ("file:///etc/passwd", "gopher://example.com/x", f"{self.registry.base}/elsewhere"):
            with self.subTest(url=url):
                self.registry.npm.documents["victim"]["versions"]["1.0.0"]["dist"]["tarball"] = url
                self.fails(4, "build", "--npm", "victim", words=["npm: victim 1.0.0: "], home=f"h{len(url)}")

    def test_a_dead_registry(self):
        self.registry.close()
        self.fails(4, "build", "--pip", "victim", words=["pip", "victim", "127.0.0.1"])

    def test_offline_says_what_is_missing(self):
        self.fails(4, "build", "--offline", "--pip", "victim", words=["victim", "offline"])
        self.ok("build", "--no-bytecode", "--pip", "victim")
        self.ok("build", "--no-bytecode", "--offline", "--pip", "victim")


class Hostile(StrataCase):
    def refused(self, add, package, words=(), content=None, status=4, **specs):
        home = f"h{len(os.listdir(self.top))}"
        add(package, content)
        text = self.fails(status, "build", "--no-bytecode", *self.specs(**specs), home=home, words=words)
        self.assertTrue(any(w in text for w in ("bad_archive", "too_large", "no valid zip")), text)
        self.assert_nothing_published(home)

    def test_wheels(self):
        for i, (name, content) in enumerate([("../evil", b"x"), ("/etc/evil", b"x"), ("a/../../evil", b"x"),
                                             ("a\\..\\evil", b"x"), ("victim.py", b"twice")]):
            package = {**ONE, "name": f"hostile{i}", "extra_files": [(name, content)]}
            with self.subTest(name=name):
                self.refused(self.registry.pip.add, package, ["pip", f"hostile{i}"], pip=[f"hostile{i}"])

    def test_a_wheel_that_is_a_bomb(self):
        package = {**ONE, "name": "bomb", "extra_files": [("zeros", bytes(200_000_000))]}
        name, data = make_wheel(package, package["extra_files"])
        self.assertLess(len(data), 1_000_000)
        self.refused(self.registry.pip.add, package, ["pip", "bomb"], content=data, pip=["bomb"])

    def test_a_wheel_that_lies_about_sizes(self):
        name, data = make_wheel({**ONE, "name": "liar"})
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            at = z.start_dir
        broken = data[: at + 24] + b"\xff\xff\xff\x7f" + data[at + 28:]
        self.refused(self.registry.pip.add, {**ONE, "name": "liar"}, ["liar"], content=broken, pip=["liar"])

    def test_a_truncated_wheel(self):
        _, data = make_wheel({**ONE, "name": "short"})
        # Without its directory it has no metadata, so it is no candidate.
        self.refused(self.registry.pip.add, {**ONE, "name": "short"}, ["short"], content=data[:-30],
                     status=3, pip=["short"])

    def test_tarballs(self):
        for i, name in enumerate(["../../evil", "package/../../evil"]):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            package = {**ONE_JS, "name": f"hostile{i}", "entries": [(entry, b"x")]}
            with self.subTest(name=name):
                self.refused(self.registry.npm.add, package, ["npm", f"hostile{i}"], npm=[f"hostile{i}"])

    def test_links_in_tarballs_are_left_out(self):
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        self.registry.npm.add({**ONE_JS, "name": "linked", "entries": [(link, b"")]})
        digest = self.build([], ["linked"])
        self.ok("export", digest, f"tar:{self.home('t.tar')}")
        with tarfile.open(self.home("t.tar")) as t:
            self.assertFalse([n for n in t.getnames() if n.endswith("/link")])

    def test_a_truncated_tarball(self):
        data = make_tarball(ONE_JS)
        self.refused(self.registry.npm.add, {**ONE_JS, "name": "short"}, ["short"], content=data[:-20],
                     npm=["short"])


class Sudden(StrataCase):
    """Every durable step of a build fails in turn, and the program dies at every one."""

    MOST = 2000

    def step(self, mode, n, home):
        return self.run_env("build", "--no-bytecode", *self.specs(["beta"], ["lib"]), home=home,
                            env={"STRATA_FAULT": f"{mode}:{n}"})

    def after(self, home):
        """Whole artifacts or none, and the next run gets there."""
        listed = json.loads(self.ok("list", "--json", home=home))
        self.assertLessEqual(len(listed), 1)
        self.ok("verify", home=home)
        self.assertEqual(self.ok("build", "--no-bytecode", *self.specs(["beta"], ["lib"]), home=home), self.want)
        self.ok("verify", home=home)

    def each_step(self, mode, stride):
        self.want = self.build(["beta"], ["lib"], "--no-bytecode", home="want")
        for n in range(1, self.MOST, stride):
            home = f"{mode}{n}"
            done = self.step(mode, n, home)
            if done.returncode == 0:
                self.assertEqual(done.stdout.decode().strip(), self.want)
                if mode != "kill":
                    # A memo that could not be kept costs nothing: later steps may still matter.
                    self.after(home)
                    misses = getattr(self, "misses", 0) + 1
                    self.misses = misses
                    if misses < 12:
                        continue
                self.assertGreater(n, 10)
                return
            self.assertEqual(done.returncode, -signal.SIGKILL if mode == "kill" else 1, done.stderr)
            if mode == "fail":
                self.assertRegex(done.stderr.decode(), "No space left|disk I/O error|disk is full")
            self.after(home)
        self.fail("the steps do not end")

    def test_every_step_fails_once(self):
        self.each_step("fail", 3)

    def test_the_disk_is_full_from_some_step_on(self):
        self.each_step("full", 7)

    def test_killed_at_every_step(self):
        self.each_step("kill", 3)

    def test_interrupted(self):
        self.registry.fault("files/", Fault.STALL, 30)
        child = subprocess.Popen([BUILD_ENV, "build", "--config", self.config, "--pip", "beta"],
                                 env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(200):
            if any("files/" in r for r in self.registry.requests):
                break
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 130, said)
        self.registry.faults.clear()
        self.assert_nothing_published()
        self.ok("build", "--pip", "beta")

    def test_many_at_once_make_one_artifact(self):
        argv = [BUILD_ENV, "build", "--config", self.config, "--no-bytecode", "--pip", "alpha", "--npm", "app"]
        children = [subprocess.Popen(argv, env=self.environment(), stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE) for _ in range(6)]
        digests = set()
        for child in children:
            out, said = child.communicate(timeout=120)
            self.assertEqual(child.returncode, 0, said)
            digests.add(out)
        self.assertEqual(len(digests), 1)
        self.ok("verify")


if __name__ == "__main__":
    unittest.main()
