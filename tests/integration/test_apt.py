# SPDX-License-Identifier: Apache-2.0
"""apt from a signed archive of this test's own to a real installation in a layer.

The base is this machine's root, which no test changes: everything happens in overlays.
"""

import json
import os
import signal
import subprocess
import tarfile
import tempfile
import time
import unittest

import apt_archive
from strata_case import BUILD_ENV, StrataCase

MISSING = apt_archive.missing_programs()


def why_no_sandbox():
    """What keeps this machine from installing; empty: nothing."""
    if MISSING:
        return f"not here: {' '.join(MISSING)}"
    if not os.path.exists("/var/lib/dpkg/status"):
        return "this machine is no Debian"
    if subprocess.run(["unshare", "-m", "true"] if os.geteuid() == 0 else ["unshare", "-Urm", "true"],
                      capture_output=True, check=False).returncode != 0:
        return "this machine allows no namespaces"
    return ""


NO_SANDBOX = why_no_sandbox()


def installed_packages():
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Essential}\t${Architecture}\t"
                          "${db:Status-Abbrev}\t${Provides}\t${Pre-Depends}, ${Depends}, ${Recommends}\n"],
                         capture_output=True, check=True).stdout.decode()
    return [line.split("\t") for line in out.splitlines()]


def leaves():
    """Installed packages that nothing installed needs and that run no scripts: (name, version)."""
    rows = installed_packages()
    needed = " ".join(r[5] + "," + r[6] for r in rows)
    words = set(needed.replace(",", " ").replace("|", " ").replace(":", " ").split())
    for name, version, essential, arch, state, provides, _ in rows:
        info = f"/var/lib/dpkg/info/{name}"
        if (state.startswith("ii") and essential != "yes" and arch == "all" and not provides and name not in words
                and not any(os.path.exists(f"{info}.{s}") for s in ("preinst", "postinst", "prerm", "postrm",
                                                                     "conffiles", "triggers"))):
            yield name, version


@unittest.skipIf(MISSING, f"not here: {' '.join(MISSING)}")
class AptCase(StrataCase):
    def setUp(self):
        super().setUp()
        self.archive = apt_archive.AptArchive(self.top)
        self.addCleanup(self.archive.close)
        self.write_config(self.archive.config())

    def apt(self, *specs, options=(), **more):
        return self.ok("build", *[a for s in specs for a in ("--apt", s)], *options, **more)

    def apt_lock(self, *specs, **more):
        lock = json.loads(self.ok("lock", "--json", *[a for s in specs for a in ("--apt", s)], **more))
        return lock["managers"]["apt"]

    def apt_versions(self, *specs, **more):
        return {p["name"]: p["version"] for p in self.apt_lock(*specs, **more)["packages"]}

    def apt_fails(self, status, *specs, words=(), **more):
        return self.fails(status, "build", *[a for s in specs for a in ("--apt", s)], words=words, **more)

    def tree(self, digest, home="home"):
        """The exported layers: {path: (TarInfo, content)}."""
        file = os.path.join(self.top, "export.tar")
        self.ok("export", digest, f"tar:{file}", home=home)
        out = {}
        with tarfile.open(file) as t:
            for m in t:
                out[m.name.removeprefix("./")] = (m, t.extractfile(m).read() if m.isreg() else b"")
        os.unlink(file)
        return out

    def layer(self, *specs):
        """What the layer itself holds, whiteouts too."""
        digest = self.apt(*specs, options=["--compression", "gzip"])
        folder = os.path.join(self.top, "image")
        self.ok("export", digest, f"oci:{folder}")
        blobs = os.path.join(folder, "blobs", "sha256")
        with open(os.path.join(folder, "index.json"), encoding="utf-8") as f:
            manifest = json.load(f)["manifests"][0]["digest"][7:]
        with open(os.path.join(blobs, manifest), encoding="utf-8") as f:
            layers = json.load(f)["layers"]
        out = {}
        for one in layers:
            with tarfile.open(os.path.join(blobs, one["digest"][7:])) as t:
                for m in t:
                    out[m.name] = (m, t.extractfile(m).read() if m.isreg() else b"")
        return digest, out

    def status(self, tree):
        text = tree["var/lib/dpkg/status"][1].decode()
        stanzas = {}
        for stanza in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
            stanzas[fields.get("Package")] = fields
        return stanzas


