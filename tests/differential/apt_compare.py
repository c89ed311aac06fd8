# SPDX-License-Identifier: Apache-2.0
"""Our apt layers against what apt-get leaves in an overlay of the same root, file by file.

    apt_compare.py [--twice] [SET…]      a SET is package names with ',' between them

The reference: apt-get install --no-install-recommends in mount, pid and net namespaces on an overlay of
this machine's root, with policy-rc.d 101, from the .debs that the lock names (so both sides have one list of
versions). Compared: which paths are there or hidden, kinds, modes, owners, links, contents, capabilities;
then dpkg --audit and dpkg -V in our layer. docs/determinism.md says what is not compared. As root, with a
network; exit status 77 where that is not so.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_ENV = os.environ.get("STRATA_BUILD_ENV", os.path.join(ROOT, "build", "bin", "build-env"))
SETS = ["jq", "nginx", "postgresql-client", "iputils-ping,fping", "cowsay", "tcpdump", "ruby-minitest",
        "xfonts-base", "ffmpeg", "openjdk-17-jre-headless"]

# The reference; $1 is its scratch folder. Nothing is written to the root.
SCRIPT = r"""#!/bin/sh
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/shim"
mkdir -p "$1/shim/usr/sbin"
printf '#!/bin/sh\nexit 101\n' > "$1/shim/usr/sbin/policy-rc.d"
chmod 755 "$1/shim/usr/sbin/policy-rc.d"
mount -t overlay overlay -o "lowerdir=$1/shim:/,upperdir=$1/upper,workdir=$1/work" "$1/merged"
m=$1/merged
mount -t proc proc "$m/proc"
mount -t tmpfs tmpfs "$m/tmp"
mount -t tmpfs tmpfs "$m/run"
mount --rbind /dev "$m/dev"
mkdir "$m/tmp/debs"
mount --bind "$1/debs" "$m/tmp/debs"
exec chroot "$m" /bin/sh -c 'cd /tmp/debs && exec apt-get -q -y -o Acquire::Retries=0 -o Dpkg::Use-Pty=0 \
    -o APT::Keep-Downloaded-Packages=false -o DPkg::Options::=--force-confdef \
    -o DPkg::Options::=--force-confold -o DPkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root \
    --no-install-recommends --allow-downgrades install ./*.deb'
