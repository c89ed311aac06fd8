/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/late_archive.h"

LATE_DEFINE(late_archive, LATE_LIBARCHIVE, ARCHIVE_FUNCTIONS)
