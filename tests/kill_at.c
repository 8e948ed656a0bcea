/* Kills the process at its n-th change to a file under a folder, in whatever thread and language.
 *
 *   cc -shared -fPIC -o kill_at.so kill_at.c -ldl;  KILL_UNDER=FOLDER LD_PRELOAD=./kill_at.so ...
 *
 * kill_at(n) arms it; a write is cut in half first. changes() says how many there were since.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long count, at;
static atomic_char ours[65536]; /* open files and folders under the folder */

void kill_at(long n) { count = 0; at = n; }
long changes(void) { return count; }

static int under(const char *path) {
    static const char *folder;
    if (!folder && !(folder = getenv("KILL_UNDER"))) return 0;
    return path && !strncmp(path, folder, strlen(folder));
}

static int last(int counts) { /* whether the process must not live to see this change */
    if (!counts) return 0;
    long n = atomic_fetch_add(&count, 1) + 1;
    return at && n >= at;
}

static void die(void) { for (;;) kill(getpid(), SIGKILL); }

#define NEXT(name) __typeof__(name) *next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define CHANGE(name, type, parameters, arguments, path)  \
    type name parameters {                               \
        NEXT(name);                                      \
        if (last(under(path))) die();                    \
        return next arguments;                           \
    }

CHANGE(mkdir, int, (const char *p, mode_t m), (p, m), p)
CHANGE(rmdir, int, (const char *p), (p), p)
CHANGE(unlink, int, (const char *p), (p), p)
CHANGE(rename, int, (const char *p, const char *q), (p, q), q)
CHANGE(symlink, int, (const char *p, const char *q), (p, q), q)
CHANGE(link, int, (const char *p, const char *q), (p, q), q)
CHANGE(truncate, int, (const char *p, off_t n), (p, n), p)

/* Relative to an open folder, as shutil.rmtree does: such a folder counts as ours. */
#define CHANGE_AT(name, type, parameters, arguments, fd) \
    type name parameters {                               \
        NEXT(name);                                      \
        if (last(fd >= 0 && ours[fd])) die();    \
        return next arguments;                           \
    }

CHANGE_AT(unlinkat, int, (int fd, const char *p, int f), (fd, p, f), fd)
CHANGE_AT(fsync, int, (int fd), (fd), fd)
CHANGE_AT(fdatasync, int, (int fd), (fd), fd)
CHANGE_AT(ftruncate, int, (int fd, off_t n), (fd, n), fd)

int renameat(int a, const char *p, int b, const char *q) {
    NEXT(renameat);
    if (last(under(q))) die();
    return next(a, p, b, q);
}

static int opened(int fd, int mine) {
    if (fd >= 0) ours[fd] = (char)mine;
    return fd;
}

#define OPEN(name, parameters, arguments, from)                               \
    int name parameters {                                                     \
        NEXT(name);                                                           \
        mode_t mode = 0;                                                      \
        if (flags & O_CREAT) {                                                \
            va_list rest;                                                     \
            va_start(rest, flags);                                            \
            mode = va_arg(rest, mode_t);                                      \
            va_end(rest);                                                     \
        }                                                                     \
        int mine = under(path) || (*path != '/' && from >= 0 && ours[from]);  \
        if (last(mine && (flags & (O_WRONLY | O_RDWR | O_CREAT)))) die();     \
        return opened(next arguments, mine);                                  \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode), -1)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), -1)
OPEN(openat, (int fd, const char *path, int flags, ...), (fd, path, flags, mode), fd)
OPEN(openat64, (int fd, const char *path, int flags, ...), (fd, path, flags, mode), fd)

ssize_t write(int fd, const void *data, size_t n) {
    NEXT(write);
    if (last(fd >= 0 && ours[fd])) {
        next(fd, data, n / 2);
        die();
    }
    return next(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t to) {
    NEXT(pwrite);
    if (last(fd >= 0 && ours[fd])) {
        next(fd, data, n / 2, to);
        die();
    }
    return next(fd, data, n, to);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    NEXT(writev);
    if (last(fd >= 0 && ours[fd])) die();
    return next(fd, parts, n);
}

int close(int fd) {
    NEXT(close);
    if (fd >= 0) ours[fd] = 0;
    return next(fd);
}
