/*
 * fuzz_fuse.c - requests of the FUSE protocol, as libFuzzer makes them up. Input: requests one after the other, each with
 * two bytes of length in front. Built by clang with -fsanitize=fuzzer; the same entry runs single files elsewhere.
 */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t out_cap = 65536;
	struct linkfs_mount *mount = fake_mount();
	fake_reset();
	while (size > 2) {
		size_t len = (size_t)data[0] | (size_t)data[1] << 8;
		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		/* Blocks of their own, so that one byte too far is seen. */
		uint8_t *in = malloc(len ? len : 1), *out = malloc(out_cap);
		struct lk_fuse_request rq;
		if (!in || !out)
			abort();
		memcpy(in, data, len);
		size_t n = lk_fuse_dispatch(mount, in, len, out, out_cap, &rq);
		if (n > out_cap || (n && n < sizeof(struct fuse_out_header)))
			abort();
		lk_fuse_undo(&rq, out, n);
		free(in);
		free(out);
		data += len;
		size -= len;
	}
	return 0;
}
