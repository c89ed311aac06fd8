/* SPDX-License-Identifier: Apache-2.0 */
/* Whole resolutions against registries made of text (pip_world.h). */
#include "base/mem.h"
#include "tests/resolvers/pip/pip_world.h"
#include "tests/test_main.h"

#define W     "-py3-none-any.whl"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static const struct {
    const char *claim, *world, *specs, *result; /* an error: its code and a part of its text */
} cases[] = {
    {"the newest release is taken", "a-1.0" W "\na-2.0" W "\na-1.10" W "\n", "a", "a==2.0"},
    {"nothing asked, nothing locked", "", "", ""},
    {"dependencies come along, sorted by name",
     "c-1" W "\n Requires-Dist: b>=1\n Requires-Dist: a<2\nb-1" W "\na-1" W "\na-2" W "\n", "c",
     "a==1 b==1 c==1"},
    {"several specifiers on one name are taken together",
     "a-1" W "\na-2" W "\na-3" W "\nb-1" W "\n Requires-Dist: a!=2\n", "a<3|b", "a==1 b==1"},
    {"names are normalised everywhere",
     "Foo_Bar-1" W "\n Requires-Dist: Zope.Interface\nzope.interface-5.0" W
     "\nzope.interface-6.0.tar.gz\n Metadata-Version: 2.2\n",
     "foo.bar", "foo-bar==1 zope-interface==6.0"},
    /* backtracking */
    {"an older release is taken when the newest does not fit",
     "a-1" W "\n Requires-Dist: c<2\na-2" W "\n Requires-Dist: c>=2\nc-1" W "\nc-2" W "\nb-1" W
     "\n Requires-Dist: c<2\n",
     "a|b", "a==1 b==1 c==1"},
    {"it goes back over many releases",
     "a-9" W "\n Requires-Dist: c==9\na-8" W "\n Requires-Dist: c==8\na-7" W
     "\n Requires-Dist: c==7\na-6" W "\n Requires-Dist: c==6\na-5" W "\n Requires-Dist: c==5\na-4" W
     "\n Requires-Dist: c==4\nc-9" W "\nc-8" W "\nc-7" W "\nc-6" W "\nc-5" W "\nc-4" W "\n",
     "a|c<5", "a==4 c==4"},
    {"a dependency that no release can satisfy rules the release out",
     "a-1" W "\na-2" W "\n Requires-Dist: c>5\nc-1" W "\n", "a", "a==1"},
    {"a dependency on a project that is not there rules the release out",
     "a-1" W "\na-2" W "\n Requires-Dist: nowhere\n", "a", "a==1"},
    /* conflicts */
    {"a conflict is told as a chain of reasons",
     "a-1" W "\n Requires-Dist: c>=2\nb-1" W "\n Requires-Dist: c<2\nc-1" W "\nc-2" W "\n", "a|b",
     "unresolvable: a and b 1 cannot be used together|you require a and you require b"},
    {"so is one with a root's own bound", "a-1" W "\n Requires-Dist: c>=2\nc-1" W "\nc-2" W "\n",
     "a==1|c<2", "unresolvable: a 1 depends on c>=2|you require c<2"},
    {"bounds that exclude each other are found", "a-1" W "\n", "a>1,<1",
     "unresolvable: no version can satisfy a>1,<1"},
    {"a bound beyond all releases says what there is", "a-1" W "\na-2.5" W "\n", "a>3",
     "unresolvable: no such release of a (there are 1 to 2.5)"},
    {"a missing project has its own code", "a-1" W "\n", "a|nowhere",
     "package_not_found: there is no project nowhere"},
    {"a project without usable files is told apart", "=a {\"files\":[]}\n", "a",
     "unresolvable: has no wheel or sdist of a"},
    /* yanked */
    {"yanked releases are passed over", "a-1" W "\na-2" W " yanked=broken\n", "a", "a==1"},
    {"a pin takes a yanked release", "a-1" W "\na-2" W " yanked=it_broke\n", "a==2", "a==2"},
    {"a wildcard is no pin", "a-1" W "\na-2" W " yanked=broken\n", "a==2.*",
     "unresolvable: a 2 was yanked (broken)"},
    {"a range does not take a yanked release", "a-2" W " yanked=\n", "a>=1",
     "unresolvable: yanked"},
    {"yanking acts on files", "a-2" W " yanked=bad\na-2.tar.gz\n Metadata-Version: 2.2\na-1" W "\n",
     "a", "a==2"},
    {"a pin in a dependency counts",
     "a-1" W "\n Requires-Dist: c==2\nc-1" W "\nc-2" W " yanked=x\n", "a", "a==1 c==2"},
    /* pre-releases */
    {"finals are preferred", "a-1" W "\na-2a1" W "\n", "a", "a==1"},
    {"without finals a pre-release is taken", "a-2a1" W "\na-2b1" W "\n", "a", "a==2b1"},
    {"a specifier that names one asks for them", "a-1" W "\na-2a1" W "\n", "a>=1.0a1", "a==2a1"},
    {"so does one of several", "a-1" W "\na-2a1" W "\nb-1" W "\n Requires-Dist: a>=0.dev0\n", "b|a",
     "a==2a1 b==1"},
    {"!= and .* do not", "a-1" W "\na-2a1" W "\n", "a!=2a5", "a==1"},
    {"finals that match hide pre-releases, yanked or not", "a-1" W " yanked=x\na-2a1" W "\n", "a",
     "unresolvable: yanked"},
    {"the matching final may be the older one", "a-1.5" W "\na-2.0rc1" W "\na-3" W "\n", "a<3",
     "a==1.5"},
    /* python, platforms, tags */
    {"Requires-Python in the index is looked at", "a-1" W "\na-2" W " python=>=3.12\n", "a",
     "a==1"},
    {"and in the metadata", "a-1" W "\na-2" W "\n Requires-Python: >=3.12\n", "a", "a==1"},
    {"an invalid Requires-Python restricts nothing", "a-2" W " python=>=3.6.*\n", "a", "a==2"},
    {"it is per file", "a-2-py2-none-any.whl python=<3\na-2" W " python=>=3\n", "a", "a==2"},
    {"what needs another Python says so", "a-2" W " python=>=3.12\n", "a",
     "unresolvable: a 2 needs Python >=3.12 (this is 3.11.2)"},
    {"what has no wheel for here says so", "a-2-cp311-cp311-win_amd64.whl\n", "a",
     "unresolvable: a 2 has no wheel for this platform"},
    {"an older release with a wheel is better than none",
     "a-1" W "\na-2-cp311-cp311-win_amd64.whl\n", "a", "a==1"},
    {"local versions are newer than their public one",
     "a-1.0" W "\na-1.0+cpu" W "\na-1.0+cu118" W "\n", "a==1.0", "a==1.0+cu118"},
    {"a local version can be asked for", "a-1.0" W "\na-1.0+cpu" W "\na-1.0+cu118" W "\n",
     "a==1.0+cpu", "a==1.0+cpu"},
    {"=== compares text", "a-1.0" W "\na-1.1" W "\n", "a===1.0", "a==1.0"},
    {"=== is exact", "a-1.0" W "\n", "a===1.0.0", "unresolvable: no such release"},
    /* markers and extras */
    {"edges with a false marker are left out",
     "a-1" W "\n Requires-Dist: b ; python_version < '3'\n Requires-Dist: c ; sys_platform == "
     "'linux'\nc-1" W "\n",
     "a", "a==1 c==1"},
    {"roots have markers too", "a-1" W "\n", "a|b ; os_name == 'nt'", "a==1"},
    {"an extra brings its edges",
     "a-1" W "\n Provides-Extra: x\n Requires-Dist: b ; extra == 'x'\n Requires-Dist: c\nb-1" W
     "\nc-1" W "\n",
     "a[x]", "a==1 b==1 c==1"},
    {"without it they stay away",
     "a-1" W "\n Provides-Extra: x\n Requires-Dist: b ; extra == 'x'\nb-1" W "\n", "a", "a==1"},
    {"extras are compared normalised",
     "a-1" W "\n Provides-Extra: Big_X\n Requires-Dist: b ; extra == 'big.x'\nb-1" W "\n",
     "a[BIG-x]", "a==1 b==1"},
    {"an extra may name others of the same project",
     "a-1" W
     "\n Provides-Extra: all\n Provides-Extra: x\n Requires-Dist: a[x,y] ; extra == 'all'\n "
     "Requires-Dist: b ; extra == 'x'\n Requires-Dist: c ; extra == 'y'\nb-1" W "\nc-1" W "\n",
     "a[all]", "a==1 b==1 c==1"},
    {"circles of extras end",
     "a-1" W "\n Requires-Dist: b[y] ; extra == 'x'\nb-1" W
     "\n Requires-Dist: a[x] ; extra == 'y'\n",
     "a[x]", "a==1 b==1"},
    {"circles of projects end", "a-1" W "\n Requires-Dist: b\nb-1" W "\n Requires-Dist: a\n", "a",
     "a==1 b==1"},
    {"an extra is of the same release as its project",
     "a-1" W "\n Requires-Dist: b ; extra == 'x'\na-2" W "\n Requires-Dist: c ; extra == 'x'\nb-1" W
     "\nc-1" W "\nd-1" W "\n Requires-Dist: a<2\n",
     "a[x]|d", "a==1 b==1 d==1"},
    {"an unknown extra is no error", "a-1" W "\n", "a[nope]", "a==1"},
    /* metadata */
    {"advertised metadata is used", "a-1" W " meta\n Requires-Dist: b\nb-1" W "\n", "a",
     "a==1 b==1"},
    {"when its hash is wrong the wheel tells", "a-1" W " badmeta\n Requires-Dist: b\nb-1" W "\n",
     "a", "a==1 b==1"},
    {"METADATA far from the end is found",
     "a-1" W " pad=300000 behind=400000\n Requires-Dist: b\nb-1" W "\n", "a", "a==1 b==1"},
    {"a server that knows no ranges is fine",
     "a-1" W " noranges pad=200000\n Requires-Dist: b\nb-1" W "\n", "a", "a==1 b==1"},
    {"metadata of another project rules the file out", "a-1" W "\na-2" W " name=b\n", "a", "a==1"},
    {"so does metadata of another version", "a-1" W "\na-2" W " version=3\n", "a", "a==1"},
    {"and damaged metadata", "a-1" W "\na-2" W " corrupt\n", "a", "a==1"},
    {"and a malformed requirement", "a-1" W "\na-2" W "\n Requires-Dist: b>=1.*\n", "a", "a==1"},
    {"which is told when nothing else is left", "a-2" W "\n Requires-Dist: b>=1.*\n", "a",
     "unresolvable: Requires-Dist"},
    {"a file that is gone is an error", "a-1" W "\na-2" W " gone\n", "a",
     "registry_refused: a 2|404"},
    {"a file without a hash cannot be locked", "a-1" W " nohash\n", "a",
     "registry_error: promises no SHA-256"},
    /* sdists */
    {"a newer sdist with static metadata is taken",
     "a-1" W "\na-2.tar.gz\n Metadata-Version: 2.2\n Requires-Dist: b\nb-1" W "\n", "a",
     "a==2 b==1"},
    {"a wheel is preferred to an sdist of the same version", "a-2.tar.gz\na-2" W "\n", "a", "a==2"},
    {"an sdist with old metadata needs a build", "a-1" W "\na-2.tar.gz\n", "a",
     "needs_build: a 2|a-2.tar.gz"},
    {"so does one with dynamic dependencies",
     "a-2.tar.gz\n Metadata-Version: 2.2\n Dynamic: Requires-Dist\n", "a", "needs_build: a 2"},
    {"zip sdists are read too", "a-2.zip\n Metadata-Version: 2.3\n", "a", "a==2"},
    {"other archives need a build", "a-2.tar.bz2\n Metadata-Version: 2.3\n", "a",
     "needs_build: a 2"},
    /* pages */
    {"an HTML page will do",
     "=a <!DOCTYPE html><a href=\"https://f.example.com/x/a-1-py3-none-any.whl#sha256="
     "0000000000000000000000000000000000000000000000000000000000000000\" "
     "data-requires-python=\"&gt;"
     "=3.12\">x</a>\n",
     "a", "unresolvable: a 1 needs Python >=3.12"},
    {"a broken page is an error", "=a {\"files\":[{\"filename\":\n", "a",
     "bad_archive: index page of a"},
    {"an unknown API version is an error", "=a {\"meta\":{\"api-version\":\"2.0\"},\"files\":[]}\n",
     "a", "bad_archive: version 2.0 of the index's API"},
    {"files of other projects on the page do not count",
     "=a {\"files\":[{\"filename\":\"b-1-py3-none-any.whl\",\"url\":\"x\"}]}\n", "a",
     "unresolvable: has no wheel or sdist of a"},
    /* more than one index */
    {"an extra index counts as much as the first one",
     "a-1" W "\na-2" W " extra\n Requires-Dist: b\nb-1" W "\n", "a", "a==2 b==1"},
    {"what only the extra one has is found", "a-1" W " extra\n", "a", "a==1"},
    {"and what neither has is missing", "a-1" W " extra\n", "b", "package_not_found: b"},
    /* direct references */
    {"a URL that is not there is an error", "",
     "a @ https://f.example.com/a-1-py3-none-any.whl#sha256="
     "0000000000000000000000000000000000000000000000000000000000000000",
     "registry_refused: a 1|404"},
    {"a transitive URL is refused",
     "a-1" W "\na-2" W "\n Requires-Dist: b @ https://f.example.com/b-1-py3-none-any.whl\n", "a",
     "a==1"},
    {"two URLs of one project exclude each other", "",
     "a @ https://f.example.com/a-1-py3-none-any.whl#sha256="
     "0000000000000000000000000000000000000000000000000000000000000000|a @ "
     "https://f.example.com/a-2-py3-none-any.whl#sha256="
     "0000000000000000000000000000000000000000000000000000000000000000",
     "unresolvable: from two URLs"},
};