@unittest.skipIf(NO_SANDBOX, NO_SANDBOX)
class Installs(AptCase):
    def test_a_package_is_installed_as_dpkg_installs_it(self):
        digest = self.apt("strata-one")
        tree = self.tree(digest)
        self.assertEqual(tree["var/lib/strata-one/state"][1], b"configure\n")
        self.assertEqual(tree["var/lib/strata-one/state"][0].mode, 0o600)
        self.assertEqual(tree["etc/strata-one.conf"][1], b"setting\n")
        self.assertIn("/etc/strata-one.conf", tree["var/lib/dpkg/status"][1].decode())
        self.assertEqual(tree["usr/share/strata-lib/alias"][0].linkname, "text")
        twins = [tree["usr/share/strata-lib/" + n][0] for n in ("text", "twin")]
        self.assertEqual(sum(t.islnk() for t in twins), 1)
        self.assertEqual(tree["etc/alternatives/strata-alt"][0].linkname, "/usr/bin/strata-one")
        self.assertTrue(os.path.islink("/lib") == ("usr/lib/strata-one/merged" in tree))
        status = self.status(tree)
        self.assertEqual(status["strata-one"]["Status"], "install ok installed")
        self.assertEqual(status["strata-lib"]["Version"], "1.1")
        self.assertFalse([n for n in tree if "policy-rc.d" in n or n.startswith(("build", "var/log/dpkg"))])
        self.assertFalse(os.path.exists("/usr/bin/strata-one"))

    def test_a_folder_that_a_script_replaces_shows_nothing_of_the_old_one(self):
        base = "usr/share/doc/base-files"
        there = sorted(os.listdir("/" + base))
        self.assertTrue(there)
        self.archive.add("stable", {
            "name": "strata-replace", "version": "1",
            "files": {"usr/share/strata-replace/old/a": "a", "usr/share/strata-replace/kept": "k"},
            "scripts": {"postinst": f"for d in /{base} /usr/share/strata-replace/old; do\n"
                                    "rm -r $d; mkdir $d; echo new > $d/new; done\n"}})
        self.archive.publish("stable")
        digest, layer = self.layer("strata-replace")
        for name in there:
            self.assertIn(f"{base}/.wh.{name}", layer)
        self.assertIn("usr/share/strata-replace/old/.wh.a", layer)
        self.assertEqual(self.ok("run", digest, "--", "ls", "/" + base, "/usr/share/strata-replace/old"),
                         f"/{base}:\nnew\n\n/usr/share/strata-replace/old:\nnew")

    def test_its_programs_run_in_a_session(self):
        digest = self.apt("strata-one")
        words = "library\nsetting\nconfigure"
        self.assertEqual(self.ok("run", digest, "--", "strata-one"), words)
        self.assertEqual(self.ok("run", digest, "--", "strata-alt"), words)
        self.assertEqual(self.ok("run", digest, "--", "dpkg", "--audit"), "")
        self.assertEqual(self.ok("run", digest, "--", "dpkg", "-V", "strata-one", "strata-lib"), "")

    def test_two_builds_give_one_digest_and_a_known_one_needs_no_network(self):
        specs = ["strata-one", "strata-hook", "strata-user", "strata-pre-a"]
        digest = self.apt(*specs)
        self.assertEqual(self.apt(*specs, home="other"), digest)
        self.archive.requests.clear()
        self.assertEqual(self.apt(*specs), digest)
        self.assertEqual(self.archive.requests, [])

    def test_triggers_run(self):
        tree = self.tree(self.apt("strata-hook"))
        self.assertEqual(tree["var/lib/strata-triggered/hooks"][1], b"hook\n")
        self.assertIn(b"/usr/share/strata-hooks strata-triggered/noawait\n",
                      tree["var/lib/dpkg/triggers/File"][1])

    def test_pre_depends_are_configured_before_they_are_needed(self):
        self.assertEqual(self.ok("run", self.apt("strata-pre-a"), "--", "strata-pre-a"), "a")

    def test_owners_modes_and_groups_are_kept(self):
        tree = self.tree(self.apt("strata-user"))
        owned = tree["usr/share/strata-user/owned"][0]
        self.assertEqual((owned.uid, owned.gid), (8, 12))
        tool = tree["usr/lib/strata-user/tool"][0]
        self.assertEqual(tool.mode, 0o2750)
        group = [g for g in tree["etc/group"][1].decode().splitlines() if g.startswith("stratagroup:")]
        self.assertEqual(tool.gid, int(group[0].split(":")[2]))

    def test_scripts_have_no_network(self):
        self.apt("strata-network")

    def test_a_failing_script_is_told_in_its_own_words_and_publishes_nothing(self):
        text = self.apt_fails(5, "strata-broken", words=["strata-broken", "error exit status 3", "flux capacitor"])
        self.assertIn("apt", text)
        self.assert_nothing_published()
        self.assertEqual(os.listdir(os.path.join(self.home(), "sandboxes")), [])

    def test_a_package_of_the_base_is_upgraded(self):
        name, version = next(leaves(), (None, None))
        if not name:
            self.skipTest("nothing here can be upgraded without a trace")
        self.archive.add("stable", {"name": name, "version": f"{version}+strata1",
                                    "files": {f"usr/share/{name}-upgraded": "x\n"}})
        self.archive.publish("stable")
        lists = f"/var/lib/dpkg/info/{name}.list"
        with open(lists, encoding="utf-8") as f:
            old = [p for p in f.read().splitlines() if os.path.isfile(p) and not os.path.islink(p)]
        digest, tree = self.layer(name)
        self.assertEqual(self.status(tree)[name]["Version"], f"{version}+strata1")
        for path in old:  # the new version has none of them
            self.assertIn(self.whiteout(path), self.hidden(tree), path)
            self.assertTrue(os.path.exists(path))
        self.assertEqual(self.ok("run", digest, "--", "dpkg", "-V", name), "")

    def test_a_package_of_the_base_that_is_in_the_way_is_removed(self):
        name, _ = next(leaves(), (None, None))
        if not name:
            self.skipTest("nothing here can be removed without a trace")
        self.archive.add("stable", {"name": "strata-against", "version": "1", "fields": {"Conflicts": name}})
        self.archive.publish("stable")
        lock = self.apt_lock("strata-against")
        self.assertEqual(lock["removed"], [name])
        _, tree = self.layer("strata-against")
        self.assertNotIn(" installed", self.status(tree).get(name, {}).get("Status", ""))
        self.assertTrue(self.hidden(tree))

    @staticmethod
    def whiteout(path):
        folder, _, name = path.strip("/").rpartition("/")
        return os.path.join(os.path.realpath("/" + folder).lstrip("/"), name)

    @staticmethod
    def hidden(tree):
        """What the layer hides, whole folders with all that is in them on this machine."""
        out = set()
        for path in tree:
            folder, _, name = path.rpartition("/")
            if name.startswith(".wh."):
                top = os.path.join(folder, name[4:])
                out.add(top)
                for here, _, names in os.walk("/" + top):
                    out.update(os.path.join(here, n).lstrip("/") for n in names)
        return out

    def test_what_the_base_has_already_gives_an_empty_layer(self):
        name, version = next(((r[0], r[1]) for r in installed_packages() if r[0] == "dpkg"), (None, None))
        self.archive.add("stable", {"name": name, "version": version, "arch": apt_archive.ARCH})
        self.archive.publish("stable")
        self.assertEqual(self.apt_lock(name)["packages"], [])
        digest = self.apt(name)
        self.assertEqual(self.apt(name, home="other"), digest)
        self.assertEqual(self.ok("run", digest, "--", "dpkg-query", "-W", "-f", "${Version}", name), version)

    def test_one_package_more_fetches_only_itself(self):
        self.apt("strata-lib")
        self.archive.requests.clear()
        self.apt("strata-lib", "strata-pinned")
        self.assertEqual([r for r in self.archive.requests if r.endswith(".deb")],
                         ["/pool/strata-pinned_1_all.deb"])


