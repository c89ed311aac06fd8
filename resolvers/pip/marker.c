/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/marker.h"

#include "resolvers/pip/name.h"

#define MAX_DEPTH 32

enum op { OP_IN = PIP_ARBITRARY + 1, OP_NOT_IN };

static const struct {
    struct span text;
    int op;
} operators[] = {/* longer ones first */
                 {SPAN_INIT("==="), PIP_ARBITRARY}, {SPAN_INIT("=="), PIP_EQ},
                 {SPAN_INIT("!="), PIP_NE},         {SPAN_INIT("<="), PIP_LE},
                 {SPAN_INIT(">="), PIP_GE},         {SPAN_INIT("~="), PIP_COMPATIBLE},
                 {SPAN_INIT("<"), PIP_LT},          {SPAN_INIT(">"), PIP_GT}};

static const struct {
    struct span text;
    enum pip_variable var;
} variables[] = {/* the first of each is the field's own name */
                 {SPAN_INIT("implementation_name"), PIP_VAR_IMPLEMENTATION_NAME},
                 {SPAN_INIT("implementation_version"), PIP_VAR_IMPLEMENTATION_VERSION},
                 {SPAN_INIT("os_name"), PIP_VAR_OS_NAME},
                 {SPAN_INIT("platform_machine"), PIP_VAR_PLATFORM_MACHINE},
                 {SPAN_INIT("platform_python_implementation"),
                  PIP_VAR_PLATFORM_PYTHON_IMPLEMENTATION},
                 {SPAN_INIT("platform_release"), PIP_VAR_PLATFORM_RELEASE},
                 {SPAN_INIT("platform_system"), PIP_VAR_PLATFORM_SYSTEM},
                 {SPAN_INIT("platform_version"), PIP_VAR_PLATFORM_VERSION},
                 {SPAN_INIT("python_full_version"), PIP_VAR_PYTHON_FULL_VERSION},
                 {SPAN_INIT("python_version"), PIP_VAR_PYTHON_VERSION},
                 {SPAN_INIT("sys_platform"), PIP_VAR_SYS_PLATFORM},
                 {SPAN_INIT("extra"), PIP_VAR_EXTRA},
                 {SPAN_INIT("os.name"), PIP_VAR_OS_NAME},
                 {SPAN_INIT("sys.platform"), PIP_VAR_SYS_PLATFORM},
                 {SPAN_INIT("platform.version"), PIP_VAR_PLATFORM_VERSION},
                 {SPAN_INIT("platform.machine"), PIP_VAR_PLATFORM_MACHINE},
                 {SPAN_INIT("platform.python_implementation"),
                  PIP_VAR_PLATFORM_PYTHON_IMPLEMENTATION},
                 {SPAN_INIT("python_implementation"), PIP_VAR_PLATFORM_PYTHON_IMPLEMENTATION}};

enum node_kind { NODE_OR, NODE_AND, NODE_COMPARE };

struct pip_marker {
    enum node_kind kind;
    const struct pip_marker *first, *next; /* children of or, and */
    /* of a comparison: */
    enum pip_variable var;
    int op;
    bool literal_first; /* "3.8" <= python_version */
    struct span literal;
    struct span normal;     /* of an extra's name */
    struct pip_specs specs; /* op and literal as a specifier, for version variables */
    bool as_version;
};

struct parser {
    struct span text;
    size_t at, offset;
    struct arena *arena;
    struct err *err;
    int depth;
};

static bool wrong(const struct parser *p, const char *expected)
{
    return err_set(p->err, ERR_INVALID, "marker, at offset %zu: expected %s", p->offset + p->at,
                   expected);
}

static void white(struct parser *p)
{
    while (p->at < p->text.len && (p->text.ptr[p->at] == ' ' || p->text.ptr[p->at] == '\t'))
        p->at++;
}

static struct span rest(const struct parser *p)
{
    return span_skip(p->text, p->at);
}

