# SPDX-License-Identifier: Apache-2.0
"""kill -9 and full disks: whatever was answered is there afterwards, no build is lost, and the
file is whole. STRATA_CRASHES sets how many times (default 30)."""
import http.client
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import time

from api_client import Server, expect, run

TIMES = int(os.environ.get("STRATA_CRASHES", "30"))
DEAD = (http.client.HTTPException, ConnectionError, OSError)


class Ledger:
    """What the server answered, to be compared with what it knows after its death."""

    def __init__(self):
        self.environments, self.pins, self.builds, self.deleted = {}, {}, set(), set()
        self.mutex = threading.Lock()

    def work(self, client, seed, stop):
        rng = random.Random(seed)
        n = 0
        while not stop.is_set():
            n += 1
            try:
                self.step(client, rng, f"{seed}-{n}")
            except DEAD:
                return

    def step(self, client, rng, name):
        with self.mutex:
            known = list(self.environments)
        what = rng.random()
        if what < 0.4 or not known:
            r = client.post("/v1/environments", {"name": name, "config": {"packages": {
                "pip": [f"p{rng.randrange(40)}", f"slow-{rng.randrange(1, 40)}"]}}})
            if r.status == 200:
                with self.mutex:
                    self.environments[r.json["id"]] = 1
                    self.builds.add(r.json["build"]["job_id"])
        elif what < 0.6:
            env = rng.choice(known)
            r = client.post(f"/v1/environments/{env}", {"metadata": {"k": name}, "config": {
                "packages": {"npm": [f"n{rng.randrange(1000000)}"]}}})
            if r.status == 200:
                with self.mutex:
                    self.environments[env] = max(self.environments.get(env, 0), r.json["version"])
                    self.builds.add(r.json["build"]["job_id"])
        elif what < 0.9:
            env = rng.choice(known)
            r = client.put(f"/v1/sessions/{name}/environment", {"environment_id": env})
            if r.status in (201, 202):
                with self.mutex:
                    self.pins[name] = r.json
        else:
            with self.mutex:  # from here on it may be there or not, until there is an answer
                name = rng.choice(list(self.pins)) if self.pins else None
                self.pins.pop(name, None)
            if name and client.delete(f"/v1/sessions/{name}/environment").status == 200:
                with self.mutex:
                    self.deleted.add(name)

    def check(self, client):
        for env, version in self.environments.items():
            e = expect(client.get(f"/v1/environments/{env}"), 200)
            assert e["version"] >= version, f"{env} forgot version {version}"
        for name, pin in list(self.pins.items()):
            now = expect(client.get(f"/v1/sessions/{name}/environment"), 200)
            for member in ("version", "environment", "network_policy", "created_at", "environment_id"):
                assert now[member] == pin[member], f"pin {name}: {member} changed"
            if pin["artifact"]:
                assert now["artifact"] == pin["artifact"]
        for name in self.deleted:
            assert client.get(f"/v1/sessions/{name}/environment").status == 404

    def settle(self, client):
        """Every build ends, and no version of a succeeded build is without its artifact."""
        end = time.monotonic() + 40
        left = set(self.builds)
        while left and time.monotonic() < end:
            for build in list(left):
                b = expect(client.get(f"/v1/builds/{build}"), 200)
                if b["status"] == "succeeded":
                    left.discard(build)
                else:
                    assert b["status"] in ("queued", "running"), b
            time.sleep(0.05)
        assert not left, f"builds that never end: {left}"
        for name in list(self.pins):
            assert expect(client.get(f"/v1/sessions/{name}/environment"), 200)["status"] == "ready"


def check_file(path):
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for queued, running in db.execute("SELECT queued, running FROM tenant WHERE workspace = ''"):
            assert queued == db.execute("SELECT count(*) FROM job WHERE state < 3").fetchone()[0]
            assert running == db.execute("SELECT count(*) FROM job WHERE state = 3").fetchone()[0]
        twice = db.execute("SELECT build_key FROM job WHERE state = 3 GROUP BY build_key HAVING count(*) > 1")
        assert twice.fetchone() is None


def after(ledger, db):
    s = Server("--lease-ms", "1600", "--jobs", "4", db=db, keys=())
    s.keys = ledger.keys
    c = s.client()
    ledger.check(c)
    ledger.settle(c)
    ledger.check(c)
    status, text = s.stop()
    assert status == 0, text
    check_file(db)
    s.clean()


