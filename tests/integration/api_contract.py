# SPDX-License-Identifier: Apache-2.0
"""The contract of the API, call by call, error by error, over the test double."""
import http.client
import json
import re
import threading
import time

from api_client import Client, Server, expect, run
from api_schema import Contract

DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
NOBODY = "env_" + "1" * 24
EMPTY = {"apt": [], "cargo": [], "gem": [], "go": [], "npm": [], "pip": []}


def environments_have_their_defaults():
    with Server() as s:
        c = s.client()
        e = expect(c.post("/v1/environments", {"name": "plain"}), 200)
        assert re.match(r"^env_[1-9A-HJ-NP-Za-km-z]{24}$", e["id"]), e["id"]
        assert e["type"] == "environment" and e["scope"] == "organization"
        assert e["description"] is None and e["metadata"] == {} and e["archived_at"] is None
        assert e["config"] == {"type": "cloud", "networking": {"type": "unrestricted"},
                               "packages": EMPTY}
        assert TIME.match(e["created_at"]) and e["updated_at"] == e["created_at"]
        assert e["version"] == 1 and e["build"] is None
        assert expect(c.get(f"/v1/environments/{e['id']}"), 200) == e
        limited = expect(c.post("/v1/environments", {
            "name": "n", "description": "", "config": {"type": "cloud", "networking": {"type": "limited"}}}), 200)
        assert limited["description"] == ""
        assert limited["config"]["networking"] == {
            "type": "limited", "allowed_hosts": [], "allow_package_managers": False,
            "allow_mcp_servers": False}


def updates_keep_what_they_leave_out():
    with Server() as s:
        c = s.client()
        e = expect(c.post("/v1/environments", {
            "name": "a", "description": "d", "metadata": {"x": "1", "y": "2"}}), 200)
        path = f"/v1/environments/{e['id']}"
        same = expect(c.post(path, {}), 200)
        assert same == e, "an empty update changes nothing, not even updated_at"
        u = expect(c.post(path, {"name": "b"}), 200)
        assert u["name"] == "b" and u["description"] == "d" and u["version"] == 1
        assert u["updated_at"] > e["updated_at"]
        u = expect(c.post(path, {"description": None, "metadata": {"x": None, "y": "", "z": "3"}}), 200)
        assert u["description"] is None and u["metadata"] == {"z": "3"}
        u = expect(c.post(path, {"description": ""}), 200)
        assert u["description"] == ""
        u = expect(c.post(path, {"config": {"type": "cloud", "packages": {"pip": ["a"]}}}), 200)
        assert u["version"] == 2 and u["config"]["packages"]["pip"] == ["a"] and u["build"]["job_id"]
        u = expect(c.post(path, {"config": {"type": "cloud", "packages": {"npm": ["b"]}}}), 200)
        assert u["version"] == 3 and u["config"]["packages"]["pip"] == ["a"]
        again = expect(c.post(path, {"config": {"type": "cloud", "packages": {"npm": ["b"]}}}), 200)
        assert again["version"] == 3, "the same config makes no version"
        u = expect(c.post(path, {"config": None}), 200)
        assert u["config"]["packages"] == EMPTY and u["version"] == 4 and u["build"] is None
        expect(c.post(path, {"name": ""}), 400, says="name")