@unittest.skipIf(NO_SANDBOX, NO_SANDBOX)
class Interrupted(AptCase):
    def begin(self):
        env = self.environment()
        child = subprocess.Popen([BUILD_ENV, "build", "--apt", "strata-slow", "--config", self.config], env=env,
                                 cwd=self.top, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        top = os.path.join(self.home(), "sandboxes")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for name in os.listdir(top) if os.path.isdir(top) else []:
                for here, _, names in os.walk(os.path.join(top, name)):
                    if "strata-slow-began" in names:
                        return child, top
            self.assertIsNone(child.poll())
            time.sleep(0.05)
        child.kill()
        self.fail("the script did not begin")

    def processes(self):
        """Those that sleep as the script does."""
        out = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f.read().split(b"\0")[:2] == [b"sleep", b"600"]:
                        out.append(int(pid))
            except OSError:
                pass
        return out

    def assert_gone(self):
        until = time.monotonic() + 20
        while self.processes() and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(self.processes(), [])
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            self.assertNotIn(self.top, f.read())

    def test_a_cancelled_installation_leaves_nothing(self):
        child, top = self.begin()
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(60), 130)
        self.assert_gone()
        self.assertEqual(os.listdir(top), [])
        self.assert_nothing_published()

    def test_a_killed_one_is_swept_by_the_next(self):
        child, top = self.begin()
        child.kill()
        child.wait(60)
        self.assert_gone()
        self.assertEqual(len(os.listdir(top)), 1)
        self.apt("strata-lib")
        self.assertEqual(os.listdir(top), [])


