#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts thousands of random versions, specifiers, requirements and markers to pip_grammar and
to the Python library `packaging`, and reports every difference.

usage: pip_grammar.py PATH-OF-pip_grammar [ROUNDS] [SEED]
Needs `packaging` (any directory on PYTHONPATH, or the one pip brings along)."""
import random
import subprocess
import sys

try:
    from packaging import markers, requirements, specifiers, version
except ImportError:
    from pip._vendor.packaging import markers, requirements, specifiers, version

rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 10000


def pick(*choices):
    return rng.choice(choices)


def number():
    return pick("0", "1", "2", "3", "10", "01", "20240101", "9")


def release():
    return ".".join(number() for _ in range(rng.randint(1, 4)))


def suffix(local=True):
    s = ""
    if rng.random() < .35:
        s += pick("", "-", "_", ".") + pick("a", "b", "rc", "alpha", "beta", "c", "pre",
                                            "preview", "RC") + pick("", "", ".", "-", "_") + \
            pick("", number())
    if rng.random() < .25:
        s += pick(".post", "-post", "post", ".rev", "r", "-") + pick("", number(), "." + number())
    if rng.random() < .25:
        s += pick(".dev", "dev", "-dev", "_dev") + pick("", number())
    if local and rng.random() < .25:
        s += "+" + pick("abc", "1", "abc.1", "abc-5", "cu118", "CPU", "01", "a_b.c", "10")
    return s


def ver(local=True):
    v = pick("", "", "", "v", "1!", "0!") + release() + suffix(local)
    if rng.random() < .04:
        v += pick(".", "-", "x", "+", " 1", "!", ".*", "..1", "1a")
    return v


def spec():
    op = pick("==", "!=", "<=", ">=", "<", ">", "~=", "===", "==", "=", "=>") \
        if rng.random() < .1 else pick("==", "!=", "<=", ">=", "<", ">", "~=", "===")
    v = ver(op in ("==", "!=", "===") or rng.random() < .05)
    if op in ("==", "!=") and rng.random() < .4 or rng.random() < .02:
        v = release() + ".*"
    return op + pick("", "", " ") + v


def specset():
    specs = [spec() for _ in range(rng.randint(1, 3))]
    # In a requirement === takes everything up to the next white space, commas too: last.
    specs.sort(key=lambda s: s.startswith("==="))
    return pick(",", ", ", " , ").join(s for i, s in enumerate(specs)
                                       if i + 1 == len(specs) or not s.startswith("===")) + \
        pick("", "", "", ",")


def near(text):
    """A version close to one in the text."""
    import re
    found = re.findall(r"[0-9][0-9.]*", text)
    base = (pick(*found).rstrip(".") if found else "1") if rng.random() < .8 else release()
    return pick("", "1!") * (rng.random() < .1) + base + pick("", ".0", ".1") + suffix()


VARS = ["python_version", "python_full_version", "os_name", "os.name", "sys_platform",
        "sys.platform", "platform_machine", "platform_python_implementation",
        "python_implementation", "implementation_name", "implementation_version",
        "platform_release", "platform_system", "platform_version", "extra"]


def compare():
    var = pick(*VARS) if rng.random() < .6 else pick("python_version", "extra", "sys_platform")
    op = pick("==", "!=", "<", ">", "<=", ">=", "in", "not in", "~=", "===")
    value = pick("3.8", "3.11", "3.9.1", "3.11.2", "3", "3.*", "3.11.*", "linux", "win32", "Linux",
                 "x86_64", "CPython", "cpython", "posix", "test", "Te_st", "3.9, 3.11", "20",
                 "6.1.0-13-amd64", "", "linux2 linux", ver())
    q = pick('"', "'")
    sides = [var, f"{q}{value}{q}"]
    if rng.random() < .25:
        sides.reverse()
    return pick(" ", "  ", " ").join([sides[0], op, sides[1]])


def marker(depth=0):
    parts = [compare()]
    for _ in range(rng.choice([0, 0, 1, 2])):
        parts.append(pick("and", "or"))
        parts.append(f"({marker(depth + 1)})" if depth < 2 and rng.random() < .3 else compare())
    if rng.random() < .02:
        parts.append(pick("and", ")", "x", "or or"))
    return " ".join(parts)


def name():
    return pick("a", "Foo", "foo-bar", "foo_bar", "foo.bar", "A1", "x_", "1a", "-a", "a-", "z.z")


def req():
    r = pick("", " ") + name() + pick("", " ")
    if rng.random() < .4:
        r += pick("[x]", "[x,y]", "[ x , Y_z ]", "[]", "[x,]", "[ ]", "[x y]", "[x")
    if rng.random() < .15:
        r += pick("@ ", "@", " @ ") + pick("https://example.com/a-1-py3-none-any.whl",
                                           "http://h/x.whl#sha256=" + "0a" * 32)
        if rng.random() < .3:
            return r + pick(" ; ", ";", " ;") + marker()
        return r
    if rng.random() < .7:
        s = specset()
        r += pick(s, s, s, f"({s})", f" ( {s} ) ", f"({s}")
    if rng.random() < .4:
        r += pick(" ; ", ";", "; ") + marker()
    return r


def expect_version(t):
    try:
        v = version.Version(t)
        return f"{v} {int(v.is_prerelease)}"
    except version.InvalidVersion:
        return "invalid"


def expect_compare(a, b):
    try:
        v, w = version.Version(a), version.Version(b)
        return str((v > w) - (v < w))
    except version.InvalidVersion:
        return "invalid"


def expect_specs(s, v):
    try:
        parsed, w = specifiers.SpecifierSet(s), version.Version(v)
        return f"{int(parsed.contains(w, prereleases=True))} {int(bool(parsed.prereleases))}"
    except (specifiers.InvalidSpecifier, version.InvalidVersion):
        return "invalid"


def expect_requirement(t):
    from packaging.utils import canonicalize_name
    try:
        r = requirements.Requirement(t)
    except requirements.InvalidRequirement:
        return "invalid"
    url = (r.url or "").split("#")[0]
    extras = ",".join(sorted({canonicalize_name(e) for e in r.extras}))
    return f"{r.name} [{extras}] {url} {len(r.specifier)} {int(r.marker is not None)}"


def expect_marker(m, extra, python, plat):
    env = {"implementation_name": "cpython", "implementation_version": "3.11.2",
           "os_name": "posix", "platform_machine": "x86_64",
           "platform_python_implementation": "CPython", "platform_release": "6.1.0-13-amd64",
           "platform_system": "Linux", "platform_version": "#1 SMP",
           "python_full_version": "3.11.2", "python_version": python, "sys_platform": plat,
           "extra": extra}
    try:
        parsed = markers.Marker(m)
    except markers.InvalidMarker:
        return "invalid"
    try:
        return str(int(parsed.evaluate(env)))
    except markers.UndefinedComparison:
        return "undefined"


def main():
    questions, expected = [], []

    def ask(kind, expect, *fields):
        questions.append("\t".join((kind,) + fields))
        expected.append(expect(*fields))

    for _ in range(rounds):
        ask("V", expect_version, ver())
        ask("C", expect_compare, ver(), ver())
        s = specset()
        ask("S", expect_specs, s, near(s))
        ask("R", expect_requirement, req())
        ask("M", expect_marker, marker(), pick("", "test", "te-st"),
            pick("3.11", "3.9", "3.8"), pick("linux", "win32"))
    out = subprocess.run([sys.argv[1]], input="\n".join(questions) + "\n", text=True,
                         capture_output=True, check=True).stdout.split("\n")
    bad = 0
    for q, want, got in zip(questions, expected, out):
        # An undefined comparison is an error for packaging and false here.
        if want != got and want != "undefined":
            # The count of specifiers differs when two are written alike; packaging keeps a set.
            bad += 1
            if bad <= 25:
                print(f"{q!r}: packaging {want!r}, ours {got!r}")
    print(f"{len(questions)} questions, {bad} differences")
    return 1 if bad else 0


sys.exit(main())
