# SPDX-License-Identifier: Apache-2.0
"""Source distributions: built in the sandbox, by a back end of this test's own (fixtures/pip/tinyback.py)."""

import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import unittest

import apt_archive
from fixture_registry import FIXTURES
from strata_case import StrataCase
from test_apt import NO_SANDBOX as NO_APT

with open(os.path.join(FIXTURES, "pip", "tinyback.py"), encoding="utf-8") as tinyback:
    BACKEND = tinyback.read()

BACKEND_WHEEL = {"name": "tinyback", "version": "1.0", "files": {"tinyback.py": BACKEND}}
INSTALLED = '[build-system]\nrequires = ["tinyback"]\nbuild-backend = "tinyback"\n'
IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "tinyback"\nbackend-path = ["_back"]\n'
C_SOURCE = """#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *args) { (void)self; (void)args; return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", "", -1, methods, 0, 0, 0, 0};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }
"""


def why_no_sandbox():
    unshare = ["unshare", "-m", "true"] if os.geteuid() == 0 else ["unshare", "-Urm", "true"]
    if subprocess.run(unshare, capture_output=True, check=False).returncode != 0:
        return "this machine allows no namespaces"
    return ""


def why_no_compiler():
    include = f"/usr/include/python3.{sys.version_info.minor}/Python.h"
    return "" if shutil.which("gcc") and os.path.exists(include) else "no compiler with Python's headers"


def sdist(name="src", pyproject=INSTALLED, files=None, more=None, **tiny):
    """A source distribution; `tiny` goes into tiny.json."""
    tiny = {"name": name, "version": "1.0", "files": {f"{name}.py": "X = 1\n"}, **tiny}
    return {"name": name, "version": tiny["version"], "sdist": True, **(more or {}),
            "files": {"pyproject.toml": pyproject, "tiny.json": json.dumps(tiny), **(files or {})}}


@unittest.skipIf(why_no_sandbox(), why_no_sandbox())
class SdistCase(StrataCase):
    def setUp(self):
        super().setUp()
        self.registry.pip.add(BACKEND_WHEEL)

    def add(self, *args, **options):
        self.registry.pip.add(sdist(*args, **options))

    def python(self, digest, code, home="home"):
        return self.ok("run", digest, "--", "python", "-c", code, home=home)

    def package(self, lock, name):
        return next(p for p in lock["managers"]["pip"]["packages"] if p["name"] == name)

    def build_log(self, *args, **options):
        done = self.run_env("build", *args, **options)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout.decode().strip(), done.stderr.decode()


