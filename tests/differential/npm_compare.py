#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the resolver's trees with those of `npm install --global`.

    npm_compare.py [--sets FILE] [--keep FOLDER] [SPEC...]

Each line of FILE (default: npm_sets.txt beside this script) is one list of specs; or the one
list given as arguments. npm installs it without scripts into a fresh prefix; every package.json
found there, as path@version, must be in the lock and the other way round. Where npm fails, the
resolver must fail too. Uses build/dev/bin/npm_lock, or STRATA_NPM_LOCK, or, when
STRATA_BUILD_ENV is set, `build-env lock --json`. Needs the network and npm. Status 0: all agree.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def installed(prefix):
    """path@version of every package below the prefix; a link shows as path@link."""
    found = []

    def folder(path, relative):
        if not os.path.isdir(path):
            return
        for name in sorted(os.listdir(path)):
            if name.startswith('.'):
                continue
            names = [name]
            if name.startswith('@'):
                names = [f'{name}/{n}' for n in sorted(os.listdir(os.path.join(path, name)))]
            for n in names:
                package(os.path.join(path, n), f'{relative}/{n}')

    def package(path, relative):
        if os.path.islink(path):
            found.append(f'{relative}@link')
            return
        try:
            with open(os.path.join(path, 'package.json'), encoding='utf-8-sig') as f:
                version = json.load(f).get('version')
        except (OSError, ValueError):
            version = None
        found.append(f'{relative}@{version}')
        folder(os.path.join(path, 'node_modules'), f'{relative}/node_modules')

    folder(os.path.join(prefix, 'lib', 'node_modules'), 'node_modules')
    return sorted(found)


def locked(lock):
    """The same of a lock, with what tarballs bring along."""
    found = []
    for p in lock['packages']:
        found.append(f"{p['path']}@{p['version']}")
        found += [f"{b['path']}@{b['version']}" for b in p.get('bundled', [])]
    return sorted(found)


def npm(specs, prefix, cache, more=(), seconds=600):
    """npm never ends on some circles of peers: status 124 after so many seconds."""
    return subprocess.run(
        ['timeout', str(seconds), 'npm', 'install', '--global', '--prefix', prefix,
         '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error', '--cache', cache,
         *more, *specs],
        capture_output=True, text=True, stdin=subprocess.DEVNULL)


def resolve(specs, home, more=()):
    """(lock or None, what it said)"""
    build_env = os.environ.get('STRATA_BUILD_ENV')
    if build_env:
        env = {**os.environ, 'STRATA_HOME': home}
        body = json.dumps({'name': 'compare', 'config': {
            'type': 'cloud', 'packages': {'npm': list(specs)}}})
        p = subprocess.run([build_env, 'lock', '-', '--json'], input=body, capture_output=True,
                           text=True, env=env)
        lock = json.loads(p.stdout)['managers']['npm'] if p.returncode == 0 else None
    else:
        program = os.environ.get('STRATA_NPM_LOCK') or os.path.join(
            HERE, '..', '..', 'build', 'dev', 'bin', 'npm_lock')
        p = subprocess.run([program, '--home', home, *more, *specs], capture_output=True,
                           text=True, stdin=subprocess.DEVNULL)
        lock = json.loads(p.stdout) if p.returncode == 0 else None
    return lock, p.stderr


def last_lines(text, n=2):
    return ' | '.join(text.strip().split('\n')[-n:])[:300]


def compare(specs, work):
    """True: they agree."""
    prefix = tempfile.mkdtemp(prefix='prefix-', dir=work)
    their = npm(specs, prefix, os.path.join(work, 'cache'))
    theirs = installed(prefix) if their.returncode == 0 else None
    shutil.rmtree(prefix, ignore_errors=True)
    lock, said = resolve(specs, os.path.join(work, 'home'))
    ours = locked(lock) if lock is not None else None
    shown = ' '.join(specs)
    if ours == theirs:
        print(f'same  {len(ours) if ours is not None else "both fail":>5}  {shown}', flush=True)
        return True
    print(f'DIFFERENT    {shown}', flush=True)
    if theirs is None or ours is None:
        print(f'  npm:  {len(theirs) if theirs is not None else last_lines(their.stderr)}')
        print(f'  ours: {len(ours) if ours is not None else last_lines(said)}')
    else:
        for line in [x for x in theirs if x not in set(ours)][:10]:
            print(f'  - {line}')
        for line in [x for x in ours if x not in set(theirs)][:10]:
            print(f'  + {line}')
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--sets', default=os.path.join(HERE, 'npm_sets.txt'))
    parser.add_argument('--keep', help='where caches stay, for another run')
    parser.add_argument('specs', nargs='*')
    args = parser.parse_args()
    if args.specs:
        sets = [args.specs]
    else:
        with open(args.sets, encoding='utf-8') as f:
            sets = [line.split() for line in f if line.strip() and not line.startswith('#')]
    work = args.keep or tempfile.mkdtemp(prefix='npm-compare-')
    os.makedirs(os.path.join(work, 'home'), exist_ok=True)
    try:
        good = sum(compare(specs, work) for specs in sets)
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print(f'{good} of {len(sets)} agree')
    return 0 if good == len(sets) else 1


if __name__ == '__main__':
    sys.exit(main())
