#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the resolver with npm on registries that never were.

    npm_random.py FROM TO             random registries of those seeds
    npm_random.py --scenarios         those of npm_scenarios.json
    npm_random.py --record FROM TO    writes fixtures/npm/trees.jsonl: what npm made of all the
                                      scenarios and of random registries, replayed by test_npm_tree

A registry is served on 127.0.0.1 with tarballs made for it; npm installs from there, and so does
npm_lock. Random ones are small and full of peers, conflicts, cycles, aliases, pre-releases and
packages for other machines. Needs npm, no network.
"""
import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import random
import shutil
import sys
import tarfile
import tempfile
import threading

import npm_compare

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURE = os.path.join(HERE, '..', '..', 'fixtures', 'npm', 'trees.jsonl')


def generate(seed):
    """(registry, specs)"""
    r = random.Random(seed)
    names = [f'p{chr(97 + i)}' for i in range(r.choice([5, 8, 12, 16, 24]))]
    if r.random() < .3:
        names[1] = '@s/x'
    if r.random() < .1:
        names[2] = 'PA'
    versions = {}
    for name in names:
        versions[name] = [f'{major}.{minor}.0' for major in range(1, r.randint(1, 3) + 1)
                          for minor in range(r.randint(1, 3))]
        if r.random() < .15:
            versions[name].insert(r.randint(0, len(versions[name])), f'{r.randint(1, 4)}.0.0-rc.1')
    density, peers = r.choice([1, 2, 3, 4]), r.choice([.1, .3, .5, .7])
    optional = r.choice([0, .1, .3])

    def spec(name):
        v = r.choice(versions[name])
        major = int(v.split('.')[0])
        if r.random() < .02:
            return '^9.0.0'
        return r.choice([f'^{v}', f'^{v}', f'^{v}', f'^{v}', f'~{v}', v, '*', f'>={v}', str(major),
                         f'^{v} || ^{major + 1}', f'{major} - {major + 1}', f'<={v}', ''])

    def manifest(name, version):
        m = {'name': name, 'version': version}
        for _ in range(r.randint(0, density)):
            dep, x = r.choice(names), r.random()
            if dep == name and r.random() < .7:
                continue
            if x < peers:
                m.setdefault('peerDependencies', {})[dep] = spec(dep)
                if r.random() < .3:
                    m.setdefault('peerDependenciesMeta', {})[dep] = {'optional': True}
            elif x < peers + optional:
                m.setdefault('optionalDependencies', {})[dep] = spec(dep)
            elif r.random() < .05:
                m.setdefault('dependencies', {})[dep + 'x'] = f'npm:{dep}@{spec(dep) or "*"}'
            elif r.random() < .03:
                m.setdefault('dependencies', {})[dep] = 'latest'
            else:
                m.setdefault('dependencies', {})[dep] = spec(dep)
        if r.random() < .04:
            m['os'] = [r.choice(['darwin', '!linux', 'linux'])]
        if r.random() < .05:
            m['engines'] = {'node': '>=99'}
        if r.random() < .05:
            m['deprecated'] = 'old'
        return m

    registry = {}
    for name in names:
        latest = r.choice(versions[name]) if r.random() < .3 else versions[name][-1]
        registry[name] = {'name': name, 'dist-tags': {'latest': latest},
                          'versions': {v: manifest(name, v) for v in versions[name]}}
    specs = []
    for name in r.sample(names, r.randint(1, min(4, len(names)))):
        wanted = spec(name)
        specs.append(name if r.random() < .4 or not wanted else f'{name}@{wanted}')
    return registry, specs


def tarball(manifest):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as t:
        files = {'package/package.json': json.dumps(
            {k: v for k, v in manifest.items() if k not in ('deprecated', 'dist', 'files')})}
        files.update({f'package/{k}': v for k, v in manifest.get('files', {}).items()})
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            t.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(out.getvalue(), 1, mtime=0)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        body = self.server.answers.get(self.path.replace('%2F', '%2f'))
        self.send_response(404 if body is None else 200)
        body = body or b'{"error":"not found"}'
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Registry:
    def __init__(self, registry, short_forms=True):
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.url = f'http://127.0.0.1:{self.server.server_port}/'
        self.server.answers = answers = {}
        for name, document in registry.items():
            if isinstance(document, str): # sent as it is
                answers[f'/{name}'] = document.encode()
                continue
            document = json.loads(json.dumps(document))
            path = '/' + name.replace('/', '%2f')
            for version, m in document['versions'].items():
                bytes_ = tarball(m)
                file = f'/{name}/-/{name.split("/")[-1]}-{version}.tgz'
                answers[file] = bytes_
                digest = base64.b64encode(hashlib.sha512(bytes_).digest()).decode()
                m['dist'] = {'tarball': self.url + file[1:], 'integrity': f'sha512-{digest}'}
                m.pop('files', None)
                if short_forms:
                    answers[f'{path}/{version}'] = json.dumps(m).encode()
            latest = document['versions'].get(document['dist-tags'].get('latest'))
            if short_forms and latest:
                answers[f'{path}/latest'] = json.dumps(latest).encode()
            answers[path] = json.dumps(document).encode()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def error_code(stderr):
    for line in stderr.split('\n'):
        words = line.split()
        if words[:3] == ['npm', 'error', 'code'] and len(words) > 3:
            return words[3]
    return 'CRASH' # npm itself gave up, or never ended


def run(registry, specs, short_forms=True, ours=True):
    """(theirs, ours): lists of path@version, or {"error": ...}"""
    work = tempfile.mkdtemp(prefix='npm-random-')
    server = Registry(registry, short_forms)
    try:
        prefix = os.path.join(work, 'prefix')
        their = npm_compare.npm(specs, prefix, os.path.join(work, 'cache'),
                                ['--registry', server.url], 100)
        theirs = npm_compare.installed(prefix) if their.returncode == 0 else {
            'error': error_code(their.stderr)}
        if not ours:
            return theirs, None
        lock, said = npm_compare.resolve(specs, os.path.join(work, 'home'),
                                         ['--registry', server.url])
        mine = npm_compare.locked(lock) if lock is not None else {'error': said.strip()[-300:]}
        return theirs, mine
    finally:
        server.close()
        shutil.rmtree(work, ignore_errors=True)


def agree(theirs, ours):
    if isinstance(theirs, dict):
        return isinstance(ours, dict)
    return theirs == ours


def check(label, registry, specs, short_forms=True):
    theirs, ours = run(registry, specs, short_forms)
    if agree(theirs, ours):
        return True
    if isinstance(theirs, dict) and theirs['error'] == 'CRASH':
        print(f'{label}: npm crashes', flush=True)
        return True
    print(f'{label}: {" ".join(specs)}', flush=True)
    if isinstance(theirs, dict) or isinstance(ours, dict):
        print(f'  npm:  {theirs if isinstance(theirs, dict) else len(theirs)}')
        print(f'  ours: {ours if isinstance(ours, dict) else len(ours)}')
    else:
        print(f'  - {[x for x in theirs if x not in ours]}')
        print(f'  + {[x for x in ours if x not in theirs]}', flush=True)
    return False


def scenarios():
    with open(os.path.join(HERE, 'npm_scenarios.json'), encoding='utf-8') as f:
        return json.load(f)


def record(first, last):
    lines = []
    for s in scenarios():
        theirs, _ = run(s['registry'], s['specs'], ours=False)
        lines.append({'name': s['name'], 'registry': s['registry'], 'specs': s['specs'],
                      'tree': theirs})
    for seed in range(first, last):
        registry, specs = generate(seed)
        if len(json.dumps(registry)) > 6000: # keeps the fixture small
            continue
        theirs, _ = run(registry, specs, ours=False)
        if theirs != {'error': 'CRASH'}:
            lines.append({'name': f'random {seed}', 'registry': registry, 'specs': specs,
                          'tree': theirs})
    with open(FIXTURE, 'w', encoding='utf-8') as f:
        for line in lines:
            f.write(json.dumps(line, separators=(',', ':')) + '\n')
    print(f'{len(lines)} recorded')


def main():
    args = sys.argv[1:]
    if args[:1] == ['--record']:
        record(int(args[1]), int(args[2]))
        return 0
    if args[:1] == ['--scenarios']:
        cases = [(s['name'], s['registry'], s['specs']) for s in scenarios()]
    else:
        cases = [(f'seed {n}', *generate(n)) for n in range(int(args[0]), int(args[1]))]
    bad = sum(not check(label, registry, specs, i % 3 != 0)
              for i, (label, registry, specs) in enumerate(cases))
    print(f'{len(cases) - bad} of {len(cases)} agree')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
