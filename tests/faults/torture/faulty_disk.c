/* A disk that fails where the journal is. Preloaded into the service; steered by the test through a page of memory that
 * both map: words of 32 bits, little endian.
 *
 *   0 fsync   0 well, 1 EIO: what was written since the last good fsync is gone, as a kernel drops dirty pages
 *   1 write   0 well, 1 EIO, 2 ENOSPC (also for room reserved ahead), 3 half of what was asked is written
 *   2 rename  0 well, 1 EIO
 *   3 open    0 well, 1 EIO for a file that is to be made
 *   4 read    0 well, 4 of a segment: does not return until this is 0 again
 *   8..       how often: good fsyncs, failed fsyncs, good writes, failed writes, short writes, failed renames, failed opens
 *
 * Only descriptors and paths with "/journal" in them are touched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FSYNC, WRITE, RENAME, OPEN, READ };
enum { GOOD_FSYNCS = 8, FAILED_FSYNCS, GOOD_WRITES, FAILED_WRITES, SHORT_WRITES, FAILED_RENAMES, FAILED_OPENS };
enum { FDS_MAX = 4096, PAGE_BYTES = 4096 };

static volatile uint32_t *page;
/* what was written to a descriptor since its last good fsync */
static struct { off_t from, to; } dirty[FDS_MAX];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTY_DISK");
    int fd = path ? open(path, O_RDWR) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) page = mapped;
    REAL(close)(fd);
}

static uint32_t mode(int what) { return page ? page[what] : 0; }

static void count(int what) {
    if (page) __atomic_fetch_add((uint32_t *)&page[what], 1, __ATOMIC_SEQ_CST);
}

static int is_journal_path(const char *path) { return path && strstr(path, "/journal") != NULL; }

