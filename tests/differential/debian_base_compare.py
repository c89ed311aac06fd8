# SPDX-License-Identifier: Apache-2.0
"""A root that build-env makes (base: debian:SUITE) against what debootstrap makes of the same archive.

    debian_base_compare.py [SUITE]

debootstrap --variant=minbase takes no updates, so names of packages are compared, and of all paths that both
have kinds, modes, owners and links' targets; what only one has must be on the list below. Then, in ours,
dpkg --audit and dpkg -V, and that a second build from an empty home has the same digest. As root, with a network and
debootstrap; exit status 77 where that is not so.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_ENV = os.environ.get("STRATA_BUILD_ENV", os.path.join(ROOT, "build", "bin", "build-env"))
# Left out on purpose (docs/determinism.md), or of debootstrap alone.
THEIRS = re.compile(
    r"^(dev/.*|run/.*|root/.*|etc/(\.pwd\.lock|apt/sources\.list|fstab|hostname|resolv\.conf|(group|passwd|shadow|gshadow)-)"
    r"|var/(cache/(apt|ldconfig|debconf)|lib/apt|log)(/.*)?|var/lib/dpkg/(cmethopt|.*-old|lock.*|triggers/(Lock|Unincorp))"
    r"|usr/share/doc/.*|var/lib/dpkg/info/.*|etc/machine-id)$")


def run(*args, **more):
    return subprocess.run(args, check=False, capture_output=True, **more)


def mirror():
    for name in sorted(os.listdir("/etc/apt/sources.list.d")) if os.path.isdir("/etc/apt/sources.list.d") else []:
        with open(os.path.join("/etc/apt/sources.list.d", name), encoding="utf-8", errors="replace") as f:
            m = re.search(r"^URIs: *(\S+/debian)/?$", f.read(), re.M)
            if m:
                return m[1]
    return None


def tree(root):
    out = {}
    for here, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(here, name)
            st = os.lstat(path)
            link = stat.S_ISLNK(st.st_mode)
            out[os.path.relpath(path, root)] = (stat.S_IFMT(st.st_mode), 0 if link else stat.S_IMODE(st.st_mode), st.st_uid,
                                                st.st_gid, os.readlink(path) if link else "")
    return out


def names(root):
    return set(run("chroot", root, "dpkg-query", "-W", "-f", "${Package}\n").stdout.decode().split())


def ours(top, home, suite):
    file = os.path.join(top, "e.yaml")
    with open(file, "w", encoding="utf-8") as f:
        f.write(f"base: debian:{suite}\nconfig: {{packages: {{}}}}\n")
    env = {**os.environ, "STRATA_HOME": os.path.join(top, home)}
    done = run(BUILD_ENV, "build", file, env=env)
    if done.returncode == 4:
        print(f"the archive is out of reach: skipped: {done.stderr.decode()}")
        sys.exit(77)
    if done.returncode:
        sys.exit(done.stderr.decode())
    return done.stdout.decode().strip(), env


def compare(top, suite, url):
    digest, env = ours(top, "home", suite)
    again = ours(top, "again", suite)[0]
    a, b = os.path.join(top, "ours"), os.path.join(top, "theirs")
    os.mkdir(a)
    run(BUILD_ENV, "export", digest, f"tar:{top}/x.tar", env=env)
    run("tar", "-C", a, "-xpf", f"{top}/x.tar")
    done = run("debootstrap", "--variant=minbase", suite, b, url)
    if done.returncode:
        print("debootstrap fails here: skipped")
        sys.exit(77)
    x, y = tree(a), tree(b)
    told = [f"{p}: ours {x[p]}, theirs {y[p]}" for p in sorted(x) if p in y and x[p] != y[p]]
    told += [f"only ours: {p}" for p in sorted(set(x) - set(y)) if not THEIRS.match(p)]
    told += [f"only theirs: {p}" for p in sorted(set(y) - set(x)) if not THEIRS.match(p)]
    told += [f"package: {n}" for n in sorted(names(a) ^ names(b))]
    told += [] if digest == again else ["a second build has another digest"]
    for check in (("dpkg", "--audit"), ("dpkg", "-V")):
        told += [f"{' '.join(check)}: {t}" for t in run("chroot", a, *check).stdout.decode().splitlines()]
    return told, len(x)


def main():
    url = mirror()
    if os.geteuid() != 0 or not shutil.which("debootstrap") or not url:
        print("needs root, debootstrap and a deb822 source: skipped")
        sys.exit(77)
    top = tempfile.mkdtemp(prefix="strata-base-")
    try:
        told, count = compare(top, sys.argv[1] if len(sys.argv) > 1 else "bookworm", url)
        print("\n".join(told) if told else f"the same: {count} paths")
        sys.exit(1 if told else 0)
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    main()
