# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm, or are broken: each gets an answer or a closed connection, and others
are served meanwhile."""
import json
import socket
import statistics
import threading
import time

from api_client import Client, Server, expect, run


def raw(port, data, timeout=10, pieces=None, pause=0.0):
    """Sends bytes, returns what comes until the server closes or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        try:
            for piece in (pieces or [data]):
                s.sendall(piece)
                if pause:
                    time.sleep(pause)
        except OSError:
            pass
        out = b""
        try:
            while chunk := s.recv(65536):
                out += chunk
        except OSError:
            pass
        return out


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def request(s, method, path, body=b"", extra=b"", close=True):
    return (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {s.keys[0]}\r\n".encode()
            + (b"Connection: close\r\n" if close else b"") + extra
            + (b"Content-Length: %d\r\n" % len(body) if body else b"") + b"\r\n" + body)


def still_serves(s, within=1.5):
    began = time.monotonic()
    expect(s.client().get("/v1/environments"), 200)
    took = time.monotonic() - began
    assert took < within, took


def slow_senders_are_cut_off_and_hold_up_nobody():
    with Server("--receive-ms", "1500") as s:
        head = request(s, "POST", "/v1/environments", extra=b"Content-Length: 100\r\n")
        slow = [head[:40], head[:-2], head, head + b"{"]
        sockets = []
        for i in range(80):
            k = socket.create_connection(("127.0.0.1", s.port), timeout=10)
            k.sendall(slow[i % 4])
            sockets.append(k)
        began = time.monotonic()
        while time.monotonic() - began < 1.2:
            for k in sockets:  # a byte now and then, so that none is idle
                try:
                    k.sendall(b"x")
                except OSError:
                    pass
            still_serves(s)
            time.sleep(0.1)
        for k in sockets:
            k.settimeout(6)
            try:
                while k.recv(4096):
                    pass
            except ConnectionError:
                pass
            k.close()
        assert time.monotonic() - began < 6, "slow senders were not cut off"
        still_serves(s)


def huge_requests_are_refused():
    with Server() as s:
        answers = {
            "long path": raw(s.port, request(s, "GET", "/v1/" + "a" * 40000)),
            "long header": raw(s.port, request(s, "GET", "/v1/environments", extra=b"x: " + b"a" * 40000 + b"\r\n")),
            "20 KiB of headers": raw(s.port, request(s, "GET", "/v1/environments", extra=b"".join(
                b"x%d: %s\r\n" % (i, b"a" * 90) for i in range(200)))),
            "many headers": raw(s.port, request(s, "GET", "/v1/environments", extra=b"".join(
                b"x%d: y\r\n" % i for i in range(5000)))),
        }
        for what, answer in answers.items():
            assert status_of(answer) in (0, 400, 413, 414, 431), (what, answer[:200])
        r = s.client().post("/v1/environments", b'{"name":"' + b"a" * (1 << 20) + b'"}')
        expect(r, 413, "request_too_large")
        declared = raw(s.port, request(s, "POST", "/v1/environments", extra=b"Content-Length: 99999999999\r\n"))
        assert status_of(declared) == 413, declared[:200]
        nonsense = raw(s.port, request(s, "POST", "/v1/environments", extra=b"Content-Length: -5\r\n"))
        assert status_of(nonsense) in (0, 400, 413), nonsense[:200]
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        endless = raw(s.port, b"", pieces=[request(s, "POST", "/v1/environments",
                                                   extra=b"Transfer-Encoding: chunked\r\n")] + [chunk] * 200)
        assert status_of(endless) in (0, 413), endless[:200]
        some = raw(s.port, b"", pieces=[request(s, "POST", "/v1/environments",
                                                extra=b"Transfer-Encoding: chunked\r\n")] + [chunk] * 20 + [b"0\r\n\r\n"])
        assert status_of(some) == 413, some[:200]
        still_serves(s)


