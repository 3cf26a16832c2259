/*
 * sql.c - for the scripts: hostile_sql VOLUME SQL makes a small volume there (seed.h) if there is none, and changes its rows, all checksums good.
 * $NAME$ in SQL is the hash of NAME.
 */
#include <seed.h>

#include <schema.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char key[192], *sql = argc == 3 ? calloc(1, strlen(argv[2]) * 12 + 32) : NULL;
	size_t n = 0;
	if (!sql)
		return 2;
	memset(key, 'k', sizeof(key));
	for (const char *p = argv[2]; *p; p++) {
		const char *end = *p == '$' ? strchr(p + 1, '$') : NULL;
		if (end) {
			long long hash = lk_name_hash(key, p + 1, (size_t)(end - p - 1));
			n += (size_t)snprintf(sql + n, 24, "%lld", hash);
			p = end;
		} else {
			sql[n++] = *p;
		}
	}
	if (access(argv[1], F_OK))
		seed_plain(argv[1]);
	int code = seed_sql(argv[1], sql);
	if (code)
		fprintf(stderr, "SQLite's code %d for %s\n", code, sql);
	free(sql);
	return code != 0;
}
