/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sbom.h"

#include "base/http.h"
#include "resolvers/resolver.h"
#include "worker/lock.h"

/* Our managers' names in the package-url specification. */
static const char *purl_type(const char *manager)
{
    static const struct {
        const char *manager, *type;
    } types[] = {{"apt", "deb/debian"}, {"cargo", "cargo"}, {"gem", "gem"},
                 {"go", "golang"},      {"npm", "npm"},     {"pip", "pypi"}};
    for (size_t i = 0; i < COUNT(types); i++)
        if (strcmp(types[i].manager, manager) == 0)
            return types[i].type;
    return "generic";
}

static void put_purl(json_t *package, const char *manager, struct span name, struct span version)
{
    AUTO_BUF struct buf purl = BUF(8192);
    buf_printf(&purl, "pkg:%s/", purl_type(manager));
    url_percent_encode(name, "/", &purl);
    buf_char(&purl, '@');
    url_percent_encode(version, "", &purl);
    json_object_set_new(package, "externalRefs",
                        json_pack("[{s:s,s:s,s:s}]", "referenceCategory", "PACKAGE-MANAGER",
                                  "referenceType", "purl", "referenceLocator", buf_cstr(&purl)));
}

static void put_checksum(json_t *package, struct span digest)
{
    struct span algo, hex;
    if (!span_cut_char(digest, ':', &algo, &hex))
        return;
    AUTO_FREE char *upper = mem_dup(algo);
    for (char *p = upper; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    json_object_set_new(
        package, "checksums",
        json_pack("[{s:s,s:s%}]", "algorithm", upper, "checksumValue", hex.ptr, hex.len));
}

static json_t *spdx_package(const char *manager, const json_t *locked, size_t number)
{
    json_t *p = json_object();
    json_object_set_new(p, "SPDXID", json_sprintf("SPDXRef-%s-%zu", manager, number));
    json_object_set(p, "name", json_object_get(locked, "name"));
    json_object_set(p, "versionInfo", json_object_get(locked, "version"));
    json_put_str(p, "downloadLocation", "NOASSERTION");
    json_object_set_new(p, "filesAnalyzed", json_false());
    put_purl(p, manager, json_get_span(locked, "name"), json_get_span(locked, "version"));
    put_checksum(p, json_get_span(locked, "digest"));
    return p;
}

json_t *sbom_of(const struct artifact *a)
{
    char digest[DIGEST_TEXT_SIZE], hex[DIGEST_HEX_SIZE];
    json_t *packages = json_array(), *relations = json_array();
    digest_hex(&a->digest, hex);
    json_array_append_new(packages,
                          json_pack("{s:s,s:s,s:s,s:b,s:[{s:s,s:s}]}", "SPDXID", "SPDXRef-artifact",
                                    "name", digest_text(&a->digest, digest), "downloadLocation",
                                    "NOASSERTION", "filesAnalyzed", 0, "checksums", "algorithm",
                                    "SHA256", "checksumValue", hex));
    json_array_append_new(relations, json_pack("{s:s,s:s,s:s}", "spdxElementId", "SPDXRef-DOCUMENT",
                                               "relationshipType", "DESCRIBES",
                                               "relatedSpdxElement", "SPDXRef-artifact"));
    for (size_t m = 0; m < RESOLVER_COUNT; m++) {
        size_t i;
        json_t *locked;
        const char *manager = resolvers[m]->manager;
        json_array_foreach (json_object_get(lock_part(a->lock, manager), "packages"), i, locked) {
            json_t *p = spdx_package(manager, locked, i);
            json_array_append_new(relations,
                                  json_pack("{s:s,s:s,s:O}", "spdxElementId", "SPDXRef-artifact",
                                            "relationshipType", "CONTAINS", "relatedSpdxElement",
                                            json_object_get(p, "SPDXID")));
            json_array_append_new(packages, p);
        }
    }
    const char *created = json_get_str(a->config, "created");
    return json_pack("{s:s,s:s,s:s,s:s,s:s+,s:{s:s,s:[s]},s:o,s:o}", "spdxVersion", "SPDX-2.3",
                     "dataLicense", "CC0-1.0", "SPDXID", "SPDXRef-DOCUMENT", "name", digest,
                     "documentNamespace", "https://example.com/strata/", hex, "creationInfo",
                     "created", created ? created : "1980-01-01T00:00:00Z", "creators",
                     "Tool: strata", "packages", packages, "relationships", relations);
}
