/*
 * counters.c - how often each operation was asked, failed, and how long it took.
 * Layer: fuse.
 */
#include "session.h"

void lk_fuse_count(struct linkfs_mount *mount, uint32_t opcode, bool failed, uint64_t nanoseconds)
{
	struct lk_fuse_counts *counts = &mount->counts[opcode < LK_FUSE_OPCODES ? opcode : 0];
	atomic_fetch_add_explicit(&counts->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&counts->nanoseconds, nanoseconds, memory_order_relaxed);
	if (failed)
		atomic_fetch_add_explicit(&counts->errors, 1, memory_order_relaxed);
}

/* Rows are the operations of the table in the order of their numbers, then those it does not know. */
int linkfs_mount_counter(struct linkfs_mount *mount, size_t i, struct linkfs_mount_counter *out)
{
	size_t row = 0, opcode;
	for (opcode = 1; opcode < LK_FUSE_OPCODES; opcode++) {
		if (lk_fuse_ops[opcode].name && row++ == i)
			break;
	}
	if (opcode == LK_FUSE_OPCODES) {
		if (i != row)
			return LINKFS_ENOENT;
		opcode = 0;
	}
	const struct lk_fuse_counts *counts = &mount->counts[opcode];
	out->operation = opcode ? lk_fuse_ops[opcode].name : "UNKNOWN";
	out->requests = atomic_load_explicit(&counts->requests, memory_order_relaxed);
	out->errors = atomic_load_explicit(&counts->errors, memory_order_relaxed);
	out->nanoseconds = atomic_load_explicit(&counts->nanoseconds, memory_order_relaxed);
	return 0;
}