class Choices(AptCase):
    def test_versions_suites_and_pins(self):
        testing = self.archive.source("testing")
        self.write_config(self.archive.config("stable", extra=[testing]))
        # No pin: both suites count 500, the highest version wins.
        self.assertEqual(self.apt_versions("strata-pinned"), {"strata-pinned": "2"})
        self.assertEqual(self.apt_versions("strata-pinned=0.9"), {"strata-pinned": "0.9"})
        self.assertEqual(self.apt_versions("strata-pinned/stable"), {"strata-pinned": "1"})
        self.archive.publish("testing", {"NotAutomatic": "yes"})
        self.assertEqual(self.apt_versions("strata-pinned", home="pin1"), {"strata-pinned": "1"})
        self.assertEqual(self.apt_versions("strata-pinned/testing", home="pin1"), {"strata-pinned": "2"})
        self.archive.publish("testing", {"NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"})
        self.assertEqual(self.apt_versions("strata-pinned", home="pin100"), {"strata-pinned": "1"})

    def test_virtual_packages(self):
        self.assertEqual(self.apt_versions("strata-needs-mail"),
                         {"strata-mail-b": "1", "strata-needs-mail": "1"})
        self.assertEqual(self.apt_versions("strata-needs-mail", "strata-mail-a"),
                         {"strata-mail-a": "1", "strata-needs-mail": "1"})
        self.apt_fails(3, "strata-mail-a", "strata-mail-b", words=["strata-mail-a", "strata-mail-b"])

    def test_what_cannot_be_is_said(self):
        self.apt_fails(3, "strata-nowhere", words=["strata-nowhere"])
        self.apt_fails(3, "strata-lib=9", words=["strata-lib"])
        self.apt_fails(3, "strata-lib/nosuite", words=["strata-lib"])
        self.apt_fails(3, "strata-impossible", words=["strata-impossible", "strata-lib >= 7"])
        self.apt_fails(2, "Strata!", words=["Strata!"])

    def test_a_source_that_is_not_there_is_left_out_with_a_warning(self):
        self.write_config(self.archive.config("stable", extra=[self.archive.source("gone")]))
        done = self.run_env("lock", "--json", "--apt", "strata-lib")
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn("gone", done.stderr.decode())

    def test_an_archive_newer_than_asked_is_refused(self):
        file = self.write("e.yaml", "config: {packages: {apt: [strata-lib]}}\n"
                                    "policy: {exclude_newer: '2020-01-01T00:00:00Z'}\n")
        text = self.run_env("build", file).stderr.decode()
        self.assertIn("snapshot", text)