def requests_are_checked_field_by_field():
    cases = [
        ({}, "name: is missing"),
        ({"name": ""}, "name: has 0 characters"),
        ({"name": "n" * 257}, "name: has 257 characters"),
        ({"name": None}, "name: must be a string"),
        ({"name": 5}, "name: must be a string"),
        ({"name": "n", "description": 1}, "description: must be a string or null"),
        ({"name": "n", "scope": "account"}, "scope: only"),
        ({"name": "n", "scope": 1}, "scope: must be"),
        ({"name": "n", "colour": 1}, 'unknown field "colour"'),
        ({"name": "n", "config": "x"}, "config: must be an object"),
        ({"name": "n", "config": {"type": "self_hosted"}}, 'supported: "cloud"'),
        ({"name": "n", "config": {"packages": {"pip": ["ok", "x = = 1"]}}},
         'config.packages.pip[1]: "x = = 1": offset 2'),
        ({"name": "n", "config": {"packages": {"pip": ["--index-url=x"]}}},
         'config.packages.pip[0]: "--index-url=x" starts with "-"'),
        ({"name": "n", "config": {"networking": {"type": "limited", "allowed_hosts": ["http://a.example/"]}}},
         'config.networking.allowed_hosts[0]: "http://a.example/" is a URL; write "a.example"'),
        ({"name": "n", "metadata": []}, "metadata: must be an object"),
    ]
    with Server() as s:
        c = s.client()
        for body, says in cases:
            expect(c.post("/v1/environments", body), 400, says=says)
        for body, says in [({str(i): "v" for i in range(17)}, "at most 16"),
                           ({"k" * 65: "v"}, "the key has 65"), ({"k": "v" * 513}, "the value has 513"),
                           ({"sandbox0.managed_agents.a": "v"}, "reserved")]:
            expect(c.post("/v1/environments", {"name": "n", "metadata": body}), 400,
                   "invalid_metadata", says)
        expect(c.post("/v1/environments", "{"), 400, "invalid_json")
        expect(c.post("/v1/environments", ""), 400, "invalid_json", "is empty")
        expect(c.post("/v1/environments", "[]"), 400, says="body: must be an object")
        e = c.environment()
        expect(c.post(f"/v1/environments/{e['id']}", {"config": {"type": "self_hosted"}}), 400,
               "invalid_config_type_change")


def lists_page_newest_first_while_rows_come():
    with Server() as s:
        c = s.client()
        ids = [c.environment(name=f"e{i}")["id"] for i in range(25)][::-1]
        page = expect(c.get("/v1/environments"), 200)
        assert [e["id"] for e in page["data"]] == ids[:20] and page["next_page"]
        seen, cursor = [], ""
        while cursor is not None:
            page = expect(c.get(f"/v1/environments?limit=7{cursor}"), 200)
            seen += [e["id"] for e in page["data"]]
            c.environment(name="later")
            cursor = page["next_page"] and f"&page={page['next_page']}"
        assert seen == ids, (seen, ids)
        for query in ["limit=0", "limit=101", "limit=x", "limit=-1", "limit=1e2", "page=zzz", "page=%00",
                      "include_archived=yes"]:
            expect(c.get(f"/v1/environments?{query}"), 400, says=query.split("=")[0])


def archived_environments_take_no_change():
    with Server() as s:
        c = s.client()
        e = c.environment("a")
        path = f"/v1/environments/{e['id']}"
        c.wait_build(e["build"]["job_id"])
        expect(c.put("/v1/sessions/early/environment", {"environment_id": e["id"]}), 201)
        a = expect(c.post(path + "/archive"), 200)
        assert TIME.match(a["archived_at"])
        assert expect(c.post(path + "/archive"), 200)["archived_at"] == a["archived_at"]
        expect(c.post(path, {"name": "x"}), 400, "environment_archived")
        expect(c.put("/v1/sessions/s/environment", {"environment_id": e["id"]}), 400,
               "environment_archived")
        expect(c.post("/v1/builds", {"environment_id": e["id"]}), 400, "environment_archived")
        assert expect(c.get("/v1/sessions/early/environment"), 200)["status"] == "ready"
        assert expect(c.put("/v1/sessions/early/environment", {"environment_id": e["id"]}), 201)
        assert expect(c.get("/v1/environments"), 200)["data"] == []
        assert len(expect(c.get("/v1/environments?include_archived=true"), 200)["data"]) == 1