"""

# What differs from run to run or is left out on purpose: docs/determinism.md.
IGNORED = re.compile(
    r"^(var/log/(dpkg|alternatives|fontconfig|bootstrap)\.log|var/log/apt(/.*)?|var/log/(btmp|wtmp|lastlog|faillog)"
    r"|var/cache/(apt|man)(/.*)?|var/cache/ldconfig(/aux-cache)?|var/lib/apt(/.*)?"
    r"|var/lib/dpkg/(lock|lock-frontend|(status|available|diversions|statoverride)-old|updates(/.*)?"
    r"|tmp\.ci(/.*)?|triggers/(Lock|Unincorp))|var/cache/debconf/.*-old"
    r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-|etc/\.pwd\.lock|etc/(machine-id|hostname|hosts|resolv\.conf|mtab)"
    r"|var/lib/dbus/machine-id|var/lib/(systemd|urandom)/random-seed|usr/sbin/policy-rc\.d"
    r"|tmp(/.*)?|run(/.*)?|proc(/.*)?|dev(/.*)?|root(/.*)?|home(/.*)?|sys(/.*)?)$")
# The same but for the order of its lines.
UNORDERED = {"var/lib/dpkg/triggers/File"}
# The sandbox blanks the password hashes of this machine; and the day on which an account was made.
SECRET = {"etc/shadow": re.compile(rb":[^:\n]*:\d*:"), "etc/gshadow": re.compile(rb":[^:\n]*(?=:)")}


def entry_of_stat(path, st):
    if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
        return ("whiteout",)
    owner = (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid)
    if stat.S_ISLNK(st.st_mode):
        return ("link", st.st_uid, st.st_gid, os.readlink(path))
    if stat.S_ISDIR(st.st_mode):
        return ("folder", *owner)
    if stat.S_ISREG(st.st_mode):
        try:
            capability = os.getxattr(path, "security.capability").hex()
        except OSError:
            capability = ""
        with open(path, "rb") as f:
            return ("file", *owner, capability, f.read())
    return ("special",)


def reference_tree(upper):
    out = {}
    for here, folders, names in os.walk(upper):
        for name in folders + names:
            path = os.path.join(here, name)
            rel = os.path.relpath(path, upper)
            out[rel] = entry_of_stat(path, os.lstat(path))
    return {p: e for p, e in out.items() if e != ("special",)}


def our_tree(folder):
    """The layers of an exported image (gzip), whiteouts too."""
    blobs = os.path.join(folder, "blobs", "sha256")
    with open(os.path.join(folder, "index.json"), encoding="utf-8") as f:
        manifest = json.load(f)["manifests"][0]["digest"][7:]
    with open(os.path.join(blobs, manifest), encoding="utf-8") as f:
        layers = json.load(f)["layers"]
    out = {}
    for layer in layers:
        with tarfile.open(os.path.join(blobs, layer["digest"][7:]), errors="surrogateescape") as t:
            for m in t:
                folder_name, _, name = m.name.rpartition("/")
                if name.startswith(".wh."):
                    out[os.path.join(folder_name, name[4:])] = ("whiteout",)
                elif m.issym():
                    out[m.name] = ("link", m.uid, m.gid, m.linkname)
                elif m.isdir():
                    out[m.name] = ("folder", m.mode, m.uid, m.gid)
                elif m.islnk():
                    out[m.name] = out[m.linkname]
                else:
                    capability = m.pax_headers.get("SCHILY.xattr.security.capability", "")
                    capability = capability.encode("utf-8", "surrogateescape").hex()
                    out[m.name] = ("file", m.mode, m.uid, m.gid, capability, t.extractfile(m).read())
    return out


def same(path, ours, theirs):
    if ours == theirs:
        return True
    if not ours or not theirs or ours[0] != "file" or theirs[0] != "file" or ours[:5] != theirs[:5]:
        return False
    if path in UNORDERED:
        return sorted(ours[5].splitlines()) == sorted(theirs[5].splitlines())
    if path in SECRET:
        return SECRET[path].sub(b":", ours[5], 0) == SECRET[path].sub(b":", theirs[5], 0)
    return False


def show(entry):
    if entry and entry[0] == "file":
        return f"file {entry[1]:o} {entry[2]}:{entry[3]} {entry[4]} {len(entry[5])} B " \
               f"{hashlib.sha256(entry[5]).hexdigest()[:12]}"
    return str(entry)


def base_has(path, entry):
    """An entry that says what the base says already (a folder that was only touched)."""
    try:
        return entry_of_stat("/" + path, os.lstat("/" + path)) == entry
    except OSError:
        return entry == ("whiteout",)


def compare(ours, theirs, scratch):
    different = []
    for path in sorted(ours.keys() | theirs.keys()):
        if IGNORED.match(path):
            continue
        a, b = ours.get(path), theirs.get(path)
        if same(path, a, b) or (a is None and base_has(path, b)) or (b is None and base_has(path, a)):
            continue
        different.append(f"  {path}\n    ours   {show(a)}\n    theirs {show(b)}")
        if a and b and a[0] == b[0] == "file":
            for side, e in (("ours", a), ("theirs", b)):
                file = os.path.join(scratch, side, path)
                os.makedirs(os.path.dirname(file), exist_ok=True)
                with open(file, "wb") as f:
                    f.write(e[5])
    return different


def ours(home, specs, *args):
    argv = [BUILD_ENV, *args, *[a for s in specs for a in ("--apt", s)]]
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("STRATA_")}, "STRATA_HOME": home}
    done = subprocess.run(argv, env=env, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}: {done.stderr.decode()}")
    return done.stdout.decode().strip()


def reference(home, specs, scratch):
    """apt-get's installation of the locked .debs; gives the upper folder."""
    lock = json.loads(ours(home, specs, "lock", "--json"))["managers"]["apt"]
    for name in ("upper", "work", "merged", "debs", "shim"):
        os.makedirs(os.path.join(scratch, name))
    for i, p in enumerate(lock["packages"]):
        digest = p["digest"].split(":")[-1]
        shutil.copy(os.path.join(home, "blobs", "sha256", digest[:2], digest),
                    os.path.join(scratch, "debs", f"{i:04d}_{p['name']}.deb"))
    script = os.path.join(scratch, "reference.sh")
    with open(script, "w", encoding="utf-8") as f:
        f.write(SCRIPT)
    done = subprocess.run(["unshare", "-m", "-p", "-n", "-i", "-u", "--fork", "--kill-child", "/bin/sh", script,
                           scratch], capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"apt-get: {done.stdout.decode()[-3000:]}{done.stderr.decode()[-3000:]}")
    return os.path.join(scratch, "upper")


