# SPDX-License-Identifier: Apache-2.0
"""build-env from environment file to mounted session, on registries of this test's own."""

import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import tarfile
import termios
import unittest

from fixture_registry import Fault, make_sdist, make_wheel
from strata_case import BUILD_ENV, StrataCase

ENVIRONMENT = """
name: both
config:
  networking: {type: unrestricted}
  packages:
    pip: [alpha]
    npm: [app]
"""


def can_mount():
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0


class Builds(StrataCase):
    def test_a_policy_names_what_sessions_may_reach(self):
        file = self.write("policy.yaml", """
name: p
config:
  networking: {type: limited, allowed_hosts: [z.example.com, "*.Example.org"],
               allow_package_managers: true, allow_mcp_servers: true}
  packages: {pip: [alpha]}
""")
        lines = self.ok("policy", file, "--mcp-server", "https://mcp.example.com/sse").splitlines()
        self.assertEqual(lines, ["block-all", "*.example.org", "127.0.0.1", "mcp.example.com", "z.example.com"])
        with_domains = json.loads(self.ok("policy", file, "--json", env={"STRATA_PLATFORM_DOMAINS": "a.example.com"}))
        self.assertEqual(with_domains, {"mode": "block-all", "allowed_domains": [
            "*.example.org", "127.0.0.1", "a.example.com", "z.example.com"]})
        self.assertEqual(self.ok("policy", self.write("open.yaml", "name: o\n")), "allow-all")
        self.fails(2, "policy", file, "--mcp-server", "nowhere", words=["--mcp-server"])
        self.fails(2, "policy", file, "--vault-host", "https://x", words=["--vault-host"])

    def test_a_file_becomes_an_artifact_and_a_session(self):
        file = self.write("environment.yaml", ENVIRONMENT)
        digest = self.ok("build", file)
        self.assertRegex(digest, r"^sha256:[0-9a-f]{64}$")
        self.assertEqual(self.ok("build", file), digest)
        if not can_mount():
            self.skipTest("this machine allows no user namespaces")
        self.assertEqual(self.ok("run", file, "--", "alpha"), "alpha2 2.0")
        self.assertEqual(self.ok("run", digest, "--", "python", "-c", "import epsilon, sys; print(sys.prefix)"),
                         "/opt/managed-env/pip/venv")
        if shutil.which("node"):
            self.assertEqual(self.ok("run", digest, "--", "app"), "app 1.2.0")
        self.assertEqual(self.run_env("run", digest, "--", "sh", "-c", "exit 7").returncode, 7)
        self.assertEqual(self.run_env("run", digest, "--", "sh", "-c", "kill -9 $$").returncode, 137)
        self.assertEqual(self.run_env("run", digest, "--", "no-such-command").returncode, 127)
        self.assertFalse(os.path.exists("/opt/managed-env/pip/venv/bin/alpha"))

    def test_choices_follow_the_rules_of_pip(self):
        self.assertEqual(self.versions(self.lock(["alpha"]), "pip"),
                         {"alpha": "2.0", "beta": "2.0", "delta": "1.0", "epsilon": "1.0"})
        self.assertEqual(self.versions(self.lock(["alpha<2"]), "pip"), {"alpha": "1.0", "beta": "2.0"})
        self.assertEqual(self.versions(self.lock(["beta==2.1"]), "pip"), {"beta": "2.1"})
        self.assertEqual(self.versions(self.lock(["beta>=3.0a1"]), "pip"), {"beta": "3.0a1"})
        self.assertEqual(self.versions(self.lock(["NS_one", "ns-two"]), "pip"),
                         {"ns-one": "1.0", "ns-two": "1.0"})

    def test_choices_follow_the_rules_of_npm(self):
        lock = self.lock(npm=["app"])
        placed = {p["path"]: p["version"] for p in lock["managers"]["npm"]["packages"]}
        self.assertEqual(placed, {
            "node_modules/app": "1.0.0",
            "node_modules/app/node_modules/lib": "1.2.0",
            "node_modules/app/node_modules/@scope/util": "1.1.0",
            "node_modules/app/node_modules/@scope/util/node_modules/lib": "2.0.0",
        })

    def test_pages_in_html_give_the_same_artifact(self):
        digest = self.build(["alpha"])
        answer = self.registry.pip.answer
        self.registry.pip.answer = lambda path, accept: answer(path, "text/html")
        self.assertEqual(self.build(["alpha"], home="html"), digest)

    def test_equal_requests_need_no_network(self):
        digest = self.build(["alpha"], ["app"])
        self.registry.requests.clear()
        self.assertEqual(self.build(["alpha"], ["app"]), digest)
        self.assertEqual(self.build(["alpha"], ["app"], "--offline"), digest)
        self.assertEqual(self.registry.requests, [])

    def test_a_package_more_fetches_only_itself(self):
        self.build(["beta"])
        self.registry.requests.clear()
        self.build(["beta", "epsilon"])
        self.assertTrue(all("epsilon" in r for r in self.registry.requests), self.registry.requests)

    def test_equal_package_sets_share_an_artifact(self):
        self.assertEqual(self.build(["beta==2.0"]), self.build(["beta<3"]))

    def test_a_warning_names_packages_with_install_scripts(self):
        done = self.run_env("build", "--npm", "scripted")
        self.assertEqual(done.returncode, 0)
        self.assertIn("scripted", done.stderr.decode())
        self.assertEqual(self.lock(npm=["scripted"])["managers"]["npm"]["packages"][0]["scripts"],
                         ["postinstall"])

    def test_optional_packages_of_other_systems_are_left_out(self):
        lock = self.lock(npm=["maybe-darwin"])
        self.assertEqual([p["name"] for p in lock["managers"]["npm"]["packages"]], ["maybe-darwin"])


