# SPDX-License-Identifier: Apache-2.0
"""build-env with --server: against the API over the test double, and a real build-worker whose
digests must be those of a local build. Usage: api_remote.py API_SERVER BUILD_ENV BUILD_WORKER"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import api_client
from api_client import Client, Server, expect
from fixture_registry import FixtureRegistry

API_SERVER, BUILD_ENV, BUILD_WORKER = sys.argv[1:4]
TOP = tempfile.mkdtemp(prefix="strata-remote-")
api_client.SERVER = API_SERVER


def environment(**more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STRATA_") and "proxy" not in k.lower()}
    return {**clean, "STRATA_HOME": os.path.join(TOP, "home"), "XDG_CONFIG_HOME": TOP, **more}


def write(name, text):
    path = os.path.join(TOP, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def run(*args, key=None, status=0, says="", env=None):
    more = {**({"STRATA_API_KEY": key} if key else {}), **(env or {})}
    done = subprocess.run([BUILD_ENV, *args], env=environment(**more), capture_output=True, text=True, timeout=60,
                          cwd=TOP)
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    assert says in done.stderr, (args, says, done.stderr)
    assert not key or key not in done.stdout + done.stderr, "the key is shown"
    return done


def url(server):
    return f"http://127.0.0.1:{server.port}"


def a_build_there_ends_like_one_here(s):
    at, key = ("--server", url(s)), s.keys[0]
    done = run("build", *at, "--pip", "six", key=key)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", done.stdout), done.stdout
    result = json.loads(run("build", *at, "--pip", "six", "--json", key=key).stdout)
    assert result["artifact"] == done.stdout.strip() and result["build"].startswith("bld_")
    assert set(result["managers"]) == {"pip"}
    done = run("build", *at, "--pip", "fails", "--json", key=key, status=3, says="fails cannot be had")
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["manager"], error["package"]) == ("unresolvable", "pip", "fails"), error
    done = run("build", *at, "--pip", "chatty-5", "--pip", "slow-700==1", key=key)
    assert [f"line {i}" in done.stderr for i in range(5)] == [True] * 5 and "pip: resolving" in done.stderr
    assert run("build", *at, "--pip", "chatty-5", "--quiet", key=key).stderr == ""
    assert not os.path.exists(os.path.join(TOP, "home")), "nothing is kept here"


def mistakes_are_told_before_and_after(s):
    at, key = ("--server", url(s)), s.keys[0]
    run("build", *at, "--pip", "six", status=1, says="missing_api_key")
    run("build", *at, "--pip", "six", key="sk-strata-wrong", status=1, says="invalid_api_key")
    run("build", *at, "--pip", "six", key="a b", status=2, says="characters that no key has")
    run("build", "--server", url(s) + "/elsewhere", "--pip", "six", key=key, status=1, says="no_such_path")
    run("build", "--server", "127.0.0.1:1", "--pip", "six", key=key, status=2, says="write http://")
    run("build", "--server", "http://127.0.0.1:1", "--pip", "six", key=key, status=4, says="127.0.0.1:1/v1/builds")
    for option in (["--offline"], ["--threads", "2"], ["--compression", "gzip"], ["--no-bytecode"],
                   ["--exclude-newer", "7d"]):
        run("build", *at, *option, "--pip", "six", key=key, status=2, says="the server decides it")
    run("build", *at, "--pip", "-r x", key=key, status=2, says="starts with")
    run("build", *at, "missing.yaml", key=key, status=2)
    for text, what in [("policy: {exclude_newer: 7d}", "policy"), ("platform: {python: \"3.11\"}", "platform")]:
        path = write("odd.yaml", f"name: n\nconfig: {{packages: {{pip: [six]}}}}\n{text}\n")
        run("build", *at, path, key=key, status=2, says=what)
    run("build", *at, write("none.yaml", "name: n\n"), key=key, status=2, says="declares no package")


def keys_of_files_stay_with_their_server(s):
    at, key = ("--server", url(s)), s.keys[0]
    good = write("good.yaml", f"server: {url(s)}\napi_key: {key}\n")
    run("build", *at, "--config", good, "--pip", "six")
    other = write("other.yaml", f"server: https://other.example.com\napi_key: {key}\n")
    done = run("build", *at, "--config", other, "--pip", "six", status=1, says="is not sent")
    assert "missing_api_key" in done.stderr and key not in done.stderr
    run("build", *at, "--config", other, "--pip", "six", env={"STRATA_SERVER": url(s)}, status=2,
        says="needs server beside it")
    alone = write("alone.yaml", f"api_key: {key}\n")
    run("build", *at, "--config", alone, "--pip", "six", status=2, says="needs server beside it")
    doctor = subprocess.run([BUILD_ENV, "doctor", "--config", good], env=environment(), capture_output=True, text=True,
                            timeout=60)
    assert "api_key" in doctor.stdout and key not in doctor.stdout + doctor.stderr


def an_interrupt_cancels_it_there_too(s):
    client = s.client()
    process = subprocess.Popen([BUILD_ENV, "build", "--server", url(s), "--pip", "slow-30000==1"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment(STRATA_API_KEY=s.keys[0]))
    end = time.monotonic() + 20
    while not expect(client.get("/v1/builds?status=running"), 200)["data"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and out == "" and "is cancelled" in err, (process.returncode, err)
    newest = expect(client.get("/v1/builds"), 200)["data"][0]
    assert client.wait_build(newest["id"])["status"] == "cancelled"


def who_joined_cancels_nobody(s):
    client = s.client()
    first = expect(client.post("/v1/builds", {"config": {"packages": {"pip": ["slow-3000==7"]}}}), 202)
    assert first["joined"] is False
    process = subprocess.Popen([BUILD_ENV, "build", "--server", url(s), "--pip", "slow-3000==7"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment(STRATA_API_KEY=s.keys[0]))
    for line in process.stderr:
        if "resolving" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and first["id"] in err and "goes on" in err, err
    assert client.wait_build(first["id"])["status"] == "succeeded"


def warming_is_quiet_and_has_the_worst_status(s):
    at, key = ("--server", url(s)), s.keys[0]
    good = write("a.yaml", "name: a\nconfig: {packages: {pip: [six]}}\n")
    bad = write("b.yaml", "name: b\nconfig: {packages: {pip: [fails]}}\n")
    broken = write("c.yaml", "name: c\nconfig: {packages: {pip: [\"foo = = 1\"]}}\n")
    done = run("warm", *at, good, "--quiet", key=key)
    assert done.stderr == "" and done.stdout.endswith(f" {good}\n")
    done = run("warm", *at, good, bad, broken, "--quiet", "--json", key=key, status=3)
    rows = json.loads(done.stdout)
    assert [sorted(r) for r in rows] == [["artifact", "build", "cached", "file"], ["build", "error", "file"],
                                         ["error", "file"]], rows
    newest = expect(s.client().get("/v1/builds?limit=1"), 200)["data"][0]
    assert newest["priority"] == "warm"


def a_server_that_dies_and_comes_back_is_waited_for(s):
    db = os.path.join(TOP, "again.db")
    first = Server("--lease-ms", "3000", keys=("w",), db=db)
    process = subprocess.Popen([BUILD_ENV, "build", "--server", url(first), "--pip", "slow-1500==1"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment(STRATA_API_KEY=first.keys[0]))
    for line in process.stderr:
        if "resolving" in line:
            break
    first.process.kill()
    first.process.wait()
    again = Server("--lease-ms", "3000", "--port", str(first.port), keys=(), db=db)
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0 and out.startswith("sha256:"), (process.returncode, err)
    again.stop()


def a_real_worker_gives_the_digest_of_a_local_build(s):
    registry = FixtureRegistry()
    config = write("real.yaml", registry.config())
    home = os.path.join(TOP, "worker")
    key = subprocess.run([BUILD_WORKER, "key", "create", "--workspace", "w", "--quiet", "--home", home],
                         env=environment(), capture_output=True, text=True, check=True).stdout.strip()
    worker = subprocess.Popen([BUILD_WORKER, "serve", "--home", home, "--listen", "127.0.0.1:0", "--config", config],
                              stderr=subprocess.PIPE, text=True, env=environment())
    for line in worker.stderr:
        found = re.search(r"listening on (http://127\.0\.0\.1:\d+)/", line)
        if found:
            break
    file = write("real-env.yaml", "name: r\nconfig: {packages: {pip: [alpha], npm: [app]}}\n")
    there = run("build", "--server", found.group(1), file, key=key).stdout
    here = run("build", file, "--config", config).stdout
    assert there == here and there.startswith("sha256:"), (there, here)
    worker.send_signal(signal.SIGTERM)
    worker.stderr.read()
    assert worker.wait(30) == 0
    registry.close()


def main():
    failed = 0
    with Server(keys=("ws1",)) as s:
        for test in [a_build_there_ends_like_one_here, mistakes_are_told_before_and_after,
                     keys_of_files_stay_with_their_server, an_interrupt_cancels_it_there_too,
                     who_joined_cancels_nobody, warming_is_quiet_and_has_the_worst_status,
                     a_server_that_dies_and_comes_back_is_waited_for,
                     a_real_worker_gives_the_digest_of_a_local_build]:
            try:
                test(s)
                print("ok   ", test.__name__, flush=True)
            except Exception:  # noqa: BLE001 - every failure is reported the same
                import traceback
                traceback.print_exc()
                failed += 1
    sys.exit(1 if failed else 0)


main()