class Builds(SdistCase):
    def test_what_it_depends_on_comes_from_the_build(self):
        self.add(requires=["beta<2", "epsilon; python_version < '3'"])
        lock = self.lock(["src"])
        self.assertEqual(self.versions(lock, "pip"), {"src": "1.0", "beta": "1.0"})
        self.assertEqual([p["name"] for p in self.package(lock, "src")["build"]["packages"]], ["tinyback"])
        digest = self.build(["src"])
        self.assertEqual(self.python(digest, "import src, beta; print(src.X, beta.VERSION)"), "1 1.0")
        self.assertEqual(self.python(digest, "import importlib.util as u; print(u.find_spec('tinyback'))"), "None")

    def test_static_metadata_is_taken_as_it_is(self):
        self.add(requires=["nowhere"], more={"metadata_version": "2.2"})
        self.assertEqual(self.versions(self.lock(["src"]), "pip"), {"src": "1.0"})
        self.python(self.build(["src"]), "import src")

    def test_a_back_end_may_lie_in_the_source(self):
        self.add(pyproject=IN_TREE, files={"_back/tinyback.py": BACKEND})
        self.assertEqual(self.package(self.lock(["src"]), "src")["build"]["packages"], [])
        self.python(self.build(["src"]), "import src")

    def test_a_back_end_may_ask_for_more(self):
        self.add(build_requires=["beta==1.0"],
                 act={"prepare": "import beta", "build": "import beta; assert beta.VERSION == '1.0'"})
        lock = self.lock(["src"])
        self.assertEqual([p["name"] for p in self.package(lock, "src")["build"]["packages"]], ["beta", "tinyback"])
        self.python(self.build(["src"]), "import src")

    def test_without_a_metadata_hook_a_wheel_is_made_for_it(self):
        self.add(pyproject=IN_TREE, requires=["beta"],
                 files={"_back/tinyback.py": BACKEND.replace('get("TINYBACK_PREPARES", "1")', 'get("NONE", "0")')})
        self.assertEqual(self.versions(self.lock(["src"]), "pip"), {"src": "1.0", "beta": "2.0"})

    def test_what_a_build_needs_may_have_to_be_built(self):
        self.add("tool", files={"tool.py": ""})
        self.add("src", pyproject=INSTALLED.replace('["tinyback"]', '["tinyback", "tool"]'), act={"build": "import tool"})
        lock = self.lock(["src"])
        tool = self.package({"managers": {"pip": self.package(lock, "src")["build"]}}, "tool")
        self.assertEqual([p["name"] for p in tool["build"]["packages"]], ["tinyback"])
        self.python(self.build(["src"]), "import src")

    def test_builds_that_need_each_other_are_told(self):
        self.add("one", pyproject=INSTALLED.replace('["tinyback"]', '["two"]'))
        self.add("two", pyproject=INSTALLED.replace('["tinyback"]', '["one"]'))
        self.fails(3, "build", "--pip", "one", words=["one", "two", "deep"])

    @unittest.skipIf(why_no_compiler(), why_no_compiler())
    def test_an_extension_is_compiled(self):
        self.add("fast", extension="fast", files={"fast.c": C_SOURCE})
        digest = self.build(["fast"])
        self.assertEqual(self.python(digest, "import fast; print(fast.answer())"), "42")
        self.assertEqual(self.build(["fast"], home="other"), digest)

    def test_a_wheel_goes_before(self):
        self.add()
        self.registry.pip.add({"name": "src", "version": "1.0", "files": {"src.py": "X = 2\n"}})
        self.assertTrue(self.package(self.lock(["src"]), "src")["filename"].endswith(".whl"))

    def test_the_policy_can_do_without(self):
        self.add()
        file = self.write("e.yaml", "config:\n  networking: {type: unrestricted}\n  packages: {pip: [src]}\n"
                          "policy: {only_binary: true}\n")
        self.fails(3, "build", file, words=["src", "no wheel"])

    def test_another_platform_is_not_built_for(self):
        self.add()
        file = self.write("e.yaml", "config:\n  networking: {type: unrestricted}\n  packages: {pip: [src]}\n"
                          "platform: {python: '3.99'}\n")
        self.fails(3, "build", file, words=["src", "needs_build", "3.99"])