class FindLinks(StrataCase):
    def setUp(self):
        super().setUp()
        self.links = os.path.join(self.top, "my links")
        os.mkdir(self.links)
        self.find = {"PIP_CONFIG_FILE": self.write("pip.conf", f"[global]\nfind-links = file://{self.links.replace(' ', '%20')}\n")}

    def put(self, p):
        name, data = make_sdist(p) if p.get("sdist") else make_wheel(p)
        with open(os.path.join(self.links, name), "wb") as f:
            f.write(data)
        return os.path.join(self.links, name)

    def test_files_of_this_machine_count_beside_the_index(self):
        self.put({"name": "beta", "version": "3.5", "requires": ["only-here"], "files": {"beta.py": "VERSION = '3.5'\n"}})
        self.put({"name": "only-here", "version": "1.0", "files": {"only_here.py": "X = 1\n"}})
        self.put({"name": "beta", "version": "2.0", "files": {"beta.py": "VERSION = 'another 2.0'\n"}})
        lock = self.lock(["beta"], env=self.find)
        self.assertEqual(self.versions(lock, "pip"), {"beta": "3.5", "only-here": "1.0"})
        self.assertNotIn(self.links, json.dumps(lock))
        digest = self.build(["beta"], env=self.find)
        self.assertEqual(self.build(["beta"], env=self.find, home="other"), digest)
        if can_mount():
            self.assertEqual(self.ok("run", digest, "--", "python", "-c", "import beta, only_here; print(beta.VERSION)"),
                             "3.5")
        indexed = next(p for p in self.lock(["beta==2.0"], env=self.find)["managers"]["pip"]["packages"])
        self.assertIn("files/beta-2.0", indexed["origin"])
        self.fails(3, "build", "--pip", "only-here", words=["only-here"], home="without")

    def test_a_lock_finds_its_file_again_and_no_other(self):
        file = self.put({"name": "only-here", "version": "1.0", "files": {"only_here.py": "X = 1\n"}})
        environment = self.write("environment.yaml", "config:\n  networking: {type: unrestricted}\n"
                                 "  packages: {pip: [only-here]}\n")
        self.ok("lock", environment, env=self.find)
        digest = self.ok("build", environment, env=self.find, home="second")
        one = "file://" + file.replace(" ", "%20")
        self.assertEqual(self.ok("build", environment, env={"PIP_FIND_LINKS": one}, home="third"), digest)
        self.fails(3, "build", environment, words=["only-here 1.0", "resolve anew"], home="fourth")
        self.put({"name": "only-here", "version": "1.0", "files": {"only_here.py": "X = 2\n"}})
        self.fails(3, "build", environment, env=self.find, words=["only-here 1.0", "resolve anew"], home="fifth")

    def test_pages_of_links_are_read(self):
        name, data = make_wheel({"name": "paged", "version": "1.0", "files": {"paged.py": ""}})
        self.registry.pip.files[name] = data
        digest = hashlib.sha256(data).hexdigest()
        page = f'<a href="pip/files/{name}#sha256={digest}">{name}</a><a href="other-1.0.tar.gz">x</a>'.encode()
        answer = self.registry.answer
        self.registry.answer = lambda path, accept: (200, "text/html", page) if path == "/links.html" else answer(path, accept)
        env = {"PIP_FIND_LINKS": f"{self.registry.base}/links.html"}
        self.assertEqual(self.versions(self.lock(["paged", "beta"], env=env), "pip"), {"paged": "1.0", "beta": "2.0"})
        self.build(["paged"], env=env)
        self.fails(3, "build", "--pip", "nowhere", env=env, words=["no project nowhere"])

    def test_what_lies_there_may_be_anything(self):
        for name, content in [("bad-1.0-py3-none-any.whl", b"PK"), ("bad-0.9.tar.gz", b"x"), ("bad-.whl", b"")]:
            with open(os.path.join(self.links, name), "wb") as f:
                f.write(content)
        os.mkfifo(os.path.join(self.links, "bad-2.0-py3-none-any.whl"))
        os.mkdir(os.path.join(self.links, "bad-3.0-py3-none-any.whl"))
        self.fails(3, "build", "--pip", "bad==1.0", env=self.find, words=["bad 1.0"])
        self.fails(3, "build", "--pip", "bad==2.0", env=self.find, words=["bad"])