static void check_result(const char *claim, const char *want, const char *got)
{
    struct span rest = span_str(want), code, part;
    if (!span_cut(rest, SPAN(": "), &code, &rest)) {
        ck_assert_msg(strcmp(want, got) == 0, "%s: want \"%s\", got \"%s\"", claim, want, got);
        return;
    }
    ck_assert_msg(span_starts(span_str(got), code), "%s: %s", claim, got);
    while (span_next(&rest, '|', &part))
        ck_assert_msg(span_find(span_str(got), part) < strlen(got), "%s: want \"%.*s\" in \"%s\"",
                      claim, SPAN_ARG(part), got);
}

START_TEST(a_resolution_does_what_pip_does)
{
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct world *w = world_new(cases[_i].world, seed);
        struct world_result r;
        world_resolve(w, cases[_i].specs, NULL, NULL, &r);
        check_result(cases[_i].claim, cases[_i].result, r.text);
        world_result_release(&r);
        world_free(w);
    }
}
END_TEST

START_TEST(the_lock_tells_all_an_installer_needs)
{
    struct world *w = world_new(
        "a-1" W "\n Requires-Dist: b\n Requires-Dist: C ; extra == 'x'\nb-2" W "\nc-3" W "\n", 7);
    struct world_result r;
    AUTO_BUF struct buf text = BUF(16384);
    world_resolve(w, "A[x] >= 1|a", NULL, NULL, &r);
    ck_assert_ptr_nonnull(r.lock);
    json_t *p = json_array_get(json_object_get(r.lock, "packages"), 0);
    ck_assert_str_eq(json_get_str(p, "filename"), "a-1-py3-none-any.whl");
    ck_assert_str_eq(json_get_str(p, "origin"), "files/a-1-py3-none-any.whl");
    ck_assert_int_eq(strncmp(json_get_str(p, "digest"), "sha256:", 7), 0);
    ck_assert(json_get_int(p, "size", 0) > 100 && json_get_bool(p, "requested", false));
    json_canonical(json_object_get(p, "requires"), &text, NULL);
    json_canonical(json_object_get(r.lock, "requested"), &text, NULL);
    ck_assert_str_eq(buf_cstr(&text), "[\"b\",\"c\"][\"a\",\"a[x]>=1\"]");
    p = json_array_get(json_object_get(r.lock, "packages"), 1);
    ck_assert(!json_get_bool(p, "requested", true));
    world_result_release(&r);
    world_free(w);
}
END_TEST

