/* Preloaded into a service and its servers: while the file $FULL_WHILE exists, no file grows (ENOSPC), as on a full
   disk. What a file has already can be written anew. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_full(int file, off_t end) {
    const char *flag = getenv("FULL_WHILE");
    struct stat found;
    int before = errno;
    int full = flag && !access(flag, F_OK) && !fstat(file, &found) && S_ISREG(found.st_mode) && end > found.st_size;
    errno = full ? ENOSPC : before;
    return full;
}

static off_t place(int file) {
    struct stat found;
    if (fcntl(file, F_GETFL) & O_APPEND) return fstat(file, &found) ? 0 : found.st_size;
    return lseek(file, 0, SEEK_CUR);
}

static size_t sum(const struct iovec *parts, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++) total += parts[i].iov_len;
    return total;
}

ssize_t write(int file, const void *bytes, size_t count) {
    return count && is_full(file, place(file) + count) ? -1 : REAL(write)(file, bytes, count);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    return is_full(file, place(file) + sum(parts, count)) ? -1 : REAL(writev)(file, parts, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return is_full(file, at + count) ? -1 : REAL(pwrite)(file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    return is_full(file, at + count) ? -1 : REAL(pwrite64)(file, bytes, count, at);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) {
    return is_full(file, at + sum(parts, count)) ? -1 : REAL(pwritev)(file, parts, count, at);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) {
    return is_full(file, at + sum(parts, count)) ? -1 : REAL(pwritev64)(file, parts, count, at);
}

int ftruncate(int file, off_t size) {
    return is_full(file, size) ? -1 : REAL(ftruncate)(file, size);
}

int ftruncate64(int file, off64_t size) {
    return is_full(file, size) ? -1 : REAL(ftruncate64)(file, size);
}

int posix_fallocate(int file, off_t at, off_t count) {
    return is_full(file, at + count) ? ENOSPC : REAL(posix_fallocate)(file, at, count);
}

int posix_fallocate64(int file, off64_t at, off64_t count) {
    return is_full(file, at + count) ? ENOSPC : REAL(posix_fallocate64)(file, at, count);
}