class Bytes(SdistCase):
    def test_two_builds_give_one_digest(self):
        self.add(files={"big.txt": "x" * 100000}, requires=["beta"])
        digest = self.build(["src"], home="a")
        time.sleep(1.1)
        self.assertEqual(self.build(["src"], home="b", env={"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "3"}), digest)
        self.assertEqual(self.build(["src"], (), "--threads", "1", home="c"), digest)

    def test_a_wheel_is_built_once(self):
        self.add()
        _, log = self.build_log("--pip", "src")
        self.assertIn("building src 1.0", log)
        _, log = self.build_log("--pip", "src", "--pip", "epsilon")
        self.assertNotIn("building", log)
        self.assertNotIn("preparing", log)
        _, log = self.build_log("--pip", "src", "--refresh")
        self.assertNotIn("building", log)

    def test_a_lock_fixes_what_it_is_built_with(self):
        self.add()
        file = self.write("environment.yaml", "config:\n  networking: {type: unrestricted}\n  packages: {pip: [src]}\n")
        self.ok("lock", file)
        digest = self.ok("build", file)
        self.registry.pip.add({**BACKEND_WHEEL, "version": "2.0", "files": {"tinyback.py": "raise SystemExit(9)\n"}})
        self.assertEqual(self.ok("build", file, home="other"), digest)
        self.fails(5, "build", "--refresh", file, words=["src 1.0"])

    def test_damaged_locks_of_builds_are_refused(self):
        self.add()
        file = self.write("environment.yaml", "config:\n  networking: {type: unrestricted}\n  packages: {pip: [src]}\n")
        self.ok("lock", file)
        path = os.path.join(self.top, "environment.lock.json")
        with open(path, encoding="utf-8") as f:
            lock = json.load(f)
        for bad, words in [([], ["build"]), ({"packages": 1}, ["build", "packages"]),
                           ({"packages": [{"name": "tinyback"}]}, ["tinyback", "version"])]:
            lock["managers"]["pip"]["packages"][0]["build"] = bad
            self.write("environment.lock.json", json.dumps(lock))
            self.fails(2, "build", file, words=words)
        del lock["managers"]["pip"]["packages"][0]["build"]
        self.write("environment.lock.json", json.dumps(lock))
        self.fails(3, "build", file, words=["src", "resolve again"])


class Failures(SdistCase):
    def fails_building(self, words, status=5, **tiny):
        self.add(**tiny)
        text = self.fails(status, "build", "--pip", "src", words=["pip", "src 1.0", *words])
        self.assertNotIn("src", self.ok("list"))
        return text

    def test_a_failing_back_end_is_quoted(self):
        for phase in ("requires", "prepare", "build"):
            with self.subTest(phase=phase):
                self.add(act={phase: "raise RuntimeError('no flux capacitor')"}, name=f"src-{phase}")
                self.fails(5, "build", "--pip", f"src-{phase}", words=["no flux capacitor", "build_script_failed"])

    def test_one_that_exits_or_dies_too(self):
        self.fails_building(["saying nothing"], act={"build": "import os; os._exit(3)"})
        self.add("killed", act={"build": "import os; os.kill(os.getpid(), 9)"})
        self.fails(5, "build", "--pip", "killed", words=["killed 1.0"])

    def test_there_is_no_network(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                hits.append(self.path)

            def log_message(self, *args):
                pass
        hits = []
        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}/"
        self.fails_building(["refused"], act={"build": f"import urllib.request as u; u.urlopen('{url}')"})
        self.assertEqual(hits, [])

    def test_a_name_is_not_found_and_the_reason_told(self):
        self.fails_building(["no network"], act={"build": "import socket; socket.getaddrinfo('index.example.com', 80)"})

    def test_one_that_never_ends_is_ended(self):
        started = time.monotonic()
        self.write_config(self.registry.config() + "script_seconds: 2\n")
        self.fails_building(["time"], status=4,
                            act={"build": "import os, time\nos.fork()\nwhile True: time.sleep(1)"})
        self.assertLess(time.monotonic() - started, 60)

    def test_what_it_writes_elsewhere_goes_nowhere(self):
        mark = f"strata-mark-{os.getpid()}"
        self.add(act={"build": f"""
import os
for folder in ('/usr/lib', '/etc', '/opt/managed-env/pip/venv/lib', '/tmp', '/var/lib', '/root', '..', '../..'):
    try:
        open(os.path.join(folder, '{mark}'), 'w').close()
    except OSError:
        pass
"""})
        digest = self.build(["src"])
        for folder in ("/usr/lib", "/etc", "/tmp", "/var/lib", "/root", "/build", os.path.expanduser("~")):
            self.assertFalse(os.path.exists(os.path.join(folder, mark)), folder)
        file = os.path.join(self.top, "export.tar")
        self.ok("export", digest, f"tar:{file}")
        with tarfile.open(file) as t:
            self.assertFalse([n for n in t.getnames() if mark in n])
        self.assertFalse([n for n in os.listdir(self.home()) if "sandbox" in n])

    def test_secrets_of_this_machine_are_not_there(self):
        secret = self.write("secret", "canary")
        self.add(act={"build": f"""
import os
assert not os.path.exists({secret!r})
assert not [k for k in os.environ if k.startswith(('STRATA', 'SECRET'))], os.environ
"""})
        self.ok("build", "--pip", "src", env={"SECRET_TOKEN": "canary"})

    def test_hostile_sources_are_refused(self):
        def entry(name, kind=tarfile.REGTYPE, target=""):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            return (info, b"")
        for i, (bad, words) in enumerate([
                (entry("../evil"), ["not a path below"]),
                (entry("other-1.0/evil"), ["more than one folder"]),
                (entry(f"src_{2}-1.0/link", tarfile.SYMTYPE, "../../etc"), ["link out of the source"]),
                (entry(f"src_{3}-1.0/link", tarfile.SYMTYPE, "/etc/passwd"), ["link out of the source"]),
                (entry(f"src_{4}-1.0/link", tarfile.LNKTYPE, "../etc/passwd"), ["link out of the source"]),
                (entry(f"src_{5}-1.0/fifo", tarfile.FIFOTYPE), ["no file, folder or link"])]):
            with self.subTest(words=words, i=i):
                self.registry.pip.add(sdist(f"src-{i}", more={"entries": [bad]}))
                self.fails(4, "build", "--pip", f"src-{i}", words=[f"src-{i} 1.0", "bad_archive", *words])

    def test_odd_build_systems_are_refused(self):
        for i, (text, words) in enumerate([
                ("[build-system]\nbuild-backend = 'a'\n", ["requires", "missing"]),
                ("[build-system]\nrequires = 'x'\n", ["requires", "list"]),
                ("[build-system]\nrequires = ['x y z']\n", ["requires"]),
                ("[build-system]\nrequires = []\nbuild-backend = 'os; system'\n", ["build-backend"]),
                ("[build-system]\nrequires = []\nbackend-path = ['../x']\n", ["backend-path"]),
                ("[build-system\n", ["pyproject.toml", "line 1"])]):
            with self.subTest(text=text):
                self.registry.pip.add(sdist(f"src-{i}", pyproject=text))
                self.fails(4, "build", "--pip", f"src-{i}", words=[f"src-{i} 1.0", *words])

    def test_what_comes_out_is_checked(self):
        self.add(wheel="nothing.whl")
        self.fails(5, "build", "--pip", "src", words=["src 1.0", "nothing.whl"])
        self.add("other", built_name="src")
        self.fails(4, "build", "--pip", "other", words=["other 1.0"])

    def test_interrupted_it_leaves_nothing(self):
        self.add(act={"build": "import time; time.sleep(600)"})
        done = subprocess.Popen([os.environ["STRATA_BUILD_ENV"], "build", "--pip", "src", "--config", self.config],
                                env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.top)
        for line in done.stderr:
            if b"building src" in line:
                break
        time.sleep(0.5)
        done.terminate()
        done.communicate(timeout=60)
        self.assertNotEqual(done.returncode, 0)
        for _ in range(100):  # a process that was killed is seen for a moment more
            left = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout.decode()
            if "/build/driver.py" not in left:
                return
            time.sleep(0.1)
        self.fail(left)


@unittest.skipIf(NO_APT, NO_APT)
class OverApt(SdistCase):
    def setUp(self):
        super().setUp()
        self.archive = apt_archive.AptArchive(self.top)
        self.addCleanup(self.archive.close)
        apt = self.archive.config().removeprefix("registries:\n")
        self.write_config(self.registry.config() + apt)

    def test_a_build_sees_the_packages_of_apt(self):
        code = "assert open('/usr/share/strata-lib/text').read()"
        self.add(act={"prepare": code, "build": code})
        self.fails(5, "build", "--pip", "src", words=["strata-lib/text"])
        digest, log = self.build_log("--pip", "src", "--apt", "strata-one")
        self.assertEqual(log.count("building src"), 1)
        self.assertEqual(self.ok("run", digest, "--", "python", "-c", "import src; print(src.X)"), "1")
        self.assertEqual(self.build(["src"], (), "--apt", "strata-one", home="other"), digest)


if __name__ == "__main__":
    unittest.main()