def killed_at_every_kind_of_step():
    folder, db, ledger = fresh()
    for i in range(TIMES):
        step = 1 + i * 7 if i % 2 else random.Random(i).randrange(1, 3000)
        life(ledger, db, f"step{i}", {"STRATA_FAULT": f"kill:{step}"}, 3)
        if i % 10 == 9:
            after(ledger, db)
    after(ledger, db)
    shutil.rmtree(folder)


def fresh():
    folder = tempfile.mkdtemp(prefix="strata-crash-")
    db = os.path.join(folder, "worker.db")
    ledger = Ledger()
    with Server(db=db, keys=("ws1",)) as s:
        ledger.keys = s.keys
    return folder, db, ledger


def life(ledger, db, seed, env, kill_after):
    """Load until the process dies by its fault, or is killed."""
    s = Server("--lease-ms", "1600", db=db, keys=(), env=env, wait=False)
    started = s.read_start()
    s.keys = ledger.keys
    stop = threading.Event()
    threads = []
    if started:
        threads = [threading.Thread(target=ledger.work, args=(s.client(), f"{seed}.{i}", stop))
                   for i in range(4)]
        for t in threads:
            t.start()
    end = time.monotonic() + kill_after
    while time.monotonic() < end and s.process.poll() is None:
        time.sleep(0.005)
    if s.process.poll() is None:
        s.process.send_signal(signal.SIGKILL)
    s.process.wait()
    stop.set()
    for t in threads:
        t.join()
    s.process.stdout.close()
    s.process.stderr.close()
    check_file(db)
    s.clean()


def killed_at_random_times_under_load():
    folder, db, ledger = fresh()
    rng = random.Random(7)
    for i in range(TIMES):
        life(ledger, db, f"random{i}", {}, rng.random() * 0.7)
        if i % 10 == 9:
            after(ledger, db)
    after(ledger, db)
    shutil.rmtree(folder)


def a_full_disk_is_told_and_outlived():
    for nth in (1, 5, 20, 60, 150, 400):
        with Server("--lease-ms", "1600", keys=("ws1",)) as s:
            keys, db = s.keys, s.db
            status, text = s.stop()
            assert status == 0, text
            full = Server("--lease-ms", "1600", db=db, keys=(), env={"STRATA_FAULT": f"full:{nth}"}, wait=False)
            if full.read_start():
                full.keys = keys
                c = full.client()
                saw, done = set(), []
                for i in range(60):
                    try:
                        r = c.post("/v1/environments", {"name": f"e{i}", "config": {"packages": {"pip": [f"p{i}"]}}})
                    except DEAD:
                        break
                    saw.add(r.status)
                    if r.status == 200:
                        done.append(r.json["id"])
                    if r.status >= 500 and len(saw) > 1 and i > 20:
                        break
                assert saw <= {200, 500, 529}, saw
                assert 500 in saw or 529 in saw or nth > 100, saw
                full.stop()
            else:
                full.process.wait()
                done = []
            full.clean()
            check_file(db)
            again = Server("--lease-ms", "1600", db=db, keys=())
            again.keys = keys
            c = again.client()
            for env in done:
                build = expect(c.get(f"/v1/environments/{env}"), 200)["build"]["job_id"]
                assert c.wait_build(build)["status"] == "succeeded"
            status, text = again.stop()
            assert status == 0, text
            again.clean()


def a_busy_database_is_told_and_outlived():
    with Server(keys=("ws1",)) as s:
        c = s.client()
        c.environment("a")
        other = sqlite3.connect(s.db, isolation_level=None, timeout=5)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        r = c.call("POST", "/v1/environments", {"name": "n"}, timeout=40)
        expect(r, 529)
        assert int(r.headers["retry-after"]) > 0 and time.monotonic() - began < 15
        expect(c.get("/v1/environments"), 200)  # readers wait for nobody
        other.execute("ROLLBACK")
        other.close()
        expect(c.post("/v1/environments", {"name": "n"}), 200)


run([killed_at_every_kind_of_step, killed_at_random_times_under_load, a_full_disk_is_told_and_outlived,
     a_busy_database_is_told_and_outlived])