START_TEST(the_best_wheel_of_a_release_is_taken)
{
    static const char *const worlds[][2] = {
        {"a-1-cp311-cp311-manylinux_2_17_x86_64.whl\na-1-cp39-abi3-manylinux_2_28_x86_64.whl\na-1" W
         "\n",
         "a-1-cp311-cp311-manylinux_2_17_x86_64.whl"},
        {"a-1-cp37-abi3-manylinux_2_28_x86_64.whl\na-1-cp39-abi3-manylinux_2_17_x86_64.whl\n",
         "a-1-cp39-abi3-manylinux_2_17_x86_64.whl"},
        {"a-1-cp39-abi3-manylinux_2_38_x86_64.whl\na-1-cp39-abi3-manylinux_2_17_x86_64.whl\n",
         "a-1-cp39-abi3-manylinux_2_17_x86_64.whl"},
        {"a-1-2-py3-none-any.whl\na-1-10a-py3-none-any.whl\na-1" W "\n",
         "a-1-10a-py3-none-any.whl"},
        {"a-1-1-py3-none-any.whl yanked=x\na-1" W "\n", "a-1" W},
        {"a-1.tar.gz\na-1-py2.py3-none-any.whl\n", "a-1-py2.py3-none-any.whl"},
    };
    for (size_t i = 0; i < COUNT(worlds); i++) {
        struct world *w = world_new(worlds[i][0], 1);
        struct world_result r;
        world_resolve(w, "a", NULL, NULL, &r);
        ck_assert_msg(r.lock != NULL, "%s", r.text);
        json_t *p = json_array_get(json_object_get(r.lock, "packages"), 0);
        ck_assert_str_eq(json_get_str(p, "filename"), worlds[i][1]);
        world_result_release(&r);
        world_free(w);
    }
}
END_TEST

