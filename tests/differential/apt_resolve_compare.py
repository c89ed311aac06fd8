# SPDX-License-Identifier: Apache-2.0
"""What build-env locks against what apt-get would install, request by request.

    apt_resolve_compare.py [SET…]        a SET is package names with ',' between them

apt-get -s --no-install-recommends install runs over this machine's dpkg status, with lists that are fetched
anew into a folder of this program's. Compared: names and versions of what is installed and what is removed;
where both refuse, that they do. Needs a network and apt-get; exit status 77 where that is not so.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_ENV = os.environ.get("STRATA_BUILD_ENV", os.path.join(ROOT, "build", "bin", "build-env"))
SINGLE = """postgresql redis-server nginx-full apache2 mariadb-server mosquitto haproxy squid bind9 postfix exim4-daemon-light
    dovecot-imapd slapd openssh-server php-fpm php-mysql ruby-full rustc ghc ocaml golang-go erlang-nox elixir guile-3.0 r-base-core
    julia octave python3-scipy python3-matplotlib nodejs openjdk-17-jdk-headless scala maven gradle clojure libgtk-3-dev
    libqt5widgets5 libgl1-mesa-dri xserver-xorg-core xvfb fonts-noto-cjk fonts-liberation texlive-latex-base texlive-xetex
    linux-headers-amd64 build-essential clang llvm-dev gdb valgrind emacs-nox vim-gtk3 libreoffice-calc chromium gimp
    inkscape ffmpeg vlc-bin imagemagick graphviz sox gnuplot-nox docker.io qemu-system-x86 libvirt-daemon snmpd""".split()
SETS = ["nginx,postgresql-client,jq,ripgrep,tmux", "apache2,php,libapache2-mod-php,php-gd,php-xml",
        "openjdk-17-jre,ant,maven,junit4,libcommons-io-java", "xfonts-base,fonts-dejavu,fontconfig,x11-apps,xterm",
        "texlive-latex-base,texlive-fonts-recommended,lmodern,biber,latexmk", "postfix,mailutils,dovecot-imapd,opendkim,rspamd",
        "mariadb-server,galera-4,mysql-common,libmariadb-dev,python3-mysqldb",
        "linux-headers-amd64,dkms,kmod,bc,libelf-dev", "exim4,cron,logrotate,rsyslog,anacron",
        "ruby,rake,ruby-dev,bundler,ruby-nokogiri"]


def ours(home, specs):
    done = subprocess.run([BUILD_ENV, "lock", "--json", *[a for s in specs for a in ("--apt", s)]], check=False,
                          capture_output=True, env={**os.environ, "STRATA_HOME": home})
    if done.returncode == 4:
        print(f"the archive is out of reach: skipped: {done.stderr.decode()}")
        sys.exit(77)
    if done.returncode:
        return None, done.stderr.decode().strip().splitlines()[-1]
    lock = json.loads(done.stdout)["managers"]["apt"]
    return {f"{p['name']} {p['version']}" for p in lock["packages"]} | {f"-{n}" for n in lock["removed"]}, ""


def theirs(options, specs):
    done = subprocess.run(["apt-get", *options, "-s", "--no-install-recommends", "install", *specs], check=False,
                          capture_output=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        return None, done.stderr.decode().strip()
    out = set()
    for line in done.stdout.decode().splitlines():
        m = re.match(r"Inst (\S+?)(?::\S+)? (?:\[[^\]]*\] )?\((\S+) ", line)
        if m:
            out.add(f"{m[1]} {m[2]}")
        m = re.match(r"Remv (\S+?)(?::\S+)? ", line)
        if m:
            out.add(f"-{m[1]}")
    return out, ""


def main():
    if not shutil.which("apt-get"):
        print("needs apt-get: skipped")
        sys.exit(77)
    top = tempfile.mkdtemp(prefix="strata-apt-")
    for name in ("lists/partial", "cache/archives/partial", "home"):
        os.makedirs(os.path.join(top, name))
    options = ["-o", f"Dir::State::lists={top}/lists", "-o", f"Dir::Cache={top}/cache", "-o", "APT::Sandbox::User=root",
               "-o", "Debug::NoLocking=1"]
    try:
        if subprocess.run(["apt-get", *options, "-qq", "update"], check=False, capture_output=True).returncode:
            print("apt-get update fails: skipped")
            sys.exit(77)
        bad, sets = 0, [s.split(",") for s in sys.argv[1:] or SINGLE + SETS]
        for specs in sets:
            a, b = ours(os.path.join(top, "home"), specs), theirs(options, specs)
            if a[0] == b[0]:
                continue
            bad += 1
            print(f"DIFFERENT: {','.join(specs)}")
            if a[0] is None or b[0] is None:
                print(f"  ours   {a[1] or 'works'}\n  theirs {b[1] or 'works'}")
            else:
                print(f"  ours alone   {sorted(a[0] - b[0])}\n  theirs alone {sorted(b[0] - a[0])}")
        print(f"{len(sets) - bad} of {len(sets)} requests are the same")
        sys.exit(1 if bad else 0)
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    main()
