/* A disk that forgets what was not synced, and one that fills up: for LD_PRELOAD.
 *
 * Everything that a program does below AUPS_DISK_ROOT is done, and written to AUPS_DISK_LOG/log together with how to undo
 * it. After the program was killed, the test undoes what no fsync, fdatasync, sync_file_range, syncfs or sync came after: of
 * files their bytes and lengths, of directories their names. While AUPS_DISK_LOG/full exists, nothing more can be written.
 *
 * What it does not see: mmap, copy_file_range, sendfile, and system calls past the C library, but for syncfs, which is
 * caught. What these do counts as synced. The layout of the log is that of `struct record`; see disk.rs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, CREATE = 3, REMOVE = 4, RENAME = 5, MKDIR = 6, RMDIR = 7, SYNC_ALL = 8 };

struct record {
    uint32_t kind, first, second, unused; /* lengths of what follows */
    uint64_t inode;                       /* of the file, or of the directory whose names change */
    uint64_t offset;                      /* of the bytes that were there; of SYNC: the length of the log when it began */
    uint64_t size;                        /* of the file before */
};

static char root[PATH_MAX], logs[PATH_MAX], full[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static uint64_t log_length, backups;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void catch_syncfs(void);

__attribute__((constructor)) static void begin(void) {
    const char *below = getenv("AUPS_DISK_ROOT"), *log = getenv("AUPS_DISK_LOG");
    char path[PATH_MAX];
    if (!below || !log || snprintf(root, sizeof root, "%s/", below) >= PATH_MAX) return;
    snprintf(logs, sizeof logs, "%s", log);
    root_length = strlen(root);
    if (snprintf(full, sizeof full, "%s/full", log) >= PATH_MAX || snprintf(path, sizeof path, "%s/log", log) >= PATH_MAX) return;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    catch_syncfs();
}

static void note(struct record record, const void *first, const void *second) {
    struct iovec parts[3] = {{&record, sizeof record}, {(void *)first, record.first}, {(void *)second, record.second}};
    ssize_t written = (ssize_t)syscall(SYS_writev, log_fd, parts, 3);
    if (written != (ssize_t)(sizeof record + record.first + record.second)) abort();
    log_length += (uint64_t)written;
}

static int below_root(const char *path) { return log_fd >= 0 && strncmp(path, root, root_length) == 0; }

/* The absolute path of a file that is named relative to a directory. */
static int absolute(int dir, const char *path, char *whole) {
    char base[PATH_MAX], link[64];
    ssize_t length;
    if (log_fd < 0 || !path || !*path) return 0;
    if (*path == '/') return snprintf(whole, PATH_MAX, "%s", path) < PATH_MAX && below_root(whole);
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        length = (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
    }
    return snprintf(whole, PATH_MAX, "%s/%s", base, path) < PATH_MAX && below_root(whole);
}

static uint64_t parent(const char *path) {
    char dir[PATH_MAX];
    struct stat status;
    snprintf(dir, sizeof dir, "%s", path);
    char *end = strrchr(dir, '/');
    while (end && !end[1]) { *end = 0; end = strrchr(dir, '/'); }
    if (!end) return 0;
    *end = 0;
    return fstatat(AT_FDCWD, dir, &status, 0) ? 0 : (uint64_t)status.st_ino;
}

static int exists(const char *path) {
    struct stat status;
    int before = errno, found = fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
    errno = before;
    return found;
}

/* Another name for a file, that it outlives its own. */
static void keep(const char *path, char *backup) {
    snprintf(backup, PATH_MAX, "%.*s/%llu", PATH_MAX - 24, logs, (unsigned long long)++backups);
    syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, backup, 0);
}

static void note_name(uint32_t kind, const char *first, const char *second, size_t second_length) {
    struct record record = {kind, (uint32_t)strlen(first), (uint32_t)second_length, 0, parent(first), 0, 0};
    note(record, first, second);
}