static const struct {
    const char *world, *specs;
    struct policy policy;
    const char *result;
} policies[] = {
    {"a-1" W "\na-2a1" W "\n", "a", {.prerelease = true}, "a==2a1"},
    {"a-1" W "\na-2.tar.gz\n", "a", {.only_binary = true}, "a==1"},
    {"a-2.tar.gz\n", "a", {.only_binary = true}, "unresolvable: wheels only"},
    {"a-1" W " time=2024-01-01T00:00:00Z\na-2" W " time=2024-01-01T00:00:00.001Z\n",
     "a",
     {.exclude_newer_ms = 1704067200001},
     "a==1"},
    {"a-1" W " time=2024-01-01T01:00:00+01:00\na-2" W "\n",
     "a",
     {.exclude_newer_ms = 1704067200001},
     "a==1"},
    {"a-2" W " time=2025-01-01T00:00:00Z\n",
     "a",
     {.exclude_newer_ms = 1704067200000},
     "unresolvable: was published on 2025-01-01, not before 2024-01-01"},
    {"a-2" W "\n", "a", {.exclude_newer_ms = 1704067200000}, "unresolvable: has no upload time"},
};

START_TEST(the_policy_is_kept)
{
    struct world *w = world_new(policies[_i].world, 3);
    struct world_result r;
    world_resolve(w, policies[_i].specs, &policies[_i].policy, NULL, &r);
    check_result(policies[_i].world, policies[_i].result, r.text);
    world_result_release(&r);
    world_free(w);
}
END_TEST