class Trust(AptCase):
    def refused(self, *words):
        self.apt_fails(4, "strata-lib", words=words)
        self.assert_nothing_published()

    def test_an_unsigned_release_is_refused(self):
        self.archive.publish("stable", sign=False)
        self.refused("stable", "not signed")

    def test_an_altered_release_is_refused(self):
        name = "dists/stable/InRelease"
        self.archive.files[name] = self.archive.files[name].replace(b"Origin: Fixtures", b"Origin: Fixture5")
        self.refused("stable")

    def test_text_outside_of_the_signature_does_not_count(self):
        name = "dists/stable/InRelease"
        good = self.archive.files[name]
        self.archive.files[name] = b"Suite: evil\n\n" + good
        self.refused("stable")
        self.archive.files[name] = good + b"\nSuite: evil\n"
        done = self.run_env("lock", "--json", "--apt", "strata-lib", home="after")
        self.assertNotIn(b"evil", done.stdout)

    def stranger(self):
        key = apt_archive.Key(os.path.join(tempfile.mkdtemp(dir=self.top), "g"))
        self.addCleanup(key.close)
        return key

    def test_one_good_signature_among_unknown_ones_will_do(self):
        for home, key, others in (("a", None, [self.stranger()]), ("b", self.stranger(), [self.archive.key])):
            self.archive.publish("stable", key=key, others=others)
            self.assertEqual(self.apt_versions("strata-lib", home=home), {"strata-lib": "1.1"})

    def test_a_second_message_before_or_after_the_good_one_is_refused(self):
        name = "dists/stable/InRelease"
        good = self.archive.files[name]
        evil = self.stranger().sign(b"Suite: evil\n")
        for home, text in enumerate((evil + good, good + evil, good.rstrip() + b"\n" + good)):
            self.archive.files[name] = text
            self.apt_fails(4, "strata-lib", words=["stable"], home=str(home))

    def test_a_release_with_its_signature_beside_it_is_read(self):
        text = self.archive.publish("stable")
        del self.archive.files["dists/stable/InRelease"]
        self.archive.files["dists/stable/Release"] = text
        self.archive.files["dists/stable/Release.gpg"] = self.archive.key.detach(text)
        self.assertEqual(self.apt_versions("strata-lib"), {"strata-lib": "1.1"})
        self.archive.files["dists/stable/Release.gpg"] = self.stranger().detach(text)
        self.apt_fails(4, "strata-lib", words=["stable"], home="a")
        self.archive.files["dists/stable/Release.gpg"] = self.archive.key.detach(text)
        self.archive.files["dists/stable/Release"] = text + b"X: y\n"
        self.apt_fails(4, "strata-lib", words=["stable"], home="b")

    def test_a_stranger_s_signature_is_refused(self):
        folder = tempfile.mkdtemp(dir=self.top)
        stranger = apt_archive.Key(os.path.join(folder, "g"))
        self.addCleanup(stranger.close)
        self.archive.publish("stable", key=stranger)
        self.refused("stable")

    def test_an_expired_release_is_refused(self):
        self.archive.publish("stable", {"Valid-Until": "Sat, 01 Jan 2022 00:00:00 UTC"})
        self.refused("expired")

    def test_a_list_that_the_release_does_not_vouch_for_is_refused(self):
        for name in [n for n in self.archive.files if "/Packages" in n]:
            self.archive.files[name] = self.archive.files[name][:-1] + b"#"
        self.refused("stable")

    def test_a_deb_of_another_hash_is_refused(self):
        for name in [n for n in self.archive.files if "strata-lib" in n]:
            self.archive.files[name] = self.archive.files[name][:-1] + b"#"
        self.refused("strata-lib")

    def test_trusted_waives_the_signature(self):
        self.archive.publish("stable", sign=False)
        self.write_config(f"registries:\n  apt:\n    - deb [trusted=yes] {self.archive.base} stable main\n")
        self.assertEqual(self.apt_versions("strata-lib"), {"strata-lib": "1.1"})


if __name__ == "__main__":
    unittest.main()