static bool word_char(char c)
{
    return c == '_' || c == '.' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* The word at the cursor; "os.name" is one. */
static struct span word(const struct parser *p)
{
    struct span r = rest(p);
    size_t n = 0;
    while (n < r.len && word_char(r.ptr[n]))
        n++;
    return span_slice(r, 0, n);
}

static bool take_word(struct parser *p, struct span w)
{
    white(p);
    if (!span_eq(word(p), w))
        return false;
    p->at += w.len;
    return true;
}

struct operand {
    bool literal;
    struct span text;
    enum pip_variable var;
};

static bool parse_operand(struct parser *p, struct operand *o)
{
    white(p);
    struct span r = rest(p);
    if (r.len && (r.ptr[0] == '"' || r.ptr[0] == '\'')) {
        size_t end = span_find_char(span_skip(r, 1), r.ptr[0]);
        if (end + 1 >= r.len)
            return wrong(p, "a closing quote");
        *o = (struct operand){.literal = true, .text = span_slice(r, 1, end + 1)};
        p->at += end + 2;
        return true;
    }
    struct span w = word(p);
    for (size_t i = 0; i < COUNT(variables); i++) {
        if (span_eq(w, variables[i].text)) {
            *o = (struct operand){.text = w, .var = variables[i].var};
            p->at += w.len;
            return true;
        }
    }
    return wrong(p, "a marker variable (python_version, sys_platform, ...) or a quoted text");
}

static bool parse_op(struct parser *p, int *op)
{
    white(p);
    for (size_t i = 0; i < COUNT(operators); i++) {
        if (span_starts(rest(p), operators[i].text)) {
            p->at += operators[i].text.len;
            *op = operators[i].op;
            return true;
        }
    }
    *op = OP_IN;
    if (take_word(p, SPAN("not")))
        *op = OP_NOT_IN;
    if (take_word(p, SPAN("in")))
        return true;
    return wrong(p, "one of ==, !=, <=, >=, <, >, ~=, ===, in, not in");
}

static bool is_version_variable(enum pip_variable v)
{
    return v == PIP_VAR_IMPLEMENTATION_VERSION || v == PIP_VAR_PLATFORM_RELEASE ||
           v == PIP_VAR_PYTHON_FULL_VERSION || v == PIP_VAR_PYTHON_VERSION;
}

/* op and text as a specifier, if they are one. */
static bool as_specs(int op, struct span text, struct arena *a, struct pip_specs *out)
{
    if (op > PIP_ARBITRARY || span_has(text, ','))
        return false;
    struct span sign = SPAN("");
    for (size_t i = 0; i < COUNT(operators); i++)
        if (operators[i].op == op)
            sign = operators[i].text;
    AUTO_BUF struct buf b = BUF(1024);
    buf_append(&b, sign);
    buf_append(&b, text);
    return !b.overflow && pip_specs_parse(buf_span(&b), a, out, NULL) && out->n == 1;
}

static bool parse_compare(struct parser *p, struct pip_marker *m)
{
    struct operand l, r;
    if (!parse_operand(p, &l) || !parse_op(p, &m->op) || !parse_operand(p, &r))
        return false;
    if (l.literal == r.literal)
        return wrong(p, "a variable on one side and a quoted text on the other");
    m->kind = NODE_COMPARE;
    m->literal_first = l.literal;
    m->var = l.literal ? r.var : l.var;
    m->literal = l.literal ? l.text : r.text;
    if (m->var == PIP_VAR_EXTRA)
        m->normal = pip_name_normalise(m->literal, p->arena);
    if (is_version_variable(m->var) && !m->literal_first)
        m->as_version = as_specs(m->op, m->literal, p->arena, &m->specs);
    return true;
}

static bool parse_or(struct parser *p, struct pip_marker *m);

static bool parse_atom(struct parser *p, struct pip_marker *m)
{
    white(p);
    if (!span_starts(rest(p), SPAN("(")))
        return parse_compare(p, m);
    if (++p->depth > MAX_DEPTH)
        return wrong(p, "fewer nested parentheses");
    p->at++;
    if (!parse_or(p, m))
        return false;
    white(p);
    if (!span_starts(rest(p), SPAN(")")))
        return wrong(p, "\")\", \"and\" or \"or\"");
    p->at++;
    p->depth--;
    return true;
}

static bool parse_list(struct parser *p, struct pip_marker *m, enum node_kind kind,
                       struct span joint, bool (*parse)(struct parser *, struct pip_marker *))
{
    struct pip_marker *head = ARENA_NEW(p->arena, struct pip_marker), *last = head;
    if (!parse(p, head))
        return false;
    while (take_word(p, joint)) {
        struct pip_marker *child = ARENA_NEW(p->arena, struct pip_marker);
        last->next = child;
        last = child;
        if (!parse(p, child))
            return false;
    }
    if (head->next)
        *m = (struct pip_marker){.kind = kind, .first = head};
    else
        *m = *head;
    return true;
}

static bool parse_and(struct parser *p, struct pip_marker *m)
{
    const struct pip_marker *next = m->next;
    bool ok = parse_list(p, m, NODE_AND, SPAN("and"), parse_atom);
    m->next = next;
    return ok;
}

static bool parse_or(struct parser *p, struct pip_marker *m)
{
    const struct pip_marker *next = m->next;
    bool ok = parse_list(p, m, NODE_OR, SPAN("or"), parse_and);
    m->next = next;
    return ok;
}

bool pip_marker_parse(struct span text, size_t offset, struct arena *a,
                      const struct pip_marker **out, struct err *err)
{
    struct parser p = {.text = text, .offset = offset, .arena = a, .err = err};
    struct pip_marker *m = ARENA_NEW(a, struct pip_marker);
    if (!parse_or(&p, m))
        return false;
    white(&p);
    if (p.at < text.len)
        return wrong(&p, "\"and\", \"or\" or the end");
    *out = m;
    return true;
}

static bool compare_text(int op, struct span l, struct span r)
{
    switch (op) {
    case OP_IN: return l.len == 0 || span_find(r, l) < r.len;
    case OP_NOT_IN: return l.len > 0 && span_find(r, l) >= r.len;
    case PIP_EQ:
    case PIP_LE:
    case PIP_GE: return span_eq(l, r);
    case PIP_NE: return !span_eq(l, r);
    default: return false; /* texts have no order, ~= and === no meaning */
    }
}

static bool eval_version(const struct pip_marker *m, const struct pip_environment *e)
{
    if (m->op == PIP_ARBITRARY)
        return span_eq_nocase(e->value[m->var], m->specs.v[0].version);
    return e->is_version[m->var] && pip_specs_match(&m->specs, &e->version[m->var]);
}

/* "3.8" <= python_version: the variable's value is the specifier's version. */
static bool eval_version_literal(const struct pip_marker *m, const struct pip_environment *e,
                                 bool *result)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_specs specs;
    struct pip_version v;
    if (!as_specs(m->op, e->value[m->var], a, &specs))
        return false;
    *result = m->op == PIP_ARBITRARY
                  ? span_eq_nocase(m->literal, e->value[m->var])
                  : pip_version_parse(m->literal, a, &v) && pip_specs_match(&specs, &v);
    return true;
}

