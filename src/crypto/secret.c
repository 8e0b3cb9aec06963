// SPDX-License-Identifier: MIT
/*
 * Memory for keys: pages of their own, so that leaving them out of core dumps and locking them
 * touches nothing else. Containers often allow no locked memory at all; a key that may reach the
 * swap is still better than a proxy that does not start, so a refusal is not an error.
 */
#include "crypto.h"

#include <sys/mman.h>

void *crypto_secret_alloc(size_t len)
{
	void *secret = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secret == MAP_FAILED)
		return NULL;
	madvise(secret, len, MADV_DONTDUMP);
	(void)!mlock(secret, len);
	return secret;
}

void crypto_secret_free(void *secret, size_t len)
{
	if (!secret)
		return;
	crypto_wipe(secret, len);
	munmap(secret, len);
}
