/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/doctor.h"

#define INDENT 2

/* "  label      text": labels of one block are padded to the same width. */
static void row(struct buf *out, int width, const char *label, const char *text)
{
    buf_printf(out, "%*s%-*s  %s\n", INDENT, "", width, label, text);
}

static void interpreter(struct buf *out, const json_t *all, const char *name)
{
    const json_t *one = json_object_get(all, name);
    const char *version = json_get_str(one, "version"), *program = json_get_str(one, "program");
    AUTO_FREE char *text = version ? mem_printf("%-9s %s", version, program ? program : "")
                                   : mem_dup_str("none that a session can see");
    for (size_t n = strlen(text); n > 0 && text[n - 1] == ' ';)
        text[--n] = '\0';
    row(out, 8, name, text);
}

static void platform(const json_t *report, struct buf *out)
{
    const json_t *p = json_object_get(report, "platform");
    const json_t *all = json_object_get(report, "interpreters");
    const json_t *notes = json_object_get(all, "notes");
    const char *libc = json_get_str(p, "libc"), *version = json_get_str(p, "libc_version");
    const char *os = json_get_str(p, "os"), *arch = json_get_str(p, "arch");
    AUTO_FREE char *machine = mem_printf("%s %s, %s %s", os ? os : "?", arch ? arch : "?",
                                         libc ? libc : "?", version ? version : "");
    buf_str(out, "Platform\n");
    row(out, 8, "system", machine);
    interpreter(out, all, "python");
    interpreter(out, all, "node");
    interpreter(out, all, "npm");
    size_t i;
    json_t *note;
    json_array_foreach ((json_t *)(uintptr_t)notes, i, note) {
        row(out, 8, "note", json_string_value(note));
    }
}

static void registry(struct buf *out, const char *manager, const json_t *found)
{
    size_t i;
    json_t *item;
    const char *label = manager;
    if (json_get_str(found, "error")) {
        row(out, 8, manager, "none found; see below");
        return;
    }
    json_array_foreach (json_object_get(found, "urls"), i, item) {
        row(out, 8, label, json_string_value(item));
        label = "";
    }
    json_array_foreach (json_object_get(found, "extra"), i, item) {
        const char *scope = json_get_str(item, "scope");
        AUTO_FREE char *text =
            mem_printf("%s %s%s", scope ? scope : "and", json_get_str(item, "url"),
                       json_get_bool(item, "credentials", false) ? " (has credentials)" : "");
        row(out, 8, "", text);
    }
    AUTO_FREE char *from = mem_printf(
        "from %s%s%s", json_get_str(found, "from"),
        json_get_bool(found, "credentials", false) ? "; has credentials" : "",
        json_get_bool(found, "supported", true) ? ""
                                                : "; packages are not built by this version yet");
    row(out, 8, "", from);
}

static void registries(const json_t *report, struct buf *out)
{
    const char *manager;
    json_t *found;
    buf_str(out, "\nRegistries\n");
    json_object_foreach (json_object_get(report, "registries"), manager, found) {
        registry(out, manager, found);
    }
}

static void settings(const json_t *report, struct buf *out)
{
    const char *key;
    json_t *one;
    buf_str(out, "\nSettings\n");
    json_object_foreach (json_object_get(report, "settings"), key, one) {
        const json_t *value = json_object_get(one, "value");
        AUTO_FREE char *text = json_is_null(value) ? mem_dup_str("-")
                               : json_is_string(value)
                                   ? mem_dup_str(json_string_value(value))
                                   : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        AUTO_FREE char *line = mem_printf("%-6s  from %s", text, json_get_str(one, "from"));
        row(out, 16, key, line);
    }
}

static void store_part(const json_t *report, struct buf *out)
{
    const json_t *s = json_object_get(report, "store");
    const char *path = json_get_str(s, "path");
    int64_t free_bytes = json_get_int(s, "free_bytes", -1);
    buf_str(out, "\nStore\n");
    row(out, 8, "folder", path ? path : "none");
    if (free_bytes >= 0) {
        AUTO_FREE char *text = mem_printf("%.1f GiB", (double)free_bytes / (1 << 30));
        row(out, 8, "free", text);
    }
}

static void sandbox(const json_t *report, struct buf *out)
{
    size_t i;
    json_t *check;
    const json_t *checks = json_object_get(json_object_get(report, "sandbox"), "checks");
    if (json_array_size(checks) == 0)
        return;
    buf_str(out, "\nSandbox\n");
    json_array_foreach (checks, i, check) {
        AUTO_FREE char *text =
            mem_printf("%-3s %s", json_get_bool(check, "ok", false) ? "ok" : "no",
                       json_get_str(check, "found"));
        row(out, 20, json_get_str(check, "name"), text);
    }
}

static void problems(const json_t *report, struct buf *out)
{
    size_t i;
    json_t *one;
    const json_t *list = json_object_get(report, "problems");
    if (json_array_size(list) == 0) {
        buf_str(out, "\nNo problems found.\n");
        return;
    }
    buf_str(out, "\nProblems\n");
    json_array_foreach ((json_t *)(uintptr_t)list, i, one) {
        buf_printf(out, "  %s %s\n", json_get_bool(one, "serious", false) ? "!" : "-",
                   json_get_str(one, "what"));
        buf_printf(out, "    -> %s\n", json_get_str(one, "fix"));
    }
}

void doctor_text(const json_t *report, struct buf *out)
{
    platform(report, out);
    registries(report, out);
    settings(report, out);
    store_part(report, out);
    sandbox(report, out);
    problems(report, out);
}