def pinned_environments_are_not_deleted():
    with Server() as s:
        c = s.client()
        e = c.environment("a")
        path = f"/v1/environments/{e['id']}"
        c.wait_build(e["build"]["job_id"])
        expect(c.put("/v1/sessions/s/environment", {"environment_id": e["id"]}), 201)
        expect(c.delete(path), 409, "environment_in_use")
        gone = expect(c.delete("/v1/sessions/s/environment"), 200)
        assert gone == {"session_id": "s", "type": "session_environment_deleted"}
        assert expect(c.delete(path), 200) == {"id": e["id"], "type": "environment_deleted"}
        for reply in (c.get(path), c.delete(path), c.post(path, {}), c.post(path + "/archive"),
                      c.get(path + "/versions"), c.get(path + "/versions/1")):
            expect(reply, 404, "environment_not_found")


def workspaces_do_not_see_each_other():
    with Server() as s:
        mine, other = s.client(0), s.client(1)
        e = mine.environment("a")
        b = mine.wait_build(e["build"]["job_id"])
        expect(mine.put("/v1/sessions/s/environment", {"environment_id": e["id"]}), 201)
        env, build, artifact = f"/v1/environments/{e['id']}", f"/v1/builds/{b['id']}", f"/v1/artifacts/{b['artifact']}"
        for path in (env, env + "/versions", env + "/versions/1", build, build + "/events", build + "/log",
                     artifact, artifact + "/lock", artifact + "/sbom", artifact + f"/blobs/{b['artifact']}",
                     "/v1/sessions/s/environment"):
            expect(other.get(path), 404)
        for path in (env, env + "/archive", build + "/cancel", build + "/retry"):
            expect(other.post(path, {}), 404)
        expect(other.delete(env), 404)
        expect(other.delete("/v1/sessions/s/environment"), 404)
        expect(other.post("/v1/builds", {"environment_id": e["id"]}), 404, "environment_not_found")
        expect(other.put("/v1/sessions/s/environment", {"environment_id": e["id"]}), 404)
        assert expect(other.get("/v1/environments"), 200)["data"] == []
        assert expect(other.get("/v1/builds"), 200)["data"] == []
        # A session's name is the workspace's own.
        theirs = other.environment("a")
        other.wait_build(theirs["build"]["job_id"])
        expect(other.put("/v1/sessions/s/environment", {"environment_id": theirs["id"]}), 201)


def keys_are_required_and_checked():
    with Server() as s:
        for headers in ({"x-api-key": "nonsense"}, {"x-api-key": s.keys[0] + "x"},
                        {"x-api-key": s.keys[0][:-1] + ("a" if s.keys[0][-1] != "a" else "b")},
                        {"authorization": "Bearer nonsense"}, {"authorization": "Basic abc"}):
            expect(Client(s.port, None).get("/v1/environments", headers=headers), 401)
        expect(Client(s.port, None).get("/v1/environments"), 401, "missing_api_key")
        bearer = {"authorization": f"Bearer {s.keys[0]}"}
        expect(Client(s.port, None).get("/v1/environments", headers=bearer), 200)
        # The key is looked at before the body.
        expect(Client(s.port, None).post("/v1/environments", "{"), 401)


def without_keys_only_this_machine_is_served():
    with Server(keys=()) as s:
        c = s.client()
        e = c.environment()
        expect(c.get(f"/v1/environments/{e['id']}", headers={"x-api-key": "anything"}), 200)
        expect(c.get("/v1/environments", headers={"host": "rebound.example.com"}), 403, "foreign_origin")
        expect(c.post("/v1/environments", {"name": "x"},
                      headers={"origin": "https://evil.example.com"}), 403, "foreign_origin")
        expect(c.get("/v1/environments", headers={"origin": f"http://127.0.0.1:{s.port}"}), 200)