class Locks(StrataCase):
    def read_lock(self):
        with open(os.path.join(self.top, "environment.lock.json"), encoding="utf-8") as f:
            return json.load(f)

    def test_a_lock_beside_the_file_is_reproduced(self):
        file = self.write("environment.yaml", ENVIRONMENT)
        self.assertEqual(self.ok("lock", file), os.path.join(self.top, "environment.lock.json"))
        digest = self.ok("build", file)
        lock = self.read_lock()
        self.registry.pip.add({"name": "beta", "version": "2.5", "files": {"beta.py": "VERSION = '2.5'\n"}})
        self.assertEqual(self.ok("build", file, home="other"), digest)
        self.assertEqual(self.ok("lock", "--check", file), "")
        self.assertEqual(self.versions(lock, "pip")["beta"], "2.0")
        self.assertNotEqual(self.ok("build", "--refresh", file), digest)

    def test_a_lock_that_does_not_answer_is_told(self):
        file = self.write("environment.yaml", ENVIRONMENT)
        self.fails(2, "lock", "--check", file, words=["environment.lock.json"])
        self.ok("lock", file)
        self.write("environment.yaml", ENVIRONMENT.replace("[alpha]", "[alpha, epsilon]"))
        self.fails(2, "lock", "--check", file, words=["does not answer"])
        self.ok("lock", file)
        self.ok("lock", "--check", file)

    def test_refresh_makes_again_what_the_store_lost(self):
        digest = self.build(["beta"], ["lib"], "--no-bytecode")
        lost = 0
        for folder, _, names in os.walk(os.path.join(self.home(), "blobs")):
            for path in (os.path.join(folder, n) for n in names):
                with open(path, "rb") as f:
                    content = f.read()
                if content[:4] != b"\x28\xb5\x2f\xfd":  # only segments are zstd
                    continue
                os.unlink(path)
                lost += 1
        self.assertGreater(lost, 1)
        self.assertEqual(self.run_env("verify").returncode, 1)
        self.assertEqual(self.build(["beta"], ["lib"], "--no-bytecode", "--refresh"), digest)
        self.ok("verify")

    def test_progress_never_wraps(self):
        for columns in (60, 70, 80, 200):
            with self.subTest(columns=columns):
                self.registry.faults.clear()
                self.registry.fault("files/", Fault.STALL, 0.5, times=1)
                text = self.on_terminal(columns, "build", "--no-bytecode", "--pip", "beta", "--npm", "app",
                                        home=f"wide{columns}")
                lines = re.sub("\x1b\\[[0-9;]*[A-Za-z]", "", text).replace("\r", "").split("\n")
                drawn = [line for line in lines if "[" in line]
                self.assertTrue(drawn)
                self.assertLess(max(map(len, drawn)), columns)

    def on_terminal(self, columns, *args, home):
        pid, fd = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execve(BUILD_ENV, [BUILD_ENV, *args, "--config", self.config], self.environment(home, TERM="xterm"))
        said = b""
        with open(fd, "rb", buffering=0) as terminal:
            try:
                while part := terminal.read(65536):
                    said += part
            except OSError:
                pass  # how a terminal tells that nobody is left
        self.assertEqual(os.waitpid(pid, 0)[1], 0, said)
        return said.decode()

    def test_every_command_gives_one_json_document(self):
        file = self.write("all.yaml", "config: {packages: {pip: [beta], npm: [lib]}}\n")
        digest = self.ok("build", file)
        oci = self.home("image")
        for status, *args in [
            (0, "init", "new.yaml"), (1, "init", "new.yaml"), (2, "init", "a", "b"), (0, "pin", "s1", file),
            (2, "pin", "s1"), (0, "unpin", "s1"), (1, "unpin", "s1"), (2, "unpin"), (0, "export", digest, f"oci:{oci}"),
            (2, "export", digest), (2, "export", digest, "ftp:x"), (1, "export", digest, "tar:/dev/null/x"),
            (2, "build", "--bogus"), (2, "build", "--pip"), (2, "diff", digest), (2, "warm"), (0, "list"),
            (2, "gc", "--keep-bytes", "x"), (0, "gc", "--dry-run"), (2, "verify", "nothing"), (0, "doctor"),
            (2, "why", file), (2, "inspect"), (2, "sbom"), (0, "sbom", file), (2, "lock", "no-such-file"),
        ]:
            with self.subTest(args=args):
                done = self.run_env(args[0], "--json", *args[1:])
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertEqual("error" in json.loads(done.stdout), status != 0)

    def test_what_was_just_published_is_found_though_a_page_is_cached(self):
        self.build(["beta"], ["lib"])
        self.registry.pip.add({"name": "beta", "version": "99.1", "files": {"beta.py": "X = 99\n"}})
        self.registry.npm.add({"name": "lib", "version": "99.1.0", "files": {"index.js": "99\n"}})
        self.fails(3, "build", "--offline", "--pip", "beta==99.1", words=["beta", "99.1"])
        lock = self.lock(["beta==99.1"], ["lib@99.1.0"])
        self.assertEqual((self.versions(lock, "pip")["beta"], self.versions(lock, "npm")["lib"]), ("99.1", "99.1.0"))
        asked = len(self.registry.requests)
        self.fails(3, "build", "--pip", "beta==99.2", words=["beta", "99.2"])
        self.assertLessEqual(len(self.registry.requests), asked + 1)

    def test_locked_versions_stay_until_refreshed(self):
        file = self.write("environment.yaml", ENVIRONMENT)
        self.ok("lock", file)
        self.registry.pip.add({"name": "beta", "version": "2.5", "files": {"beta.py": "VERSION = '2.5'\n"}})
        self.ok("lock", file, home="other")
        self.assertEqual(self.versions(self.read_lock(), "pip")["beta"], "2.0")
        self.ok("lock", "--refresh", file, home="other")
        self.assertEqual(self.versions(self.read_lock(), "pip")["beta"], "2.5")

    def test_damaged_locks_are_refused_with_their_place(self):
        file = self.write("environment.yaml", ENVIRONMENT)
        self.ok("lock", file)
        path = os.path.join(self.top, "environment.lock.json")
        with open(path, encoding="utf-8") as f:
            good = f.read()
        for bad, words in [("{", ["environment.lock.json", "line 1"]),
                           (good.replace('"lock_version": 1', '"lock_version": 9'), ["lock_version"]),
                           (good.replace("sha256:", "sha255:"), ["digest"])]:
            self.write("environment.lock.json", bad)
            self.fails(2, "build", file, words=words)


