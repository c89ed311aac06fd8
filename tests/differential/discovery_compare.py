#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what discovery reads with what pip's and npm's own code makes of the same settings.

    discovery_compare.py [--rounds N] [--seed N] [--program PATH] [pip|npm ...]

Each round writes configuration files in the clients' own places of a fresh home, in the odd
spellings that they allow, sets some of their variables, and asks both sides for the registry
and the extra ones. Needs pip or npm, but no network. Status 0: all agree; 77: neither client
is there.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "..", "..", "build", "dev", "bin", "discovery_show")
PATH = "/usr/local/bin:/usr/bin:/bin"

ASK_PIP = """
from pip._internal.commands import create_command
options, _ = create_command("install").parser.parse_args([])
print(options.index_url)
for url in options.extra_index_urls:
    print(url)
"""

ASK_NPM = """
const lib = process.argv[1] + '/node_modules/@npmcli/config/lib/'
const Config = require(lib + 'index.js')
const { definitions, shorthands, flatten } = require(lib + 'definitions')
const config = new Config({ npmPath: process.argv[1], definitions, shorthands, flatten,
  argv: ['node', 'npm'], env: process.env, cwd: process.cwd() })
config.load().then(() => {
  console.log(config.flat.registry)
  for (const key of Object.keys(config.flat)) {
    if (/^@.*:registry$/.test(key)) {
      console.log(key.slice(0, -9) + '=' + config.flat[key])
    }
  }
})
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class Pip:
    def __init__(self, rnd):
        self.rnd = rnd
        self.python = shutil.which("python3", path=PATH)

    def there(self):
        return self.python and subprocess.run(
            [self.python, "-c", "import pip._internal.commands"], env={"PATH": PATH},
            capture_output=True, check=False).returncode == 0

    def url(self):
        where = self.rnd.choice(["", "simple", "simple/", "a/b"])
        return f"https://h{self.rnd.randint(1, 99)}.example.com/{where}"

    def option(self, name):
        key = self.rnd.choice([name, name.replace("-", "_"), name.upper()])
        sep = self.rnd.choice(["=", " = ", ": ", " : "])
        one, two = self.url(), self.url()
        if name == "index-url":
            return key + sep + one + self.rnd.choice(["\n", "  \n", "\n\n", "\n# c\n"])
        return key + sep + self.rnd.choice([
            f"{one}\n", f"\n    {one}\n  {two}\n", f"{one} {two}\n", f"\n\t{one}\n\n    {two}\n"])

    def conf(self):
        text = ""
        for section in self.rnd.sample(["global", "install", "download", "list"], 2):
            text += f"[{section}]\n"
            for name in self.rnd.sample(["index-url", "extra-index-url"], self.rnd.randint(0, 2)):
                text += self.option(name)
        return text

    def settings(self, home, env):
        chance = self.rnd.random
        if chance() < .6:
            write(f"{home}/.config/pip/pip.conf", self.conf())
        if chance() < .4:
            write(f"{home}/.pip/pip.conf", self.conf())
        if chance() < .3:
            write(f"{home}/named.conf", self.conf())
            env["PIP_CONFIG_FILE"] = self.rnd.choice(
                [f"{home}/named.conf", f"{home}/named.conf", "/dev/null", f"{home}/none"])
        if chance() < .2:
            env["XDG_CONFIG_HOME"] = f"{home}/x"
            write(f"{home}/x/pip/pip.conf", self.conf())
        if chance() < .2:
            env["XDG_CONFIG_DIRS"] = f"{home}/d1:{home}/d2"
            write(f"{home}/d1/pip/pip.conf", self.conf())
            write(f"{home}/d2/pip/pip.conf", self.conf())
        if chance() < .2:
            env["PIP_INDEX_URL"] = self.rnd.choice([self.url(), ""])
        if chance() < .2:
            env["PIP_EXTRA_INDEX_URL"] = self.rnd.choice([f"{self.url()} {self.url()}", ""])

    def ask(self, home, env):
        return subprocess.run([self.python, "-c", ASK_PIP], env=env, cwd=home,
                              capture_output=True, text=True, check=False)


class Npm:
    def __init__(self, rnd):
        self.rnd = rnd
        self.node = shutil.which("node", path=PATH)
        npm = shutil.which("npm", path=PATH)
        self.folder = os.path.dirname(os.path.dirname(os.path.realpath(npm))) if npm else None

    def there(self):
        return self.node and self.folder and os.path.exists(
            f"{self.folder}/node_modules/@npmcli/config/lib/index.js")

    def url(self):
        return f"https://h{self.rnd.randint(1, 99)}.example.com/{self.rnd.choice(['', 'npm', 'npm/'])}"

    def npmrc(self):
        text = ""
        for _ in range(self.rnd.randint(0, 4)):
            url = self.url()
            value = self.rnd.choice([
                url, f" {url}", f'"{url}"', f"'{url}'", f"{url} ; c", f"{url} # c",
                "https://${VV}.example.com/", "https://x.example.com/${NOPE?}"])
            text += self.rnd.choice([
                f"registry={value}\n", f"registry = {value}\n", f'"registry"={value}\n',
                f"@s:registry={value}\n", f"@t:registry = {value}\n", "fund=false\n",
                f"; registry={value}\n", "# x\n", "[sec]\n"])
        return text

    def settings(self, home, env):
        chance = self.rnd.random
        env["VV"] = "vv"
        write(f"{home}/project/package.json", "{}")
        if chance() < .5:
            write(f"{home}/.npmrc", self.npmrc())
        if chance() < .4:
            write(f"{home}/project/.npmrc", self.npmrc())
        if chance() < .3:
            write(f"{home}/prefix/etc/npmrc", self.npmrc())
            env[self.rnd.choice(["PREFIX", "npm_config_prefix"])] = f"{home}/prefix"
        for name in ("globalconfig", "userconfig"):
            if chance() < .2:
                write(f"{home}/{name}.rc", self.npmrc())
                env[f"npm_config_{name}"] = f"{home}/{name}.rc"
        if chance() < .2:
            name = self.rnd.choice(["npm_config_registry", "NPM_CONFIG_REGISTRY"])
            env[name] = self.rnd.choice([self.url(), ""])
        if chance() < .1:
            env["npm_config_@s:registry"] = self.url()

    def ask(self, home, env):
        return subprocess.run([self.node, "-e", ASK_NPM, self.folder], env=env,
                              cwd=f"{home}/project", capture_output=True, text=True, check=False)


def addresses(run):
    """The main address and the set of the others, or None after a failure."""
    lines = [x if x.endswith("/") else x + "/" for x in run.stdout.split()]
    return (lines[0], set(lines[1:])) if run.returncode == 0 and lines else None


def compare(program, manager, client, number):
    home = tempfile.mkdtemp(prefix="strata-discovery-")
    env = {"HOME": home, "PATH": PATH}
    try:
        client.settings(home, env)
        theirs = client.ask(home, env)
        ours = subprocess.run([program, manager, f"{home}/project"], env=env,
                              capture_output=True, text=True, check=False)
        if addresses(theirs) == addresses(ours):
            return True
        print(f"{manager} {number}: theirs {addresses(theirs)} {theirs.stderr[-300:]}\n"
              f"  ours {addresses(ours)} {ours.stderr}\n  {env}", flush=True)
        for folder, _, names in os.walk(home):
            for name in names:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    print(f"  {os.path.join(folder, name)}: {file.read()!r}", flush=True)
        return False
    finally:
        shutil.rmtree(home)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default=PROGRAM)
    parser.add_argument("managers", nargs="*", default=["pip", "npm"])
    args = parser.parse_args()
    rnd = random.Random(args.seed)
    clients = {"pip": Pip(rnd), "npm": Npm(rnd)}
    asked, failed = 0, 0
    for manager in args.managers:
        if not clients[manager].there():
            print(f"{manager}: left out, since its client is not there")
            continue
        for number in range(args.rounds):
            asked += 1
            failed += not compare(args.program, manager, clients[manager], number)
    print(f"{asked} rounds, {failed} differ")
    return 77 if asked == 0 else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