def builds_tell_their_story():
    with Server() as s:
        c = s.client()
        e = c.environment("a", "chatty-3")
        b = c.wait_build(e["build"]["job_id"])
        assert b["type"] == "build" and b["status"] == "succeeded" and DIGEST.match(b["artifact"])
        assert b["environment_id"] == e["id"] and b["version"] == 1 and b["attempts"] == 1
        assert TIME.match(b["created_at"]) and TIME.match(b["finished_at"]) and b["failure"] is None
        assert b["managers"]["pip"]["phase"] == "done"
        log = c.get(f"/v1/builds/{b['id']}/log")
        assert log.headers["content-type"].startswith("text/plain")
        assert [line.split(" ", 2)[2] for line in log.raw.decode().splitlines()] == [
            "line 0", "line 1", "line 2"]
        v = expect(c.get(f"/v1/environments/{e['id']}/versions/1"), 200)
        assert v["artifact"] == b["artifact"] and v["build"]["status"] == "succeeded" and DIGEST.match(v["lock"])
        for n in ("2", "0", "x", "-1", "99999999999999999999"):
            expect(c.get(f"/v1/environments/{e['id']}/versions/{n}"), 404, "version_not_found")
        m = expect(c.get(f"/v1/artifacts/{b['artifact']}"), 200)
        assert m["digest"] == b["artifact"] and m["layers"][0]["manager"] == "pip"
        for kind in ("sbom", "provenance", "lock"):
            assert expect(c.get(f"/v1/artifacts/{b['artifact']}/{kind}"), 200)["kind"] == kind
        for bad in ("sha256:" + "0" * 64, "sha256:xyz", "x"):
            expect(c.get(f"/v1/artifacts/{bad}"), 404, "artifact_not_found")


def failures_say_where_and_why():
    with Server("--attempts", "2") as s:
        c = s.client()
        b = c.wait_build(c.environment("fails", "chatty-2")["build"]["job_id"])
        assert b["status"] == "failed" and b["attempts"] == 1, "permanent: tried once"
        f = b["failure"]
        assert (f["manager"], f["package"], f["phase"], f["code"]) == ("pip", "fails", "resolve", "unresolvable")
        assert "cannot be had" in f["message"] and "line 1" in f["log_tail"]
        b = c.wait_build(c.environment("flaky")["build"]["job_id"])
        assert b["status"] == "failed" and b["attempts"] == 2 and b["failure"]["code"] == "network_error"
        e = c.environment("a", networking={"type": "limited"})
        b = c.wait_build(e["build"]["job_id"])
        assert b["failure"]["code"] == "package_managers_not_allowed"
        assert "allow_package_managers" in b["failure"]["message"]
        env = expect(c.get(f"/v1/environments/{e['id']}"), 200)
        assert env["build"]["status"] == "failed"
        assert env["build"]["error"]["code"] == "package_managers_not_allowed"
        failed = expect(c.get("/v1/builds?status=failed"), 200)["data"]
        assert len(failed) == 3
        expect(c.get("/v1/builds?status=dead"), 400, says="status")


def events_stream_and_resume():
    with Server() as s:
        c = s.client()
        e = c.environment("slow-400", "chatty-5")
        path = f"/v1/builds/{e['build']['job_id']}/events"

        def read(last=None):
            connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20)
            connection.request("GET", path, headers={
                "x-api-key": s.keys[0], **({"last-event-id": str(last)} if last else {})})
            response = connection.getresponse()
            assert response.status == 200 and response.headers["content-type"] == "text/event-stream"
            events = []
            for block in response.read().decode().split("\n\n"):
                fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
                if "event" in fields:
                    events.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
            return events

        Client.contract.used.add("streamBuildEvents")  # read by hand, below
        events = read()
        kept = [e for e in events if e[0]]
        assert [int(e[0]) for e in kept] == list(range(1, len(kept) + 1)), events
        assert all(e[0] is None for e in events if e[1] == "progress")
        assert kept[-1][1] == "result" and kept[-1][2]["status"] == "succeeded"
        assert [e[2]["line"] for e in kept if e[1] == "log"] == [f"line {i}" for i in range(5)]
        assert [e for e in read(4) if e[0]] == kept[4:]
        assert [e for e in read(len(kept)) if e[0]] == []
        expect(c.get(path, headers={"last-event-id": "x"}), 400, says="last-event-id")
        expect(c.get(path, headers={"last-event-id": "999999"}), 400, says="last-event-id")