class Bytes(StrataCase):
    def test_one_digest_whatever_the_surroundings(self):
        want = self.build(["alpha", "big"], ["app"], home="a")
        for name, env in [("tz", {"TZ": "Pacific/Kiritimati"}), ("locale", {"LC_ALL": "C"}),
                          ("deep/er/folder", {"LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"})]:
            self.assertEqual(self.build(["alpha", "big"], ["app"], home=name, env=env), want, name)
        for threads in ("1", "3", "8"):
            self.assertEqual(self.build(["alpha", "big"], ["app"], "--threads", threads,
                                        home=f"t{threads}"), want)
        old = os.umask(0o077)
        try:
            self.assertEqual(self.build(["alpha", "big"], ["app"], home="umask"), want)
        finally:
            os.umask(old)
        self.assertEqual(self.build(["big", "alpha"], ["app"], home="order"), want)

    def test_gzip_and_zstd_hold_the_same_tree(self):
        trees = []
        for compression in ("zstd", "gzip"):
            digest = self.build(["alpha"], ["app"], "--compression", compression)
            tar = self.home(f"{compression}.tar")
            self.ok("export", digest, f"tar:{tar}")
            with tarfile.open(tar) as t:
                trees.append(sorted((m.name, m.mode, m.type, m.size, m.linkname) for m in t))
        self.assertEqual(trees[0], trees[1])

    def test_the_tree_is_what_a_venv_and_a_prefix_look_like(self):
        digest = self.build(["alpha"], ["app"], "--no-bytecode")
        tar = self.home("tree.tar")
        self.ok("export", digest, f"tar:{tar}")
        with tarfile.open(tar) as t:
            names = {m.name.rstrip("/"): m for m in t}
            record = t.extractfile(next(n for n in names if n.endswith("alpha-2.0.dist-info/RECORD"))).read()
        self.assertIn("opt/managed-env/pip/venv/pyvenv.cfg", names)
        self.assertEqual(names["opt/managed-env/pip/venv/bin/alpha"].mode, 0o755)
        self.assertEqual(names["opt/managed-env/npm/bin/app"].linkname,
                         "../lib/node_modules/app/bin/app.js")
        self.assertIn(b"../../../bin/alpha,sha256=", record)
        self.assertTrue(all(m.uid == 0 and m.gid == 0 for m in names.values()))

    def test_files_that_two_packages_own(self):
        self.build(["same-a", "same-b"])
        text = self.fails(3, "build", *self.specs(["clash-a", "clash-b"]), words=["shared.py"])
        self.assertIn("clash-a", text)
        self.assertIn("clash-b", text)

    def test_exports_are_read_by_other_tools(self):
        digest = self.build(["alpha"], ["app"], "--compression", "gzip")
        image = self.home("image")
        self.ok("export", digest, f"oci:{image}:v1")
        with open(os.path.join(image, "index.json"), encoding="utf-8") as f:
            manifest = json.load(f)["manifests"][0]
        self.assertEqual(manifest["digest"], digest)
        if shutil.which("skopeo"):
            subprocess.run(["skopeo", "inspect", f"oci:{image}:v1"], check=True, capture_output=True)
            subprocess.run(["skopeo", "copy", "--insecure-policy", f"oci:{image}:v1",
                            f"dir:{self.home('copied')}"], check=True, capture_output=True)
        if shutil.which("umoci"):
            subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{image}:v1", self.home("unpacked")],
                           check=True, capture_output=True)
            self.assertTrue(os.path.exists(
                self.home("unpacked/rootfs/opt/managed-env/npm/lib/node_modules/app/index.js")))
        self.ok("export", digest, f"oci-archive:{self.home('image.tar')}")
        with tarfile.open(self.home("image.tar")) as t:
            self.assertIn("oci-layout", t.getnames())

    def test_verify_finds_a_flipped_byte(self):
        self.build(["alpha"])
        self.ok("verify")
        blobs = []
        for folder, _, files in os.walk(os.path.join(self.home(), "blobs")):
            blobs += [os.path.join(folder, f) for f in files]
        victim = max(blobs, key=os.path.getsize)
        os.chmod(victim, 0o644)
        with open(victim, "r+b") as f:
            f.seek(100)
            byte = f.read(1)
            f.seek(100)
            f.write(bytes([byte[0] ^ 1]))
        self.assertNotEqual(self.run_env("verify").returncode, 0)