static int regular_below_root(int fd, struct stat *status) {
    char link[64], path[PATH_MAX];
    if (log_fd < 0 || fd == log_fd || fstat(fd, status) || !S_ISREG(status->st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below_root(path);
}

/* Notes the bytes that are about to be overwritten or cut off, and the length that the file has now. */
static void note_bytes(const struct stat *status, int fd, off_t offset, size_t length) {
    size_t there = 0;
    char *bytes = NULL, link[64];
    if (offset < status->st_size) {
        there = (size_t)(status->st_size - offset);
        if (there > length) there = length;
        bytes = malloc(there);
        /* The file itself may be open for writing only. */
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        int reader = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
        if (!bytes || reader < 0 || pread(reader, bytes, there, offset) != (ssize_t)there) abort();
        syscall(SYS_close, reader);
    }
    struct record record = {WRITE, (uint32_t)there, 0, 0, (uint64_t)status->st_ino, (uint64_t)offset, (uint64_t)status->st_size};
    note(record, bytes, NULL);
    free(bytes);
}

static int disk_is_full(void) {
    if (!exists(full)) return 0;
    errno = ENOSPC;
    return 1;
}

static ssize_t write_parts(int fd, const struct iovec *parts, int count, int at_offset, off_t offset) {
    struct stat status;
    size_t length = 0;
    ssize_t written = -1;
    int before = errno, tracked = regular_below_root(fd, &status);
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    errno = before;
    if (tracked) {
        pthread_mutex_lock(&mutex);
        if (disk_is_full()) { pthread_mutex_unlock(&mutex); return -1; }
        fstat(fd, &status);
        off_t from = at_offset ? offset : (fcntl(fd, F_GETFL) & O_APPEND) ? status.st_size : lseek(fd, 0, SEEK_CUR);
        note_bytes(&status, fd, from, length);
        errno = before;
    }
    /* The kernel takes the offset in two halves; on 64 bits the lower one is all. */
    written = at_offset ? (ssize_t)syscall(SYS_pwritev, fd, parts, count, offset, 0) : (ssize_t)syscall(SYS_writev, fd, parts, count);
    if (tracked) pthread_mutex_unlock(&mutex);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    return write_parts(fd, &part, 1, 0, 0);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    struct iovec part = {(void *)bytes, length};
    return write_parts(fd, &part, 1, 1, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return pwrite(fd, bytes, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_parts(fd, parts, count, 0, 0); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return write_parts(fd, parts, count, 1, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return write_parts(fd, parts, count, 1, offset); }

int ftruncate(int fd, off_t length) {
    struct stat status;
    int tracked = regular_below_root(fd, &status);
    if (!tracked) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&mutex);
    int outcome = -1;
    fstat(fd, &status);
    if (length <= status.st_size || !disk_is_full()) {
        note_bytes(&status, fd, length, SIZE_MAX);
        outcome = (int)syscall(SYS_ftruncate, fd, length);
    }
    pthread_mutex_unlock(&mutex);
    return outcome;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }
int fallocate(int fd, int mode, off_t offset, off_t length) {
    struct stat status;
    if (!regular_below_root(fd, &status)) return (int)syscall(SYS_fallocate, fd, mode, offset, length);
    errno = EOPNOTSUPP;
    return -1;
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { (void)fd; (void)offset; (void)length; return EOPNOTSUPP; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

static int open_at(int dir, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    struct stat status;
    int before = errno;
    if (!(flags & (O_CREAT | O_TRUNC)) || !absolute(dir, path, whole)) return (int)syscall(SYS_openat, dir, path, flags, mode);
    pthread_mutex_lock(&mutex);
    int there = exists(whole), opened = -1;
    errno = before;
    if (!there && (flags & O_CREAT) && disk_is_full()) { pthread_mutex_unlock(&mutex); return -1; }
    if (there && (flags & O_TRUNC) && fstatat(AT_FDCWD, whole, &status, 0) == 0 && status.st_size > 0) {
        int old = (int)syscall(SYS_openat, AT_FDCWD, whole, O_RDONLY | O_CLOEXEC, 0);
        if (old >= 0) { note_bytes(&status, old, 0, SIZE_MAX); syscall(SYS_close, old); }
    }
    opened = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (opened >= 0 && !there) { before = errno; note_name(CREATE, whole, NULL, 0); errno = before; }
    pthread_mutex_unlock(&mutex);
    return opened;
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
int open(const char *path, int flags, ...) { MODE_OF(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return open_at(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE_OF(flags) return open_at(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE_OF(flags) return open_at(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int mkdirat(int dir, const char *path, mode_t mode) {
    char whole[PATH_MAX];
    if (!absolute(dir, path, whole)) return (int)syscall(SYS_mkdirat, dir, path, mode);
    pthread_mutex_lock(&mutex);
    int outcome = disk_is_full() ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
    if (outcome == 0) note_name(MKDIR, whole, NULL, 0);
    pthread_mutex_unlock(&mutex);
    return outcome;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int unlinkat(int dir, const char *path, int flags) {
    char whole[PATH_MAX], backup[PATH_MAX] = "";
    if (!absolute(dir, path, whole)) return (int)syscall(SYS_unlinkat, dir, path, flags);
    pthread_mutex_lock(&mutex);
    if (!(flags & AT_REMOVEDIR)) keep(whole, backup);
    int outcome = (int)syscall(SYS_unlinkat, dir, path, flags), before = errno;
    if (outcome == 0) note_name(flags & AT_REMOVEDIR ? RMDIR : REMOVE, whole, backup, strlen(backup));
    errno = before;
    pthread_mutex_unlock(&mutex);
    return outcome;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    /* Where to, then where from, then what was there before, each ended by a zero but the last. */
    char whole_to[PATH_MAX], others[2 * PATH_MAX];
    if (!absolute(to_dir, to, whole_to) || !absolute(from_dir, from, others))
        return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&mutex);
    char *backup = others + strlen(others) + 1;
    *backup = 0;
    if (exists(whole_to)) keep(whole_to, backup);
    int outcome = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags), before = errno;
    if (outcome == 0) note_name(RENAME, whole_to, others, (size_t)(backup - others) + strlen(backup));
    errno = before;
    pthread_mutex_unlock(&mutex);
    return outcome;
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char whole[PATH_MAX];
    if (!absolute(to_dir, to, whole)) return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&mutex);
    int outcome = disk_is_full() ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags), before = errno;
    if (outcome == 0) note_name(CREATE, whole, NULL, 0);
    errno = before;
    pthread_mutex_unlock(&mutex);
    return outcome;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* What was done before this began is safe when it has ended. The disk itself need not do it: the test undoes what it
 * would have lost. */
static uint64_t sync_begins(void) {
    pthread_mutex_lock(&mutex);
    uint64_t position = log_length;
    pthread_mutex_unlock(&mutex);
    return position;
}
static void sync_ends(uint32_t kind, uint64_t inode, uint64_t position) {
    struct record record = {kind, 0, 0, 0, inode, position, 0};
    pthread_mutex_lock(&mutex);
    note(record, NULL, NULL);
    pthread_mutex_unlock(&mutex);
}
static int sync_file(int fd) {
    struct stat status;
    if (log_fd < 0 || fstat(fd, &status)) return (int)syscall(SYS_fsync, fd);
    uint64_t position = sync_begins();
    if (S_ISREG(status.st_mode) && exists(full)) { errno = ENOSPC; return -1; }
    sync_ends(SYNC, (uint64_t)status.st_ino, position);
    return 0;
}
int fsync(int fd) { return sync_file(fd); }
int fdatasync(int fd) { return sync_file(fd); }
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    (void)offset; (void)length; (void)flags;
    return sync_file(fd);
}
void sync(void) {
    uint64_t position = sync_begins();
    if (log_fd >= 0) sync_ends(SYNC_ALL, 0, position);
}
int syncfs(int fd) {
    (void)fd;
    sync();
    return 0;
}

static void on_syncfs(int signal, siginfo_t *caught, void *context) {
    ucontext_t *thread = context;
    (void)signal; (void)caught;
    sync();
#if defined(__x86_64__)
    thread->uc_mcontext.gregs[REG_RAX] = 0;
#elif defined(__aarch64__)
    thread->uc_mcontext.regs[0] = 0;
#else
#error "where this processor keeps what a system call answers"
#endif
}

/* Those who make the call past the C library get a signal, which answers in its place. */
static void catch_syncfs(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_syncfs, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof rules / sizeof *rules, rules};
    struct sigaction action = {0};
    action.sa_sigaction = on_syncfs;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    if (sigaction(SIGSYS, &action, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        abort();
}
