# SPDX-License-Identifier: Apache-2.0
"""build-worker with real builds from a registry of fixtures: killed at injected steps, in the store
as in the database, it leaves artifacts whole or none; and collecting beside pins takes nothing that
is pinned. Usage: api_worker_crash.py BUILD_WORKER BUILD_ENV; STRATA_CRASHES makes it longer, and
STRATA_GC_SECONDS: so long are artifacts collected beside pins (8)."""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from api_client import Client, expect
from fixture_registry import FixtureRegistry

WORKER, BUILD_ENV = (os.path.abspath(p) for p in sys.argv[1:3])
TIMES = int(os.environ.get("STRATA_CRASHES", "12"))
GRACE = os.environ.get("STRATA_GC_GRACE", "2s")
GC_SECONDS = int(os.environ.get("STRATA_GC_SECONDS", "8"))


class Place:
    processes = []

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="strata-worker-")
        self.home = os.path.join(self.top, "home")
        self.registry = FixtureRegistry()
        self.config = os.path.join(self.top, "strata.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(self.registry.config() + "\nlease_seconds: 3\nmax_attempts: 100\n")

    def environment(self, **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("STRATA_", "PIP_", "NPM_", "npm_")) and "proxy" not in k.lower()}
        return {**env, "STRATA_HOME": self.home, **more}

    def env(self, *args):
        return subprocess.run([BUILD_ENV, *args, "--config", self.config], env=self.environment(),
                              capture_output=True, text=True, timeout=120, cwd=self.top)

    def start(self, **env):
        process = subprocess.Popen([WORKER, "serve", "--listen", "127.0.0.1:0", "--config", self.config],
                                   env=self.environment(**env), stderr=subprocess.PIPE, text=True)
        Place.processes.append(process)
        for line in process.stderr:
            found = re.search(r"listening on http://127\.0\.0\.1:(\d+)/", line)
            if found:
                threading.Thread(target=process.stderr.read, daemon=True).start()
                return process, Client(int(found.group(1)), None)
        process.wait()
        return process, None

    def close(self):
        self.registry.close()
        shutil.rmtree(self.top, ignore_errors=True)


def specs():
    import json
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fixtures")
    out = {}
    for manager in ("pip", "npm"):
        with open(os.path.join(root, manager, "packages.json"), encoding="utf-8") as f:
            out[manager] = sorted({p["name"] for p in json.load(f) if not p.get("sdist")})
    return out


def usable_sets(place):
    """Package sets that build, and their digests, found by build-env in a home of its own."""
    found, names = {}, specs()
    home, place.home = place.home, os.path.join(place.top, "reference")
    for manager, list_ in names.items():
        for name in list_:
            done = place.env("build", f"--{manager}", name, "--quiet")
            if done.returncode == 0:
                found[(manager, name)] = done.stdout.strip()
            if len([k for k in found if k[0] == manager]) == 4:
                break
    place.home = home
    assert len(found) >= 4, found
    return found


def create(client, manager, name):
    return expect(client.post("/v1/environments", {"name": name, "config": {"packages": {manager: [name]}}}), 200)


def killed_in_the_middle_of_builds():
    place = Place()
    sets = usable_sets(place)
    rng = random.Random(3)
    environments, pins = {}, {}
    for i in range(TIMES):
        process, client = place.start(STRATA_FAULT=f"kill:{rng.randrange(1, 400)}")
        try:
            while client and process.poll() is None:
                manager, name = rng.choice(list(sets))
                e = create(client, manager, name)
                environments[e["id"]] = sets[(manager, name)]
                session = f"s{i}-{len(pins)}"
                pin = client.put(f"/v1/sessions/{session}/environment?wait=2", {"environment_id": e["id"]})
                if pin.status in (201, 202):
                    pins[session] = (e["id"], pin.json["artifact"])
        except OSError:
            pass
        except Exception as problem:  # the answer was cut by the death
            if process.poll() is None:
                time.sleep(0.2)
            if process.poll() is None:
                process.kill()
                raise problem
        process.kill()
        process.wait()
        done = place.env("verify")
        assert done.returncode == 0, f"after life {i}: {done.stderr}"
    process, client = place.start()
    end = time.monotonic() + 60
    for env, digest in environments.items():
        while True:
            e = expect(client.get(f"/v1/environments/{env}"), 200)
            if e["build"]["status"] == "succeeded":
                assert e["build"]["artifact"] == digest, "another artifact than build-env makes"
                break
            assert e["build"]["status"] in ("queued", "running") and time.monotonic() < end, e["build"]
            time.sleep(0.1)
    for session, (env, artifact) in pins.items():
        pin = expect(client.get(f"/v1/sessions/{session}/environment?wait=20"), 200)
        assert pin["status"] == "ready" and pin["artifact"] == environments[env], pin
        assert artifact in (None, pin["artifact"])
    process.terminate()
    assert process.wait(30) == 0
    done = place.env("verify")
    assert done.returncode == 0, done.stderr
    print(f"ok    killed_in_the_middle_of_builds: {TIMES} lives, {len(environments)} environments, {len(pins)} pins",
          flush=True)
    place.close()


def collecting_beside_pins():
    place = Place()
    sets = usable_sets(place)
    process, client = place.start()
    stop = time.monotonic() + GC_SECONDS
    pins, mutex, problems, collected = {}, threading.Lock(), [], []

    def collect():
        while time.monotonic() < stop:
            done = place.env("gc", "--grace", GRACE, "--json")
            if done.returncode:
                problems.append(done.stderr)
            collected.append(done.stdout)

    def work(n):
        rng, c = random.Random(n), Client(client.port, None)
        environments = {}
        while time.monotonic() < stop:
            key = rng.choice(list(sets))
            if key not in environments:
                environments[key] = create(c, *key)["id"]
            session = f"s{n}-{rng.randrange(6)}"
            if rng.random() < 0.5:
                reply = c.put(f"/v1/sessions/{session}/environment?wait=20", {"environment_id": environments[key]})
                if reply.status == 201:
                    with mutex:
                        pins[session] = reply.json["artifact"]
                    if reply.json["artifact"] != sets[key]:
                        problems.append(f"{key} became {reply.json['artifact']}")
                elif reply.status not in (409, 202):
                    problems.append(reply.raw)
            else:
                if c.delete(f"/v1/sessions/{session}/environment").status == 200:
                    with mutex:
                        pins.pop(session, None)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)] + [threading.Thread(target=collect)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems, problems[0]
    for artifact in set(pins.values()):
        done = place.env("verify", artifact)
        assert done.returncode == 0, f"pinned {artifact}: {done.stderr}"
    for session in pins:
        expect(client.delete(f"/v1/sessions/{session}/environment"), 200)
    place.env("gc", "--grace", "0s")
    left = place.env("list", "--json").stdout
    assert not any(a in left for a in sets.values()), "an artifact that nothing pins stayed"
    process.terminate()
    assert process.wait(30) == 0
    print(f"ok    collecting_beside_pins: {len(collected)} collections, {len(pins)} pins held at the end", flush=True)
    place.close()


try:
    killed_in_the_middle_of_builds()
    if GC_SECONDS:
        collecting_beside_pins()
finally:
    for left_over in Place.processes:
        left_over.kill()
