/*
 * tar_library.h - libarchive, brought in by tar_can(). It depends on a dozen libraries, whose loading would take more time than most commands
 * do (docs/DESIGN.md). archive_read_new() is la.read_new() here, and so on; archive_errno() is la.error_number(), as errno is a macro.
 */
#ifndef CLI_TAR_LIBRARY_H
#define CLI_TAR_LIBRARY_H

#include <archive.h>
#include <archive_entry.h>

/* clang-format off */
#define TAR_LIBRARY(F) \
	F(bzlib_version) F(clear_error) F(entry_acl_add_entry) F(entry_acl_count) F(entry_acl_next) F(entry_acl_reset) F(entry_acl_types) \
	F(entry_atime) F(entry_atime_is_set) F(entry_atime_nsec) F(entry_clear) F(entry_free) F(entry_gid) F(entry_hardlink) \
	F(entry_mode) F(entry_mtime) F(entry_mtime_is_set) F(entry_mtime_nsec) F(entry_new) F(entry_pathname) F(entry_rdevmajor) \
	F(entry_rdevminor) F(entry_set_filetype) F(entry_set_gid) F(entry_set_hardlink) F(entry_set_mode) F(entry_set_mtime) \
	F(entry_set_pathname) F(entry_set_rdevmajor) F(entry_set_rdevminor) F(entry_set_size) F(entry_set_symlink) F(entry_set_uid) \
	F(entry_size) F(entry_sparse_add_entry) F(entry_symlink) F(entry_uid) F(entry_xattr_add_entry) F(entry_xattr_next) \
	F(entry_xattr_reset) F(error_string) F(filter_bytes) F(filter_count) F(liblzma_version) F(libzstd_version) \
	F(read_data_block) F(read_data_skip) F(read_free) F(read_header_position) F(read_new) F(read_next_header) F(read_open) \
	F(read_support_filter_bzip2) F(read_support_filter_xz) F(read_support_filter_zstd) F(read_support_format_raw) \
	F(read_support_format_tar) F(set_error) F(write_add_filter_bzip2) F(write_add_filter_gzip) F(write_add_filter_xz) \
	F(write_add_filter_zstd) F(write_close) F(write_data) F(write_finish_entry) F(write_free) F(write_header) F(write_new) \
	F(write_open) F(write_set_bytes_in_last_block) F(write_set_bytes_per_block) F(write_set_filter_option) F(write_set_format_option) \
	F(write_set_format_pax) F(write_set_format_raw) F(zlib_version)
/* clang-format on */

#define TAR_LIBRARY_FIELD(name) __typeof__(archive_##name) *name;
struct tar_library {
	TAR_LIBRARY(TAR_LIBRARY_FIELD)
	__typeof__(archive_errno) *error_number;
};
extern struct tar_library la;

#endif