def broken_http_is_answered_or_cut():
    with Server() as s:
        for data in [b"\r\n\r\n", b"GET\r\n\r\n", b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100,
                     b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n x: folded\r\n\r\n",
                     b"POST /v1/environments HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                     b"POST /v1/environments HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"BREW / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                     b"GET //v1//environments HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                     b"GET http://other.example.com/v1/environments HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]:
            with socket.create_connection(("127.0.0.1", s.port), timeout=2) as k:
                k.sendall(data)
                k.shutdown(socket.SHUT_WR)
                out = b""
                try:
                    while chunk := k.recv(65536):
                        out += chunk
                except OSError:
                    pass
                assert status_of(out) not in (500, 501) or b"HTTP/9.9" in data or b"PRI" in data, (data, out[:200])
                assert status_of(out) != 200 or data.startswith(b"GET / HTTP/1.1"), (data, out[:200])
        still_serves(s)


def pipelined_requests_are_answered_in_order():
    with Server() as s:
        bodies = [json.dumps({"name": f"p{i}"}).encode() for i in range(30)]
        data = b"".join(request(s, "POST", "/v1/environments", b, close=False) for b in bodies)
        data += request(s, "GET", "/v1/environments?limit=100")
        answer = raw(s.port, data)
        assert answer.count(b"HTTP/1.1 200") == 31, answer[:500]
        names = [f"p{i}" for i in range(30)]
        at = [answer.index(f'"name":"{n}"'.encode()) for n in names]
        assert at == sorted(at)
        still_serves(s)


def bodies_of_every_wrong_kind_are_refused():
    with Server() as s:
        c = s.client()
        env = c.environment("a")["id"]
        paths = [("POST", "/v1/environments"), ("POST", f"/v1/environments/{env}"), ("POST", "/v1/builds"),
                 ("PUT", "/v1/sessions/x/environment")]
        broken = [b"\xff\xfe{}", b'{"name":"\xff"}', b'{"name":"\xc3"}', b'{"name":"\xed\xa0\x80"}',
                  b'{"name":"a","name":"b"}', b'{"name":"a\\u0000b"}', b"[" * 100000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
                  b'{"name":"a"}x', b"nul", b'"text"', b"1e999", b'{"name":1e999}', b'{"name":NaN}', b"\x00",
                  b'{"name":"a",}', b"{'name':'a'}", b'{"name":"a"' + b" " * 500000]
        for method, path in paths:
            for body in broken:
                reply = c.call(method, path, body)
                expect(reply, 400)
        wrong = [None, True, False, 0, -1, 1.5, 1 << 70, "", "x", [], ["x"], [[]], {}, {"x": 1}, [None], "\u0000"]
        fields = {"/v1/environments": ["name", "description", "config", "metadata", "scope"],
                  f"/v1/environments/{env}": ["name", "description", "config", "metadata", "scope"],
                  "/v1/builds": ["environment_id", "version", "refresh", "priority", "config"],
                  "/v1/sessions/y/environment": ["environment_id", "version", "agent", "vault_hosts"]}
        good = {"/v1/environments": {"name": "n"}, f"/v1/environments/{env}": {},
                "/v1/builds": {"environment_id": env}, "/v1/sessions/y/environment": {"environment_id": env}}
        for path, names in fields.items():
            method = "PUT" if "sessions" in path else "POST"
            for name in names:
                for value in wrong:
                    reply = c.call(method, path, {**good[path], name: value})
                    assert reply.status in (200, 201, 202, 400, 404, 409), (path, name, value, reply.raw[:300])
                    if reply.status == 400:
                        expect(reply, 400)
                    c.delete("/v1/sessions/y/environment")
        deep = {"config": {"networking": {"type": "limited", "allowed_hosts": None}, "packages": {}}}
        for spot in ("networking", "packages"):
            for value in wrong:
                reply = c.post("/v1/environments", {"name": "n", "config": {spot: value}})
                assert reply.status in (200, 400), reply.raw
        for manager in ("apt", "cargo", "gem", "go", "npm", "pip", "type"):
            for value in wrong:
                reply = c.post("/v1/environments", {"name": "n", "config": {"packages": {manager: value}}})
                assert reply.status in (200, 400), reply.raw
        for flag in ("allowed_hosts", "allow_package_managers", "allow_mcp_servers", "type"):
            for value in wrong:
                deep["config"]["networking"] = {"type": "limited", flag: value}
                reply = c.post("/v1/environments", {"name": "n", **deep})
                assert reply.status in (200, 400), reply.raw
        still_serves(s)


def paths_lead_nowhere_else():
    with Server() as s:
        c = s.client()
        env = c.environment()["id"]
        for path in ["/..", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/environments/..",
                     f"/v1/environments/{env}/../{env}", f"/v1/environments/{env}%2f..", "/v1/environments/%00",
                     f"/v1/environments/{env}%00", "/v1/environments/%", "/v1/environments/%zz", "/v1/environments/",
                     "/v1//environments", "//v1/environments", f"/v1/environments/{env}/", f"/V1/environments/{env}",
                     f"/v1/environments/{env};x", f"/v1/environments/{env.lower()}", "/v1/environments/env_%F0%9F%92%A9",
                     "/v1/artifacts/..%2F..%2Fetc%2Fpasswd", "/v1/artifacts/sha256:..%2f..", "/v1/builds/%2e%2e/log",
                     "/v1/sessions/..%2f..%2fx/environment", "/dashboard.html", "/assets/dashboard.html",
                     "/v1/environments/env_' OR 1=1 --".replace(" ", "%20"), "/v1/environments/" + "a" * 5000]:
            reply = c.get(path)
            assert reply.status in (400, 404), (path, reply.status, reply.raw[:200])
            assert b"root:" not in reply.raw
        for query in ["limit=5&limit=6", "limit=%35", "page=%27", "limit=5%00", "%zz=1", "&&&", "=", "limit=99999999999999999999",
                      "include_archived=TRUE", "page=" + "A" * 5000]:
            reply = c.get(f"/v1/environments?{query}")
            assert reply.status in (200, 400), (query, reply.raw[:200])


def wrong_keys_take_the_same_time():
    """Not a proof; it would catch a comparison that ends at the first wrong byte of long keys, or
    a look-up that is skipped."""
    with Server() as s:
        right = s.keys[0]
        flip = "a" if right[-1] != "a" else "b"
        kinds = {"last byte": right[:-1] + flip, "first byte of the secret": right[:35] + ("a" if right[35] != "a" else "b") + right[36:]}
        times = {k: [] for k in kinds}
        c = Client(s.port, None)
        for _ in range(300):
            for kind, key in kinds.items():
                began = time.perf_counter()
                reply = c.get("/v1/environments/x", headers={"x-api-key": key})
                times[kind].append(time.perf_counter() - began)
                assert reply.status == 401
        a, b = (statistics.median(t) for t in times.values())
        assert abs(a - b) < 0.0005, (a, b)


def many_idle_streams_cost_nothing():
    with Server("--jobs", "1") as s:
        c = s.client()
        build = c.environment("slow-8000")["build"]["job_id"]
        sockets = []
        for _ in range(200):
            k = socket.create_connection(("127.0.0.1", s.port), timeout=10)
            k.sendall(request(s, "GET", f"/v1/builds/{build}/events", close=False))
            sockets.append(k)
        time.sleep(0.5)
        times = []
        for _ in range(200):
            began = time.perf_counter()
            expect(c.get("/v1/environments"), 200)
            times.append(time.perf_counter() - began)
        assert statistics.median(times) < 0.02, statistics.median(times)
        for k in sockets[:100]:
            k.close()  # without a word
        expect(c.post(f"/v1/builds/{build}/cancel"), 200)
        for k in sockets[100:]:
            out = b""
            while b"event: result" not in out:
                more = k.recv(65536)
                assert more, out[-300:]
                out += more
            k.close()
        still_serves(s)


def clients_that_vanish_are_forgotten():
    with Server("--jobs", "1") as s:
        c = s.client()
        env = c.environment("slow-3000")["id"]
        for i in range(50):
            k = socket.create_connection(("127.0.0.1", s.port), timeout=10)
            body = json.dumps({"environment_id": env}).encode()
            k.sendall(request(s, "PUT", f"/v1/sessions/v{i}/environment?wait=60", body, close=False))
            if i % 2:
                time.sleep(0.01)
            k.close()
        still_serves(s)
        time.sleep(3.5)
        text = c.get("/metrics").raw.decode()
        open_connections = int(next(line for line in text.splitlines()
                                    if line.startswith("strata_http_connections ")).split()[1])
        assert open_connections < 10, open_connections


def a_flood_from_one_address_leaves_room_for_others():
    def connect():
        return socket.create_connection(("127.0.0.1", s.port), timeout=5, source_address=("127.0.0.2", 0))

    with Server() as s:
        sockets = []
        for _ in range(2000):
            try:
                sockets.append(connect())
            except OSError:
                break
        still_serves(s)
        for k in sockets:
            k.close()
        stop = time.monotonic() + 2
        errors = []

        def hammer():
            while time.monotonic() < stop:
                try:
                    k = connect()
                    k.sendall(b"GET / HTTP/1.1\r\n")
                    k.close()
                except OSError as e:
                    errors.append(e)
        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for t in threads:
            t.start()
        while time.monotonic() < stop:
            still_serves(s, within=4)  # the kernel may drop a connection's first packet
        for t in threads:
            t.join()


run([slow_senders_are_cut_off_and_hold_up_nobody, huge_requests_are_refused, broken_http_is_answered_or_cut,
     pipelined_requests_are_answered_in_order, bodies_of_every_wrong_kind_are_refused, paths_lead_nowhere_else,
     wrong_keys_take_the_same_time, many_idle_streams_cost_nothing, clients_that_vanish_are_forgotten,
     a_flood_from_one_address_leaves_room_for_others])
