# SPDX-License-Identifier: Apache-2.0
"""build-worker itself: keys, signals, and (with --network) real builds, whose digests must be
those of build-env. Usage: api_worker.py BUILD_WORKER BUILD_ENV [--network]"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from api_client import Client, expect

WORKER, BUILD_ENV = sys.argv[1:3]
NETWORK = "--network" in sys.argv
SKIPPED = 77


def run_worker(home, *args, **kw):
    return subprocess.run([WORKER, *args, "--home", home], capture_output=True, text=True, timeout=60, **kw)


class Worker:
    def __init__(self, home, *args, key=None, env=None):
        self.process = subprocess.Popen([WORKER, "serve", "--home", home, "--listen", "127.0.0.1:0", *args],
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"listening on http://127\.0\.0\.1:(\d+)/", line)
            if found:
                self.client = Client(int(found.group(1)), key)
                return
        raise AssertionError("it did not start: " + "".join(self.lines))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        text = self.process.stderr.read()
        status = self.process.wait(30)
        assert status == 0, (status, text)
        return text


def keys_come_and_go(home):
    w = Worker(home)
    assert any("no API key" in line for line in w.lines), w.lines
    expect(w.client.get("/v1/environments"), 200)
    made = run_worker(home, "key", "create", "--workspace", "team", "--quiet")
    assert made.returncode == 0 and re.match(r"^sk-strata-\w+-\w+\n$", made.stdout), made
    key = made.stdout.strip()
    expect(w.client.get("/v1/environments"), 401, "missing_api_key")
    c = Client(w.client.port, key)
    expect(c.get("/v1/environments"), 200)
    listed = json.loads(run_worker(home, "key", "list", "--json").stdout)
    assert len(listed) == 1 and listed[0]["workspace"] == "team" and key not in json.dumps(listed)
    assert run_worker(home, "key", "revoke", listed[0]["id"]).returncode == 0
    expect(c.get("/v1/environments"), 401, "invalid_api_key")
    assert run_worker(home, "key", "revoke", listed[0]["id"]).returncode != 0
    assert run_worker(home, "key", "create").returncode == 2
    assert run_worker(home, "key", "create", "--workspace", "../x").returncode == 2
    assert run_worker(home, "key", "burn").returncode == 2
    for name in os.listdir(home):
        path = os.path.join(home, name)
        if name.startswith("worker.db") and os.path.isfile(path):
            with open(path, "rb") as f:
                assert key.encode() not in f.read(), "a key lies in the database"
    w.stop()
    return json.loads(run_worker(home, "key", "create", "--workspace", "team", "--json").stdout)["key"]


def settings_are_checked_and_reloaded(home, key):
    for args, says in [(["--listen", "nowhere"], "ADDRESS:PORT"), (["--listen", "300.1.1.1:0"], "no IPv4 or IPv6"),
                       (["--jobs", "many"], "jobs"), (["--bogus"], "bogus")]:
        r = run_worker(home, "serve", *args)
        assert r.returncode == 2 and says in r.stderr, (args, r.returncode, r.stderr)
    config = os.path.join(home, "test.yaml")

    def write(text):
        with open(config, "w") as f:
            f.write(text)

    write("platform_domains: one.example.com\n")
    w = Worker(home, "--config", config, key=key)
    e = expect(w.client.post("/v1/environments", {"name": "n", "config": {"networking": {"type": "limited"}}}), 200)

    def domains(session):
        pin = expect(w.client.put(f"/v1/sessions/{session}/environment", {"environment_id": e["id"]}), 201)
        return pin["network_policy"]["allowed_domains"]

    assert domains("a") == ["one.example.com"]
    write("platform_domains: two.example.com, *.three.example.com\n")
    w.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 10
    n = 0
    while domains(f"b{n}") != ["*.three.example.com", "two.example.com"]:
        assert time.monotonic() < end
        n += 1
        time.sleep(0.05)
    write("platform_domains: https://bad\n")
    w.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert domains("c") == ["*.three.example.com", "two.example.com"], "a bad file changes nothing"
    assert "platform_domains" in w.stop()


def without_registries_nothing_is_asked(home, key):
    w = Worker(home, key=key)
    c = w.client
    e = expect(c.post("/v1/environments", {"name": "n", "config": {
        "networking": {"type": "limited"}, "packages": {"pip": ["surely-not-cached-here==1"]}}}), 200)
    b = c.wait_build(e["build"]["job_id"])
    assert b["status"] == "failed" and b["failure"]["code"] == "package_managers_not_allowed", b
    assert "allow_package_managers" in b["failure"]["message"], b["failure"]
    expect(c.post("/v1/environments", {"name": "n", "config": {"packages": {"pip": ["foo = = 1"]}}}), 400,
           says='config.packages.pip[0]: "foo = = 1"')
    expect(c.put("/v1/sessions/s/environment", {"environment_id": e["id"]}), 409, "build_failed")
    w.stop()


def real_builds_give_the_digests_of_build_env(home, key):
    spec = {"pip": ["six==1.16.0", "requests==2.32.3"]}
    w = Worker(home, key=key)
    c = w.client
    e = expect(c.post("/v1/environments", {"name": "n", "config": {"packages": spec}}), 200)
    b = c.wait_build(e["build"]["job_id"], seconds=120)
    if b["status"] == "failed" and b["failure"]["code"] in ("network_error", "timeout", "registry_unknown"):
        w.stop()
        print("skipped: no registry can be reached:", b["failure"]["message"])
        sys.exit(SKIPPED)
    assert b["status"] == "succeeded", b
    assert b["managers"]["pip"]["phase"] == "done" and b["received_bytes"] > 0
    p = expect(c.put("/v1/sessions/s/environment", {"environment_id": e["id"]}), 201)
    m = expect(c.get(f"/v1/artifacts/{b['artifact']}"), 200)
    assert {x["name"] for x in m["packages"]} >= {"six", "requests", "urllib3"}
    import hashlib
    for layer in p["layers"]:
        blob = c.get(f"/v1/artifacts/{b['artifact']}/blobs/{layer['digest']}")
        assert blob.status == 200 and len(blob.raw) == layer["size"]
        assert "sha256:" + hashlib.sha256(blob.raw).hexdigest() == layer["digest"]
        middle = layer["size"] // 2
        part = c.get(f"/v1/artifacts/{b['artifact']}/blobs/{layer['digest']}",
                     headers={"range": f"bytes={middle}-{middle + 99}"})
        assert part.status == 206 and part.raw == blob.raw[middle:middle + 100]
    for kind in ("sbom", "provenance", "lock"):
        expect(c.get(f"/v1/artifacts/{b['artifact']}/{kind}"), 200)
    again = expect(c.post("/v1/builds", {"environment_id": e["id"]}), 202)
    assert c.wait_build(again["id"])["artifact"] == b["artifact"]
    fresh = tempfile.mkdtemp(prefix="strata-env-")
    args = [a for s in spec["pip"] for a in ("--pip", s)]
    local = subprocess.run([BUILD_ENV, "build", "--home", fresh, "--quiet", *args], capture_output=True,
                           text=True, timeout=300)
    assert local.stdout.strip() == b["artifact"], (local.stdout, local.stderr, b["artifact"])
    kept = subprocess.run([BUILD_ENV, "gc", "--home", home], capture_output=True, text=True, timeout=60)
    assert kept.returncode == 0, kept.stderr
    assert expect(c.get("/v1/sessions/s/environment"), 200)["artifact"] == b["artifact"]
    verified = subprocess.run([BUILD_ENV, "verify", b["artifact"], "--home", home], capture_output=True,
                              text=True, timeout=60)
    assert verified.returncode == 0, verified.stderr
    w.stop()


def main():
    with tempfile.TemporaryDirectory(prefix="strata-worker-") as home:
        key = keys_come_and_go(home)
        print("ok    keys_come_and_go", flush=True)
        tests = [real_builds_give_the_digests_of_build_env] if NETWORK else [
            settings_are_checked_and_reloaded, without_registries_nothing_is_asked]
        for test in tests:
            test(home, key)
            print("ok   ", test.__name__, flush=True)


main()
