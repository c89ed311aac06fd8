# SPDX-License-Identifier: Apache-2.0
"""What the API's test scripts share: a server process, an HTTP client, assertions."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SERVER = os.environ.get("STRATA_API_SERVER") or (sys.argv[1] if len(sys.argv) > 1 else "")


class Server:
    """The API over the test double, on a port of its own."""

    def __init__(self, *args, keys=("ws1", "ws2"), db=None, env=None, wait=True):
        self.folder = tempfile.mkdtemp(prefix="strata-api-")
        self.db = db or os.path.join(self.folder, "worker.db")
        command = [SERVER, self.db, *args]
        for key in keys:
            command += ["--key", key]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})})
        self.keys, self.key_ids, self.port = [], [], 0
        if wait:
            self.read_start()

    def read_start(self):
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "key":
                self.keys.append(words[1])
                self.key_ids.append(words[2])
            elif words[0] == "port":
                self.port = int(words[1])
                return True
        return False

    def client(self, n=0):
        return Client(self.port, self.keys[n] if self.keys else None)

    def stop(self, number=signal.SIGTERM, timeout=15):
        if self.process.stdout.closed:
            return self.process.returncode, ""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the server did not end")
        out, err = self.process.stdout.read(), self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode, out + err

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status, text = self.stop()
        self.clean()
        if kind is None and status != 0:
            raise AssertionError(f"the server ended with {status}: {text[-4000:]}")


class Reply:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.raw = body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None

    @property
    def code(self):
        return (self.json or {}).get("error", {}).get("details", {}).get("error_code")

    @property
    def message(self):
        return (self.json or {}).get("error", {}).get("message", "")


class Client:
    contract = None  # checked at every call, when set

    def __init__(self, port, key):
        self.port, self.key = port, key
        self.connection = None

    def call(self, method, path, body=None, **kw):
        reply = self.exchange(method, path, body, **kw)
        if Client.contract:
            Client.contract.check(method, path, body, reply)
        return reply

    def exchange(self, method, path, body=None, headers=None, timeout=30):
        headers = dict(headers or {})
        if self.key and "x-api-key" not in headers and "authorization" not in headers:
            headers["x-api-key"] = self.key
        data = body
        if body is not None and not isinstance(body, (bytes, str)):
            data = json.dumps(body)
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
            try:
                self.connection.request(method, path, data, headers)
                response = self.connection.getresponse()
                return Reply(response, response.read())
            except (http.client.HTTPException, ConnectionError, BrokenPipeError):
                self.close()
                if attempt:
                    raise

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def get(self, path, **kw):
        return self.call("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.call("POST", path, body, **kw)

    def put(self, path, body=None, **kw):
        return self.call("PUT", path, body, **kw)

    def delete(self, path, **kw):
        return self.call("DELETE", path, **kw)

    def environment(self, *pip, name="e", **more):
        return expect(self.post("/v1/environments", {
            "name": name, "config": {"type": "cloud", "packages": {"pip": list(pip)}, **more}}), 200)

    def wait_build(self, build, seconds=20, until=("succeeded", "failed", "cancelled")):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            b = expect(self.get(f"/v1/builds/{build}"), 200)
            if b["status"] in until:
                return b
            time.sleep(0.02)
        raise AssertionError(f"build {build} is still {b['status']}")


def expect(reply, status, code=None, says=None):
    text = f"{reply.status} {reply.raw[:600]}"
    assert reply.status == status, f"expected {status}: {text}"
    assert reply.headers.get("request-id", "").startswith("req_"), text
    if status >= 400:
        assert reply.json["type"] == "error" and reply.json["request_id"] == reply.headers["request-id"]
        types = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
                 404: "not_found_error", 405: "invalid_request_error", 409: "conflict_error",
                 413: "request_too_large", 429: "rate_limit_error", 500: "api_error",
                 529: "overloaded_error"}
        assert reply.json["error"]["type"] == types[status], text
        assert reply.code, text
    if code:
        assert reply.code == code, text
    if says:
        assert says in reply.message, text
    return reply.json


def run(tests):
    """Runs each function, says which failed, exits with their number."""
    failed = 0
    only = sys.argv[2:]
    for test in tests:
        if only and test.__name__ not in only:
            continue
        began = time.monotonic()
        try:
            test()
            print(f"ok    {test.__name__} ({time.monotonic() - began:.2f} s)", flush=True)
        except Exception as problem:  # noqa: BLE001 - every failure is reported the same
            import traceback
            traceback.print_exc()
            failed += 1
            print(f"FAIL  {test.__name__}: {problem}", flush=True)
    sys.exit(1 if failed else 0)