static bool eval_compare(const struct pip_marker *m, const struct pip_environment *e,
                         struct span extra)
{
    bool result;
    if (m->as_version)
        return eval_version(m, e);
    if (m->literal_first && is_version_variable(m->var) && eval_version_literal(m, e, &result))
        return result;
    bool is_extra = m->var == PIP_VAR_EXTRA;
    struct span value = is_extra ? extra : e->value[m->var];
    struct span literal = is_extra ? m->normal : m->literal;
    return m->literal_first ? compare_text(m->op, literal, value)
                            : compare_text(m->op, value, literal);
}

bool pip_marker_eval(const struct pip_marker *m, const struct pip_environment *e, struct span extra)
{
    if (!m)
        return true;
    if (m->kind == NODE_COMPARE)
        return eval_compare(m, e, extra);
    for (const struct pip_marker *c = m->first; c; c = c->next)
        if (pip_marker_eval(c, e, extra) == (m->kind == NODE_OR))
            return m->kind == NODE_OR;
    return m->kind == NODE_AND;
}

bool pip_marker_uses_extra(const struct pip_marker *m)
{
    if (!m)
        return false;
    if (m->kind == NODE_COMPARE)
        return m->var == PIP_VAR_EXTRA;
    for (const struct pip_marker *c = m->first; c; c = c->next)
        if (pip_marker_uses_extra(c))
            return true;
    return false;
}

static void quote(struct buf *out, struct span s)
{
    char q = span_has(s, '"') ? '\'' : '"';
    buf_char(out, q);
    buf_append(out, s);
    buf_char(out, q);
}

static void compare_to_text(const struct pip_marker *m, struct buf *out)
{
    struct span sign = m->op == OP_IN ? SPAN("in") : SPAN("not in"), var = SPAN("");
    for (size_t i = 0; i < COUNT(operators); i++)
        if (operators[i].op == m->op)
            sign = operators[i].text;
    for (size_t i = COUNT(variables); i-- > 0;)
        if (variables[i].var == m->var)
            var = variables[i].text;
    if (m->literal_first)
        quote(out, m->literal);
    else
        buf_append(out, var);
    buf_printf(out, " %.*s ", SPAN_ARG(sign));
    if (m->literal_first)
        buf_append(out, var);
    else
        quote(out, m->literal);
}

void pip_marker_text(const struct pip_marker *m, struct buf *out)
{
    if (m->kind == NODE_COMPARE) {
        compare_to_text(m, out);
        return;
    }
    for (const struct pip_marker *c = m->first; c; c = c->next) {
        bool nested = c->kind != NODE_COMPARE && !(m->kind == NODE_OR && c->kind == NODE_AND);
        if (c != m->first)
            buf_str(out, m->kind == NODE_OR ? " or " : " and ");
        if (nested)
            buf_char(out, '(');
        pip_marker_text(c, out);
        if (nested)
            buf_char(out, ')');
    }
}

bool pip_environment_init(struct pip_environment *e, const json_t *markers, struct arena *a,
                          struct err *err)
{
    *e = (struct pip_environment){0};
    for (size_t i = 0; i < PIP_VAR_COUNT; i++) {
        enum pip_variable v = variables[i].var;
        const char *value = json_get_str(markers, variables[i].text.ptr);
        if (!value)
            return err_set(err, ERR_PLATFORM, "the platform's marker %s is not known",
                           variables[i].text.ptr);
        e->value[v] = arena_span(a, span_str(value));
        /* Self-built interpreters call themselves "3.13.0+". */
        struct span text = e->value[v];
        if (v == PIP_VAR_PYTHON_FULL_VERSION && span_ends(text, SPAN("+")))
            text = span_str(arena_printf(a, "%.*slocal", SPAN_ARG(text)));
        e->is_version[v] = is_version_variable(v) && pip_version_parse(text, a, &e->version[v]);
    }
    return true;
}