static const struct {
    const char *claim, *world, *builds, *result;
} builds[] = {
    {"what a build says it depends on is followed", "a-2.tar.gz\nb-1" W "\n", "Requires-Dist: b\n",
     "a==2 b==1"},
    {"an extra of it too", "a-2.tar.gz\nb-1" W "\nc-1" W "\n",
     "Provides-Extra: x\nRequires-Dist: b; extra == 'x'\n", "a==2 b==1"},
    {"metadata that does not bind may be broken", "a-2.tar.gz\n Requires-Dist: b>=1.*\nb-1" W "\n",
     "Requires-Dist: b\n", "a==2 b==1"},
    {"an archive without metadata is asked", "a-2.tar.bz2\n", "Summary: x\n", "a==2"},
    {"static metadata counts", "a-2.tar.gz\n Metadata-Version: 2.2\nb-1" W "\n",
     "Requires-Dist: b\n", "a==2"},
    {"a failing build ends it", "a-1" W "\na-2.tar.gz\n", "",
     "build_script_failed: a 2 (a-2.tar.gz): the back end failed"},
    {"also when only the locking needs it", "a-2.tar.gz\n Metadata-Version: 2.2\n", "",
     "build_script_failed: a 2 (a-2.tar.gz): the back end failed"},
    {"a build that says it is something else cannot be used", "a-2.tar.gz\n", "Name: b\n",
     "unresolvable: a 2"},
};

START_TEST(a_build_is_asked_where_metadata_does_not_bind)
{
    for (unsigned seed = 1; seed <= 3; seed++) {
        struct world *w = world_new(builds[_i].world, seed);
        struct world_result r;
        world_builds(w, builds[_i].builds);
        world_resolve(w, "a[x]", NULL, NULL, &r);
        check_result(builds[_i].claim, builds[_i].result, r.text);
        json_t *p = json_array_get(json_object_get(r.lock, "packages"), 0);
        ck_assert(!p || json_is_object(json_object_get(p, "build")));
        world_result_release(&r);
        world_free(w);
    }
}
END_TEST