def check_set(specs, twice, keep):
    top = tempfile.mkdtemp(prefix="strata-apt-")
    home = os.path.join(top, "home")
    problems = []
    digest = ours(home, specs, "build", "--compression", "gzip").split()[0]
    if twice and ours(os.path.join(top, "again"), specs, "build", "--compression", "gzip").split()[0] != digest:
        problems.append("  two builds gave two digests")
    image = os.path.join(top, "image")
    ours(home, [], "export", digest, f"oci:{image}")
    theirs = reference_tree(reference(home, specs, os.path.join(top, "reference")))
    mine = our_tree(image)
    problems += compare(mine, theirs, os.path.join(top, "different"))
    for command in (["dpkg", "--audit"], ["sh", "-c", "dpkg -V || true"]):
        env = {**os.environ, "STRATA_HOME": home}
        out = subprocess.run([BUILD_ENV, "run", digest, "--", *command], env=env, capture_output=True, check=False)
        base = subprocess.run(command, capture_output=True, check=False).stdout.splitlines()
        said = [line for line in out.stdout.splitlines() if line not in base]
        if out.returncode or said:
            problems.append(f"  {' '.join(command)}: {out.returncode} {b' | '.join(said).decode()[:2000]} "
                            f"{out.stderr.decode()[-300:]}")
    print(f"{'same' if not problems else 'DIFFERENT'}: {' '.join(specs)} ({len(mine)} entries)", flush=True)
    print("\n".join(problems[:40]), end="\n" if problems else "", flush=True)
    if problems and keep:
        print(f"  kept: {top}")
    else:
        shutil.rmtree(top, ignore_errors=True)
    return not problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--twice", action="store_true", help="build each set twice, from empty homes")
    parser.add_argument("--keep", action="store_true", help="keep the folders of what differs")
    parser.add_argument("sets", nargs="*")
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print("needs root and apt-get: skipped")
        sys.exit(77)
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode != 0:
        print("this machine allows no user namespaces: skipped")
        sys.exit(77)
    home = tempfile.mkdtemp(prefix="strata-apt-")
    reach = subprocess.run([BUILD_ENV, "lock", "--json", "--apt", "hostname"], capture_output=True, check=False,
                           env={**os.environ, "STRATA_HOME": home})
    shutil.rmtree(home, ignore_errors=True)
    if reach.returncode == 4:
        print(f"the archive is out of reach: skipped: {reach.stderr.decode()}")
        sys.exit(77)
    results = [check_set(s.split(","), options.twice, options.keep) for s in options.sets or SETS]
    print(f"{sum(results)} of {len(results)} sets are the same")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