/* Where a descriptor leads, if that is in the journal. */
static int journal_path_of(int fd, char path[4096]) {
    char link[64];
    if (!page || fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    if (length <= 0) return 0;
    path[length] = 0;
    return path[0] == '/' && is_journal_path(path);
}

static int is_journal(int fd) {
    char path[4096];
    return journal_path_of(fd, path);
}

/* ---- read ---- */

static void hold_read(int fd) {
    char path[4096];
    if (mode(READ) == 0 || !journal_path_of(fd, path)) return;
    if (!strstr(path, ".segment") && !strstr(path, ".open")) return;
    while (mode(READ) != 0) usleep(10000);
}

ssize_t pread(int fd, void *bytes, size_t asked, off_t at) {
    hold_read(fd);
    return REAL(pread)(fd, bytes, asked, at);
}

ssize_t pread64(int fd, void *bytes, size_t asked, off_t at) {
    hold_read(fd);
    return REAL(pread)(fd, bytes, asked, at);
}

/* ---- fsync ---- */

static int sync_with(int fd, int (*real)(int)) {
    if (!is_journal(fd)) return real(fd);
    if (mode(FSYNC) == 0) {
        int result = real(fd);
        if (result == 0) {
            count(GOOD_FSYNCS);
            if (fd < FDS_MAX) dirty[fd].from = dirty[fd].to = 0;
        }
        return result;
    }
    if (fd < FDS_MAX && dirty[fd].to > dirty[fd].from) {
        static const char zeros[65536];
        for (off_t at = dirty[fd].from; at < dirty[fd].to; at += sizeof zeros) {
            size_t rest = dirty[fd].to - at;
            REAL(pwrite)(fd, zeros, rest < sizeof zeros ? rest : sizeof zeros, at);
        }
    }
    count(FAILED_FSYNCS);
    errno = EIO;
    return -1;
}

int fsync(int fd) { return sync_with(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_with(fd, REAL(fdatasync)); }

/* ---- write ---- */

/* How many of `asked` bytes may be written; -1 with errno when none. */
static ssize_t allowed(size_t asked) {
    switch (mode(WRITE)) {
    case 1: count(FAILED_WRITES); errno = EIO; return -1;
    case 2: count(FAILED_WRITES); errno = ENOSPC; return -1;
    case 3: if (asked > 1) { count(SHORT_WRITES); return asked / 2; } break;
    }
    count(GOOD_WRITES);
    return asked;
}

static void soil(int fd, off_t from, ssize_t written) {
    if (fd >= FDS_MAX || written <= 0 || from < 0) return;
    if (dirty[fd].to == dirty[fd].from) { dirty[fd].from = from; dirty[fd].to = from; }
    if (from < dirty[fd].from) dirty[fd].from = from;
    if (from + written > dirty[fd].to) dirty[fd].to = from + written;
}

static off_t position(int fd) {
    struct stat status;
    if (fcntl(fd, F_GETFL) & O_APPEND) return fstat(fd, &status) == 0 ? status.st_size : -1;
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *bytes, size_t asked) {
    if (!is_journal(fd)) return REAL(write)(fd, bytes, asked);
    ssize_t may = allowed(asked);
    if (may < 0) return -1;
    off_t at = position(fd);
    ssize_t written = REAL(write)(fd, bytes, may);
    soil(fd, at, written);
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
    if (!is_journal(fd)) return REAL(writev)(fd, parts, number);
    size_t asked = 0;
    for (int n = 0; n < number; n++) asked += parts[n].iov_len;
    ssize_t may = allowed(asked);
    if (may < 0) return -1;
    off_t at = position(fd);
    ssize_t written;
    if ((size_t)may < asked) {
        /* a short one: the first part that is not empty, or half of it */
        int first = 0;
        while (parts[first].iov_len == 0) first++;
        size_t length = parts[first].iov_len;
        written = REAL(write)(fd, parts[first].iov_base, length > 1 ? length / 2 : 1);
    } else {
        written = REAL(writev)(fd, parts, number);
    }
    soil(fd, at, written);
    return written;
}

static ssize_t write_at(int fd, const void *bytes, size_t asked, off_t at) {
    ssize_t (*real)(int, const void *, size_t, off_t) = REAL(pwrite);
    if (!is_journal(fd)) return real(fd, bytes, asked, at);
    ssize_t may = allowed(asked);
    if (may < 0) return -1;
    ssize_t written = real(fd, bytes, may, at);
    soil(fd, at, written);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t asked, off_t at) { return write_at(fd, bytes, asked, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t asked, off_t at) { return write_at(fd, bytes, asked, at); }

static int no_room(int fd) {
    if (mode(WRITE) != 2 || !is_journal(fd)) return 0;
    count(FAILED_WRITES);
    return 1;
}

int posix_fallocate(int fd, off_t from, off_t length) {
    return no_room(fd) ? ENOSPC : REAL(posix_fallocate)(fd, from, length);
}

int fallocate(int fd, int how, off_t from, off_t length) {
    if (no_room(fd)) { errno = ENOSPC; return -1; }
    return REAL(fallocate)(fd, how, from, length);
}

int fallocate64(int fd, int how, off_t from, off_t length) { return fallocate(fd, how, from, length); }

/* ---- names ---- */

static int rename_fails(int is_in_journal) {
    if (mode(RENAME) == 0 || !is_in_journal) return 0;
    count(FAILED_RENAMES);
    errno = EIO;
    return 1;
}

int rename(const char *from, const char *to) {
    return rename_fails(is_journal_path(from) || is_journal_path(to)) ? -1 : REAL(rename)(from, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    int is_in_journal = is_journal(from_fd) || is_journal(to_fd) || is_journal_path(from) || is_journal_path(to);
    return rename_fails(is_in_journal) ? -1 : REAL(renameat)(from_fd, from, to_fd, to);
}

static int open_fails(int is_in_journal, int flags) {
    if (mode(OPEN) == 0 || !(flags & O_CREAT) || !is_in_journal) return 0;
    count(FAILED_OPENS);
    errno = EIO;
    return 1;
}

#define OPEN_AS(name)                                                                                                  \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t permissions = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                 \
        va_end(rest);                                                                                                  \
        if (open_fails(is_journal_path(path), flags)) return -1;                                                       \
        int fd = REAL(name)(path, flags, permissions);                                                                 \
        if (fd >= 0 && fd < FDS_MAX) dirty[fd].from = dirty[fd].to = 0;                                                \
        return fd;                                                                                                     \
    }
OPEN_AS(open)
OPEN_AS(open64)

#define OPENAT_AS(name)                                                                                                \
    int name(int dir, const char *path, int flags, ...) {                                                              \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t permissions = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                 \
        va_end(rest);                                                                                                  \
        if (open_fails(is_journal(dir) || is_journal_path(path), flags)) return -1;                                    \
        int fd = REAL(name)(dir, path, flags, permissions);                                                            \
        if (fd >= 0 && fd < FDS_MAX) dirty[fd].from = dirty[fd].to = 0;                                                \
        return fd;                                                                                                     \
    }
OPENAT_AS(openat)
OPENAT_AS(openat64)