START_TEST(an_older_lock_is_preferred_while_it_fits)
{
    AUTO_JSON json_t *previous =
        json_pack("{s:[{s:s,s:s}]}", "packages", "name", "c", "version", "1");
    struct world *w = world_new("a-1" W "\n Requires-Dist: c\nc-1" W "\nc-2" W "\n", 1);
    struct world_result r;
    world_resolve(w, "a", NULL, previous, &r);
    ck_assert_str_eq(r.text, "a==1 c==1");
    world_result_release(&r);
    world_resolve(w, "a|c>1", NULL, previous, &r);
    ck_assert_str_eq(r.text, "a==1 c==2");
    world_result_release(&r);
    world_free(w);
}
END_TEST

START_TEST(what_is_certain_is_announced_early)
{
    struct world *w =
        world_new("a-1" W "\na-2" W "\n Requires-Dist: c\nb-1" W "\nb-2" W "\nc-1" W "\n", 1);
    struct world_result r;
    world_resolve(w, "a==2|b", NULL, NULL, &r);
    ck_assert_str_eq(r.text, "a==2 b==2 c==1");
    ck_assert_ptr_nonnull(strstr(r.chosen, "a==2"));
    world_result_release(&r);
    world_free(w);
}
END_TEST

START_TEST(what_the_solver_takes_is_announced_once_a_project)
{
    struct world *w = world_new("a-1" W "\na-2" W "\n Requires-Dist: c==1\nb-1" W
                                "\n Requires-Dist: c==2\nc-1" W "\nc-2" W "\n",
                                1);
    struct world_result r;
    world_resolve(w, "a|b", NULL, NULL, &r);
    ck_assert_str_eq(r.text, "a==1 b==1 c==2");
    ck_assert_ptr_nonnull(strstr(r.chosen, "a==2")); /* it was given up later */
    ck_assert_ptr_null(strstr(r.chosen, "a==1"));
    ck_assert_ptr_nonnull(strstr(r.chosen, "b==1"));
    world_result_release(&r);
    world_free(w);
}
END_TEST

START_TEST(requests_are_few)
{
    struct world *w = world_new("a-1" W "\n Requires-Dist: b\na-0.9" W "\nb-1" W
                                "\n Requires-Dist: c\nb-0.1" W "\nc-1" W "\n",
                                1);
    struct world_result r;
    world_resolve(w, "a", NULL, NULL, &r);
    ck_assert_uint_eq(r.requests, 6); /* a page and a range each */
    world_result_release(&r);
    world_free(w);
}
END_TEST

START_TEST(a_failing_network_ends_it_with_its_error)
{
    static const char *const paths[] = {"a/", "c/", "a-1", "c-1"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct world *w = world_new("a-1" W "\n Requires-Dist: c\nc-1" W "\n", 1);
        struct world_result r;
        world_fail(w, paths[i], ERR_TIMEOUT);
        world_resolve(w, "a", NULL, NULL, &r);
        ck_assert_int_eq(r.err.code, ERR_TIMEOUT);
        ck_assert_ptr_nonnull(strstr(r.err.text, "no answer"));
        ck_assert_ptr_nonnull(strstr(r.err.text, i % 2 ? "c" : "a"));
        world_result_release(&r);
        world_free(w);
    }
}
END_TEST

START_TEST(a_failure_of_what_is_not_needed_harms_nothing)
{
    /* The scout follows a 2, which b forbids in the end. */
    struct world *w = world_new(
        "a-1" W "\na-2" W "\n Requires-Dist: far\nfar-1" W "\nb-1" W "\n Requires-Dist: a<2\n", 1);
    struct world_result r;
    world_fail(w, "far", ERR_NETWORK);
    world_resolve(w, "b|a", NULL, NULL, &r);
    ck_assert_str_eq(r.text, "a==1 b==1");
    world_result_release(&r);
    world_free(w);
}
END_TEST

