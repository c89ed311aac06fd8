/* SPDX-License-Identifier: Apache-2.0 */
/* banned.h - functions whose use is a mistake here; included into every file by the build. */
#ifndef STRATA_BASE_BANNED_H
#define STRATA_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gets system popen

#endif