class Keeping(StrataCase):
    def test_what_is_pinned_stays_and_the_rest_goes(self):
        pinned, loose = self.build(["alpha"]), self.build(["beta"])
        self.assertEqual(self.ok("pin", "session-1", pinned), pinned)
        would = json.loads(self.ok("gc", "--json", "--dry-run", "--grace", "0s"))
        self.assertEqual(would["removed_artifacts"], [loose])
        self.ok("gc", "--grace", "0s")
        self.assertEqual([a["digest"] for a in json.loads(self.ok("list", "--json"))], [pinned])
        self.ok("verify")
        self.ok("unpin", "session-1")
        self.ok("gc", "--grace", "0s")
        self.assertEqual(json.loads(self.ok("list", "--json")), [])
        self.assertEqual(self.build(["alpha"]), pinned)

    def test_warm_builds_all_and_tells_the_worst(self):
        good = self.write("good.yaml", ENVIRONMENT)
        bad = self.write("bad.yaml", ENVIRONMENT.replace("alpha", "nowhere"))
        done = self.run_env("warm", bad, good)
        self.assertEqual(done.returncode, 3)
        self.assertIn(good, done.stdout.decode())
        self.ok("warm", good)


class Words(StrataCase):
    def test_why_diff_list_inspect_sbom(self):
        digest = self.build(["alpha"])
        other = self.build(["alpha<2"])
        self.assertIn("<- alpha", self.ok("why", digest, "beta"))
        self.fails(1, "why", digest, "nothing", words=["not in this environment"])
        changes = {c["name"]: (c["from"], c["to"])
                   for c in json.loads(self.ok("diff", "--json", other, digest))}
        self.assertEqual(changes["alpha"], ("1.0", "2.0"))
        self.assertEqual(changes["delta"], (None, "1.0"))
        self.assertEqual({a["digest"] for a in json.loads(self.ok("list", "--json"))}, {digest, other})
        shown = json.loads(self.ok("inspect", "--json", digest[7:20]))
        self.assertEqual(shown["artifact"], digest)
        sbom = json.loads(self.ok("sbom", digest))
        self.assertIn("pkg:pypi/alpha@2.0",
                      [r["referenceLocator"] for p in sbom["packages"] for r in p.get("externalRefs", [])])

    def test_help_and_completion(self):
        self.assertIn("usage", self.ok("build", "--help"))
        for shell in ("bash", "zsh", "fish"):
            self.assertIn("build-env", self.ok("completion", shell))
        subprocess.run(["bash", "-n"], input=self.ok("completion", "bash").encode(), check=True)

    def test_wrong_usage_is_told(self):
        self.fails(2, "biuld", words=["did you mean build"])
        self.fails(2, "build", "--ofline", words=["did you mean --offline"])
        self.fails(2, "build", "missing.yaml", words=["missing.yaml", "init"])
        self.fails(2, "run", "x")
        self.fails(2, "build", "--pip", "a = = 1", words=["a = = 1"])
        self.fails(2, "build", "--pip", "--index-url=x", words=["--index-url=x"])
        self.fails(2, "build", "--npm", "a@workspace:*", words=["workspace"])
        self.fails(1, "inspect", "123456", words=["123456"])

    def test_init_writes_once(self):
        self.assertEqual(self.ok("init"), "environment.yaml")
        self.fails(1, "init", words=["environment.yaml"])

    def test_other_managers_are_checked_but_not_built(self):
        for manager, spec in [("cargo", "ripgrep"), ("gem", "rake"), ("go", "example.com/x@latest")]:
            self.fails(2, "build", f"--{manager}", spec, words=[manager])
        self.fails(2, "build", "--cargo", "ripgrep@@1", words=["ripgrep@@1"])

    def test_limited_networking_without_registries_builds_what_is_cached(self):
        text = ENVIRONMENT.replace("{type: unrestricted}", "{type: limited}")
        file = self.write("closed.yaml", text)
        self.fails(4, "build", file, words=["allow_package_managers"])
        digest = self.ok("build", self.write("open.yaml", ENVIRONMENT))
        self.registry.requests.clear()
        self.assertEqual(self.ok("build", file), digest)
        self.assertEqual(self.registry.requests, [])


if __name__ == "__main__":
    unittest.main()