def cancelling_stops_a_build_soon():
    with Server("--jobs", "1") as s:
        c = s.client()
        running = c.environment("slow-60000")["build"]["job_id"]
        queued = c.environment("slow-1", "b")["build"]["job_id"]
        c.wait_build(running, until=("running",))
        b = expect(c.post(f"/v1/builds/{queued}/cancel"), 200)
        assert b["status"] == "cancelled"
        began = time.monotonic()
        expect(c.post(f"/v1/builds/{running}/cancel"), 200)
        assert c.wait_build(running)["status"] == "cancelled"
        assert time.monotonic() - began < 2
        expect(c.post(f"/v1/builds/{running}/cancel"), 200)
        again = expect(c.post(f"/v1/builds/{queued}/retry"), 200)
        assert again["status"] == "queued"
        assert c.wait_build(queued)["status"] == "succeeded"
        expect(c.post(f"/v1/builds/{queued}/cancel"), 409, "build_state")
        expect(c.post(f"/v1/builds/{queued}/retry"), 409, "build_state")


def builds_join_and_replay():
    with Server("--jobs", "1") as s:
        c = s.client()
        first = c.environment("slow-700")
        second = c.environment("slow-700")
        assert first["build"]["job_id"] == second["build"]["job_id"], "equal work joins"
        inline = expect(c.post("/v1/builds", {"config": {"packages": {"pip": ["slow-700"]}}}), 202)
        assert inline["id"] == first["build"]["job_id"]
        key = {"idempotency-key": "k1"}
        body = {"config": {"packages": {"pip": ["other"]}}, "priority": "interactive"}
        one = expect(c.post("/v1/builds", body, headers=key), 202)
        assert one["priority"] == "interactive"
        c.wait_build(one["id"])
        assert expect(c.post("/v1/builds", body, headers=key), 202)["id"] == one["id"]
        body["priority"] = "warm"
        expect(c.post("/v1/builds", body, headers=key), 409, "idempotency_key_reused")
        for b, says in [({}, "either environment_id or config"),
                        ({"config": {}, "environment_id": "x"}, "either"),
                        ({"config": {}}, "declares no package"),
                        ({"config": {"packages": {"pip": ["a"]}}, "version": 1}, "version: goes with"),
                        ({"environment_id": 5}, "environment_id: must be a string"),
                        ({"environment_id": first["id"], "version": 0}, "version: must be"),
                        ({"environment_id": first["id"], "version": "1"}, "version: must be"),
                        ({"environment_id": first["id"], "refresh": 1}, "refresh: must be"),
                        ({"environment_id": first["id"], "priority": "high"}, "priority: must be"),
                        ({"environment_id": first["id"], "x": 1}, "unknown field")]:
            expect(c.post("/v1/builds", b), 400, says=says)
        expect(c.post("/v1/builds", {"environment_id": NOBODY}), 404, "environment_not_found")
        expect(c.post("/v1/builds", {"environment_id": first["id"], "version": 9}), 404, "version_not_found")


