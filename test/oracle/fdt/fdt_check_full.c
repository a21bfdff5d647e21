/* Prints the verdict of libfdt's fdt_check_full for each file named on the command line. */
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");
		if (!file || fseek(file, 0, SEEK_END))
			return 1;
		long size = ftell(file);
		rewind(file);
		/* aligned_alloc: libfdt wants a blob on an 8-byte boundary. */
		char *blob = aligned_alloc(8, ((size_t)size + 15) & ~(size_t)7);
		if (!blob || fread(blob, 1, (size_t)size, file) != (size_t)size)
			return 1;
		int verdict = fdt_check_full(blob, (size_t)size);
		puts(verdict ? fdt_strerror(verdict) : "ok");
		free(blob);
		fclose(file);
	}
	return 0;
}
