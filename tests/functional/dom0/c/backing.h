/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of memory to lend, by name; used by lend_serve and lend_inject.  Each comes as a descriptor (-1: anonymous), what to map it
 * with, and for some a second descriptor: that of the memfd behind a udmabuf.
 */
#ifndef BACKING_H
#define BACKING_H

#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "drmbuf.h"
#include "lendtest.h"

#define HUGE (2UL << 20)

struct bed {
    int fd;                     /* /dev/xen/lend */
    int file, behind;
    off_t offset;               /* in the file */
    struct drm drm;
    int share, prot;            /* for mmap */
    bool by_fd;                 /* leased as a file: nothing of ours is mapped */
    unsigned listen;            /* vCPUs whose faults are the kernel's, or 0 */
    pid_t child;                /* the process that leased, if not this one */
    uint32_t id;
    char *mem;
    size_t len;
};

static bool prefix(const char *word, const char *start, const char **rest)
{
    *rest = word + strlen(start);
    return !strncmp(word, start, strlen(start));
}

/* The first words of a file's pages. */
static int file_fill(int file, unsigned long page, unsigned long n, uint64_t value)
{
    for (unsigned long i = page; i < page + n; i++) {
        uint64_t word = value + i;

        if (pwrite(file, &word, 8, i * PAGE) != 8)
            return errno ?: EIO;
    }
    return 0;
}

static int make_udmabuf(struct bed *b)
{
    struct udmabuf_create c = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = b->len };
    int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), err = 0;

    b->behind = memfd_create("behind", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (dev < 0 || ftruncate(b->behind, b->len) || fcntl(b->behind, F_ADD_SEALS, F_SEAL_SHRINK))
        return errno;
    c.memfd = b->behind;
    b->file = ioctl(dev, UDMABUF_CREATE, &c);
    if (b->file < 0)
        err = errno;
    close(dev);
    return err;
}

static int make_heap(struct bed *b)
{
    struct dma_heap_allocation_data a = { .len = b->len, .fd_flags = O_RDWR | O_CLOEXEC };
    int dev = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC), err;

    if (dev < 0)
        return errno;
    err = ioctl(dev, DMA_HEAP_IOCTL_ALLOC, &a) ? errno : 0;
    b->file = err ? -1 : (int)a.fd;
    close(dev);
    return err;
}

/* Fills missing pages of the bed with 0x1000 + their number; the first one it is asked for takes half a second. */
static void *uffd_serve(void *arg)
{
    struct bed *b = arg;
    struct pollfd p = { .fd = b->behind, .events = POLLIN };
    useconds_t wait = 500000;
    struct uffd_msg msg;

    while (poll(&p, 1, -1) > 0 && read(b->behind, &msg, sizeof(msg)) == sizeof(msg)) {
        uint64_t page[PAGE / 8] = {};
        uint64_t at = msg.arg.pagefault.address & -PAGE;
        struct uffdio_copy copy = { .dst = at, .src = (uintptr_t)page, .len = PAGE };

        usleep(wait);
        wait = 0;
        page[0] = 0x1000 + (at - (uintptr_t)b->mem) / PAGE;
        ioctl(b->behind, UFFDIO_COPY, &copy);
    }
    return NULL;
}

static int make_uffd(struct bed *b)
{
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register reg = { .range = { (uintptr_t)b->mem, b->len }, .mode = UFFDIO_REGISTER_MODE_MISSING };
    static pthread_t thread;

    b->behind = syscall(SYS_userfaultfd, O_CLOEXEC);
    if (b->behind < 0 || ioctl(b->behind, UFFDIO_API, &api) || ioctl(b->behind, UFFDIO_REGISTER, &reg))
        return errno;
    pthread_create(&thread, NULL, uffd_serve, b);
    return pthread_detach(thread);
}

