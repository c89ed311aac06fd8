/* SPDX-License-Identifier: Apache-2.0 */
/* late_solv.h - libsolvext and the libsolv below it, bound when they are first used (base/late.h).
 * Include this in place of <solv/...>. The headers' inline functions that push to a queue call
 * into the library by name: insert at its end instead. */
#ifndef STRATA_RESOLVERS_APT_LATE_SOLV_H
#define STRATA_RESOLVERS_APT_LATE_SOLV_H

#include <stdio.h>

#include <solv/pool.h>
#include <solv/repo.h>
#include <solv/repo_deb.h>
#include <solv/solver.h>
#include <solv/solverdebug.h>

#include "base/late.h"

/* clang-format off */
#define SOLV_FUNCTIONS(X) \
    X(pool_create) X(pool_createwhatprovides) X(pool_errstr) X(pool_free) X(pool_id2str) \
    X(pool_set_installed) X(pool_setarch) X(pool_setdisttype) X(queue_free) X(queue_init) \
    X(queue_insert2) X(repo_add_debpackages) X(repo_create) X(solver_create) \
    X(solver_findallproblemrules) X(solver_free) X(solver_get_decisionqueue) \
    X(solver_problem_count) X(solver_problemruleinfo2str) X(solver_ruleinfo) X(solver_set_flag) \
    X(solver_solve)
/* clang-format on */

LATE_DECLARE(late_solv, SOLV_FUNCTIONS)

#define pool_create                (late_solv()->pool_create)
#define pool_createwhatprovides    (late_solv()->pool_createwhatprovides)
#define pool_errstr                (late_solv()->pool_errstr)
#define pool_free                  (late_solv()->pool_free)
#define pool_id2str                (late_solv()->pool_id2str)
#define pool_set_installed         (late_solv()->pool_set_installed)
#define pool_setarch               (late_solv()->pool_setarch)
#define pool_setdisttype           (late_solv()->pool_setdisttype)
#define queue_free                 (late_solv()->queue_free)
#define queue_init                 (late_solv()->queue_init)
#define queue_insert2              (late_solv()->queue_insert2)
#define repo_add_debpackages       (late_solv()->repo_add_debpackages)
#define repo_create                (late_solv()->repo_create)
#define solver_create              (late_solv()->solver_create)
#define solver_findallproblemrules (late_solv()->solver_findallproblemrules)
#define solver_free                (late_solv()->solver_free)
#define solver_get_decisionqueue   (late_solv()->solver_get_decisionqueue)
#define solver_problem_count       (late_solv()->solver_problem_count)
#define solver_problemruleinfo2str (late_solv()->solver_problemruleinfo2str)
#define solver_ruleinfo            (late_solv()->solver_ruleinfo)
#define solver_set_flag            (late_solv()->solver_set_flag)
#define solver_solve               (late_solv()->solver_solve)

#endif
