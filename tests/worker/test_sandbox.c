/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/test_main.h"
#include "tests/worker/sandbox_run.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void ended_well(const struct box *b)
{
    ck_assert_msg(b->result.err.code == ERR_NONE, "%s\n%s%s", b->result.err.text, b->out,
                  b->errout);
    ck_assert_int_eq(b->result.status, 0);
}

START_TEST(command_runs_and_its_lines_arrive)
{
    struct box b = {.way = (enum box_way)_i};
    b.spec.argv = ARGV("sh", "-c", "echo one; echo two >&2; printf three; pwd; id -u");
    if (!box_run(&b))
        return;
    ended_well(&b);
    ck_assert_str_eq(b.out, "one\nthree/build\n0\n");
    ck_assert_str_eq(b.errout, "two\n");
    printf("way %d: %lld us to the start, %lld ms in all, ids %d\n", _i,
           (long long)b.result.setup_us, (long long)b.result.wall_ms, b.result.ids);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("sandbox");
    TCase *tc = tcase_create("sandbox");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, box_fresh, NULL);
    tcase_add_loop_test(tc, command_runs_and_its_lines_arrive, 0, BOX_WAYS);
    suite_add_tcase(s, tc);
    return s;
}