START_TEST(cancelling_ends_it_at_any_point)
{
    for (int after = 1; after < 6; after++) {
        struct world *w =
            world_new("a-1" W "\n Requires-Dist: b\nb-1" W "\n Requires-Dist: c\nc-1" W "\n", 1);
        struct world_result r;
        world_cancel_after(w, after);
        world_resolve(w, "a", NULL, NULL, &r);
        ck_assert_int_eq(r.err.code, ERR_CANCELLED);
        ck_assert_ptr_null(r.lock);
        world_result_release(&r);
        world_free(w);
    }
}
END_TEST

START_TEST(warnings_name_what_was_odd)
{
    struct world *w = world_new("a-1" W "\nb-1" W " yanked=leaks\n", 1);
    struct world_result r;
    AUTO_BUF struct buf text = BUF(4096);
    world_resolve(w, "a[nope]|b==1|c ; os_name == 'nt'", NULL, NULL, &r);
    json_canonical(r.warnings, &text, NULL);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "a 1 has no extra \\\"nope\\\""));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "b 1 was yanked (leaks)"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "its marker is false"));
    world_result_release(&r);
    world_free(w);
}
END_TEST

START_TEST(a_locked_file_is_found_again)
{
    struct world *w = world_new("a-1" W "\na-2" W " extra\n Requires-Dist: b\nb-3" W "\n", 1);
    struct world_result r;
    struct err err = {0};
    size_t i;
    json_t *p;
    world_resolve(w, "a", NULL, NULL, &r);
    json_array_foreach (json_object_get(r.lock, "packages"), i, p) {
        AUTO_FREE char *url = world_locate(w, p, &err);
        ck_assert_msg(url != NULL, "%s", err.text);
        ck_assert_ptr_nonnull(strstr(url, json_get_str(p, "filename")));
        json_put_str(p, "digest", "sha256:" ZEROS);
        ck_assert_ptr_null(world_locate(w, p, &err));
        ck_assert(err.code == ERR_NO_PACKAGE && strstr(err.text, "no longer"));
        json_put_str(p, "digest", "nonsense");
        ck_assert_ptr_null(world_locate(w, p, &err));
        ck_assert_int_eq(err.code, ERR_LOCK_INVALID);
    }
    world_result_release(&r);
    world_free(w);
}
END_TEST

START_TEST(specs_that_cannot_be_locked_are_refused_at_once)
{
    static const char *const bad[] = {
        "a @ https://example.com/a-1-py3-none-any.whl",
        "a @ file:///a-1-py3-none-any.whl#sha256=00",
        "a @ git+https://example.com/a",
        "a @ https://example.com/b-1-py3-none-any.whl#sha256="
        "0000000000000000000000000000000000000000000000000000000000000000",
        "-r requirements.txt",
        "./a",
        "a==1 --hash=sha256:00",
        "git+https://example.com/a"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err = {0};
        ck_assert_msg(!resolver_pip.parse(span_str(bad[i]), &err), "%s", bad[i]);
        ck_assert(err.code == ERR_INVALID || err.code == ERR_UNSUPPORTED);
    }
    ck_assert(resolver_pip.parse(SPAN("pandas[aws]>=2,!=2.1 ; python_version >= '3.9'"), NULL));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pip_resolve");
    TCase *tc = tcase_create("pip_resolve");
    tcase_add_loop_test(tc, a_resolution_does_what_pip_does, 0, (int)COUNT(cases));
    tcase_add_loop_test(tc, the_policy_is_kept, 0, (int)COUNT(policies));
    tcase_add_loop_test(tc, a_build_is_asked_where_metadata_does_not_bind, 0, (int)COUNT(builds));
    tcase_add_test(tc, the_lock_tells_all_an_installer_needs);
    tcase_add_test(tc, the_best_wheel_of_a_release_is_taken);
    tcase_add_test(tc, an_older_lock_is_preferred_while_it_fits);
    tcase_add_test(tc, what_is_certain_is_announced_early);
    tcase_add_test(tc, what_the_solver_takes_is_announced_once_a_project);
    tcase_add_test(tc, requests_are_few);
    tcase_add_test(tc, a_failing_network_ends_it_with_its_error);
    tcase_add_test(tc, a_failure_of_what_is_not_needed_harms_nothing);
    tcase_add_test(tc, cancelling_ends_it_at_any_point);
    tcase_add_test(tc, warnings_name_what_was_odd);
    tcase_add_test(tc, a_locked_file_is_found_again);
    tcase_add_test(tc, specs_that_cannot_be_locked_are_refused_at_once);
    suite_add_tcase(s, tc);
    return s;
}