def versions_keep_their_lock_and_refresh_makes_a_new_one():
    with Server() as s:
        c = s.client()
        e = c.environment("a")
        first = c.wait_build(e["build"]["job_id"])
        again = expect(c.post("/v1/builds", {"environment_id": e["id"], "version": 1}), 202)
        assert c.wait_build(again["id"])["artifact"] == first["artifact"]
        key = {"idempotency-key": "refresh-1"}
        fresh = expect(c.post("/v1/builds", {"environment_id": e["id"], "refresh": True}, headers=key), 202)
        assert fresh["version"] == 2 and fresh["refresh"] is True
        c.wait_build(fresh["id"])
        replay = expect(c.post("/v1/builds", {"environment_id": e["id"], "refresh": True}, headers=key), 202)
        assert replay["id"] == fresh["id"]
        versions = expect(c.get(f"/v1/environments/{e['id']}/versions"), 200)["data"]
        assert [v["version"] for v in versions] == [2, 1]
        # Networking is no part of an artifact: such a version is ready at once.
        u = expect(c.post(f"/v1/environments/{e['id']}", {"config": {"type": "cloud", "networking": {
            "type": "limited"}}}), 200)
        assert u["version"] == 3 and u["build"]["status"] == "succeeded"
        page = expect(c.get(f"/v1/environments/{e['id']}/versions?limit=2"), 200)
        assert [v["version"] for v in page["data"]] == [3, 2]
        rest = expect(c.get(f"/v1/environments/{e['id']}/versions?limit=2&page={page['next_page']}"), 200)
        assert [v["version"] for v in rest["data"]] == [1] and rest["next_page"] is None


def pins_are_snapshots():
    with Server() as s:
        c = s.client()
        e = c.environment("a", networking={
            "type": "limited", "allowed_hosts": ["Z.example.com"], "allow_package_managers": True,
            "allow_mcp_servers": True})
        path = "/v1/sessions/sess_1/environment"
        body = {"environment_id": e["id"], "agent": {"mcp_servers": [
            {"type": "url", "url": "https://MCP.example.com/sse", "name": "m"}]},
            "vault_hosts": ["vault.example.com"]}
        c.wait_build(e["build"]["job_id"])
        p = expect(c.put(path, body), 201)
        assert p["status"] == "ready" and DIGEST.match(p["artifact"]) and p["layers"]
        assert p["environment"] == e["config"] and p["version"] == 1
        assert p["env"]["path"] == ["/opt/managed-env/pip/venv/bin"]
        assert p["environment_artifact"] == {
            "compatibility": {"os": "linux", "arch": "amd64"},
            "assets": {"pip": {"mount_path": "/opt/managed-env/pip"}}}
        assert p["network_policy"] == {"mode": "block-all", "allowed_domains": [
            "files.example.com", "mcp.example.com", "pip.example.com", "platform.example.com",
            "vault.example.com", "z.example.com"]}
        assert expect(c.put(path, body), 201) == p, "the same body gives the same pin"
        expect(c.put(path, {"environment_id": e["id"]}), 409, "session_already_pinned")
        expect(c.post(f"/v1/environments/{e['id']}", {"config": {"type": "cloud", "networking": {
            "type": "unrestricted"}, "packages": {"pip": ["other"]}}}), 200)
        assert expect(c.get(path), 200) == p, "nothing changes a pin"
        expect(c.delete(path), 200)
        expect(c.get(path), 404, "session_not_pinned")
        expect(c.delete(path), 404, "session_not_pinned")
        old = expect(c.put(path, {"environment_id": e["id"], "version": 1}), 201)
        assert old["version"] == 1 and old["artifact"] == p["artifact"]
        empty = c.environment()
        p = expect(c.put("/v1/sessions/none/environment", {"environment_id": empty["id"]}), 201)
        assert p["artifact"] is None and p["layers"] == [] and p["status"] == "ready"
        assert p["network_policy"] == {"mode": "allow-all"}
        for b, says in [({}, "environment_id: is missing"), ({"environment_id": 1}, "environment_id: must be"),
                        ({"environment_id": e["id"], "version": 1.5}, "version: must be"),
                        ({"environment_id": e["id"], "agent": []}, "agent: must be an object"),
                        ({"environment_id": e["id"], "agent": {"mcp_servers": {}}}, "agent.mcp_servers: must"),
                        ({"environment_id": e["id"], "agent": {"mcp_servers": [1]}}, "agent.mcp_servers[0]"),
                        ({"environment_id": e["id"], "agent": {"mcp_servers": [{"type": "url"}]}},
                         "agent.mcp_servers[0].url"),
                        ({"environment_id": e["id"], "agent": {"mcp_servers": [{"type": "url", "url": "x"}]}},
                         "agent.mcp_servers[0].url"),
                        ({"environment_id": e["id"], "vault_hosts": ["https://v.example.com"]},
                         "vault_hosts[0]"),
                        ({"environment_id": e["id"], "extra": 1}, "unknown field")]:
            expect(c.put("/v1/sessions/bad/environment", b), 400, says=says)
        for name in ("a%20b", "a" * 129, "%2e%2e", "x%0ay"):
            assert c.put(f"/v1/sessions/{name}/environment", body).status in (400, 404)
        expect(c.put("/v1/sessions/x/environment", {"environment_id": NOBODY}), 404, "environment_not_found")
        expect(c.put("/v1/sessions/x/environment", {"environment_id": e["id"], "version": 77}), 404,
               "version_not_found")