/* 0 or an errno.  The contents are 0x1000 + page for those kinds that cannot be written. */
static int bed_open(struct bed *b, const char *kind)
{
    const char *rest;

    b->file = b->behind = -1;
    b->prot = PROT_READ | PROT_WRITE;
    b->share = MAP_SHARED;
    if (!strcmp(kind, "anon") || !strcmp(kind, "thp") || !strcmp(kind, "uffd")) {
        b->share = MAP_PRIVATE | MAP_ANONYMOUS;
        return 0;
    }
    if (!strcmp(kind, "shared")) {
        b->share = MAP_SHARED | MAP_ANONYMOUS;
        return 0;
    }
    if (prefix(kind, "drm=", &rest)) {
        int err = drm_open(&b->drm, rest, b->len);

        b->file = dup(b->drm.fd);
        b->offset = b->drm.buf[0].offset;
        return err;
    }
    if (!strcmp(kind, "udmabuf"))
        return make_udmabuf(b);
    if (!strcmp(kind, "heap"))
        return make_heap(b);
    if (!strcmp(kind, "memfd") || !strcmp(kind, "sealed"))
        b->file = memfd_create(kind, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    else if (!strcmp(kind, "hugetlb"))
        b->file = memfd_create(kind, MFD_CLOEXEC | MFD_HUGETLB);
    else if (prefix(kind, "rofile=", &rest))
        b->file = open(rest, O_RDONLY | O_CLOEXEC);
    else if (prefix(kind, "file=", &rest) || prefix(kind, "pfile=", &rest) || prefix(kind, "dev=", &rest))
        b->file = open(rest, O_RDWR | O_CLOEXEC);
    else
        return EINVAL;
    if (b->file < 0)
        return errno;
    if (kind[0] == 'p')
        b->share = MAP_PRIVATE;
    if (kind[0] == 'r')
        b->prot = PROT_READ;
    if ((!strcmp(kind, "memfd") || !strcmp(kind, "sealed") || !strcmp(kind, "hugetlb")) && ftruncate(b->file, b->len))
        return errno;
    if (!strcmp(kind, "sealed")) {
        b->prot = PROT_READ;
        return file_fill(b->file, 0, b->len / PAGE, 0x1000) ?:
               fcntl(b->file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) ? errno : 0;
    }
    return 0;
}

static int bed_map(struct bed *b, const char *kind)
{
    b->mem = mmap(NULL, b->len + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->mem == MAP_FAILED)
        return errno;
    b->mem = (char *)(((uintptr_t)b->mem + HUGE - 1) & -HUGE);
    if (mmap(b->mem, b->len, b->prot, b->share | MAP_FIXED, b->file, b->offset) == MAP_FAILED)
        return errno;
    if (!strcmp(kind, "thp"))
        return madvise(b->mem, b->len, MADV_HUGEPAGE) ? errno : 0;
    return strcmp(kind, "uffd") ? 0 : make_uffd(b);
}

/* A way to the memory for as long as a command takes: the mapping, or one for the moment. */
static inline char *bed_at(struct bed *b)
{
    return b->mem ?: mmap(NULL, b->len, b->prot, MAP_SHARED, b->file, b->offset);
}

static inline void bed_done(struct bed *b, char *at)
{
    if (!b->mem)
        munmap(at, b->len);
}

/* Another description of the same file, so that nothing depends on the one we keep. A DRM buffer belongs to its description. */
static inline int reopened(int file)
{
    struct stat st;
    char path[40];
    int fd;

    if (fstat(file, &st) || S_ISCHR(st.st_mode))
        return dup(file);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    fd = open(path, (fcntl(file, F_GETFL) & O_ACCMODE) | O_CLOEXEC);
    return fd < 0 ? dup(file) : fd;
}

static void bed_close(struct bed *b)
{
    close(b->fd);
    if (b->mem)
        munmap(b->mem, b->len);
    if (b->behind >= 0)
        close(b->behind);
    if (b->file >= 0)
        close(b->file);
    if (b->drm.n)
        close(b->drm.fd);
}

#endif