def pins_wait_for_their_build():
    with Server() as s:
        c = s.client()
        e = c.environment("slow-600")
        path = "/v1/sessions/s/environment"
        p = expect(c.put(path, {"environment_id": e["id"]}), 202)
        assert p["status"] == "building" and p["artifact"] is None and p["version"] == 1
        expect(c.post(f"/v1/environments/{e['id']}", {"config": {"type": "cloud", "packages": {"pip": ["b"]}}}), 200)
        assert expect(c.get(path), 200)["status"] == "building"
        p = expect(c.put(path + "?wait=10", {"environment_id": e["id"]}), 201)
        assert p["status"] == "ready" and p["version"] == 1 and DIGEST.match(p["artifact"])
        slow = c.environment("slow-20000")
        began = time.monotonic()
        p = expect(c.put("/v1/sessions/t/environment?wait=1", {"environment_id": slow["id"]}), 202)
        assert 0.8 < time.monotonic() - began < 3 and p["status"] == "building"
        expect(c.post(f"/v1/builds/{p['build_id']}/cancel"), 200)
        c.wait_build(p["build_id"])
        assert expect(c.get("/v1/sessions/t/environment"), 200)["status"] == "failed"
        expect(c.put("/v1/sessions/t/environment", {"environment_id": slow["id"]}), 409, "build_failed")
        bad = c.environment("fails")
        c.wait_build(bad["build"]["job_id"])
        reply = c.put("/v1/sessions/u/environment", {"environment_id": bad["id"]})
        expect(reply, 409, "build_failed")
        assert reply.json["error"]["details"]["failure"]["package"] == "fails"
        assert reply.headers["x-should-retry"] == "false"
        expect(c.put(path + "?wait=301", {"environment_id": e["id"]}), 400, says="wait")


def quotas_answer_429_with_a_time():
    with Server("--queued", "2", "--jobs", "0") as s:
        c = s.client()
        c.environment("a")
        c.environment("b")
        reply = c.post("/v1/environments", {"name": "n", "config": {"packages": {"pip": ["c"]}}})
        expect(reply, 429, "too_many_queued_builds")
        assert int(reply.headers["retry-after"]) > 0
        assert len(expect(c.get("/v1/environments"), 200)["data"]) == 2, "nothing is left of it"
        c.environment("a")  # joins
        c.environment()     # needs no build


def blobs_come_whole_and_in_ranges():
    want = bytes(i % 251 for i in range(1000000))
    with Server() as s:
        c = s.client()
        artifact = c.wait_build(c.environment("a")["build"]["job_id"])["artifact"]
        path = f"/v1/artifacts/{artifact}/blobs/{artifact}"
        r = c.get(path)
        assert r.status == 200 and r.raw == want and r.headers["accept-ranges"] == "bytes"
        for header, first, last in [("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=999990-", 999990, 999999),
                                    ("bytes=-5", 999995, 999999), ("bytes=999999-5000000", 999999, 999999),
                                    ("bytes=-5000000", 0, 999999), ("bytes=262140-262150", 262140, 262150)]:
            r = c.get(path, headers={"range": header})
            assert r.status == 206 and r.raw == want[first:last + 1], header
            assert r.headers["content-range"] == f"bytes {first}-{last}/1000000"
        for header in ("bytes=1000000-", "bytes=-0"):
            r = c.get(path, headers={"range": header})
            assert r.status == 416 and r.headers["content-range"] == "bytes */1000000"
        for header in ("bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=-"):
            assert c.get(path, headers={"range": header}).raw == want, header
        etag = c.get(path, headers={"range": "bytes=0-0"}).headers["etag"]
        assert c.get(path, headers={"if-none-match": etag}).status == 304
        assert c.get(path, headers={"range": "bytes=0-0", "if-range": '"other"'}).status == 200
        assert c.call("HEAD", path).headers["content-length"] == "1000000"
        expect(c.get(f"/v1/artifacts/{artifact}/blobs/sha256:{'0' * 64}"), 404, "blob_not_found")
        expect(c.get(f"/v1/artifacts/{artifact}/blobs/..%2f..%2fetc"), 404)


def concurrent_updates_lose_nothing():
    with Server() as s:
        e = s.client().environment()
        failures = []

        def work(n):
            c = s.client()
            for i in range(10):
                r = c.post(f"/v1/environments/{e['id']}", {"metadata": {f"k{n}": str(i)}, "config": {
                    "type": "cloud", "packages": {("pip", "npm", "gem", "cargo")[n]: [f"p{i}"]}}})
                if r.status != 200:
                    failures.append(r.raw)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures[0]
        e = expect(s.client().get(f"/v1/environments/{e['id']}"), 200)
        assert e["metadata"] == {f"k{n}": "9" for n in range(4)}
        assert e["version"] == 41
        for m in ("pip", "npm", "gem", "cargo"):
            assert e["config"]["packages"][m] == ["p9"], e["config"]


def operations_answer():
    with Server() as s:
        nobody = Client(s.port, None)
        assert nobody.get("/healthz").json == {"status": "ok"}
        assert nobody.get("/readyz").json["status"] == "ready"
        metrics = nobody.get("/metrics")
        assert metrics.status == 200 and metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        for line in metrics.raw.decode().splitlines():
            assert re.match(r"^(# (HELP|TYPE) strata_\w+ .+|strata_\w+(\{[^}]*\})? [0-9.]+)$", line), line
        assert b"strata_queue_queued 0" in metrics.raw
        page = nobody.get("/")
        assert page.status == 200 and page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert nobody.get("/openapi.json").json["openapi"].startswith("3.1")
        expect(nobody.get("/nothing"), 404, "no_such_path")
        r = nobody.post("/healthz", {})
        expect(r, 405, "method_not_allowed")
        assert r.headers["allow"] == "GET, HEAD"
        assert nobody.call("HEAD", "/healthz").status == 200


def draining_hands_builds_back():
    s = Server("--jobs", "1")
    c = s.client()
    job = c.environment("slow-60000")["build"]["job_id"]
    c.wait_build(job, until=("running",))
    began = time.monotonic()
    status, text = s.stop()
    assert status == 0, text
    assert time.monotonic() - began < 8
    second = Server("--jobs", "0", db=s.db)
    second.keys = s.keys
    b = expect(second.client().get(f"/v1/builds/{job}"), 200)
    assert b["status"] == "queued" and b["attempts"] == 0, b
    status, text = second.stop()
    assert status == 0, text
    s.clean()
    second.clean()


def every_operation_of_the_contract_was_seen():
    declared = {o["operationId"] for item in Client.contract.document["paths"].values() for o in item.values()}
    assert not declared - Client.contract.used, declared - Client.contract.used


with Server() as first:
    Client.contract = Contract(first.client().get("/openapi.json").json)
run([v for k, v in list(globals().items()) if callable(v) and getattr(v, "__module__", "") == "__main__"])
