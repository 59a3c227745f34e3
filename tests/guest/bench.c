// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What ./lend bench does with the shared BAR of an ivshmem device. What is counted is between two marks (mark.h), with the BAR
 * mapped and nothing else to be done.
 *
 *   bench [-d N] touch HOW SIZE [COUNT] [write]
 *                           one access to pages of the first SIZE bytes of the N-th device (0). HOW: order, back; stride (one in 16 pages),
 *                           random: COUNT pages of them, each once
 *   bench [-d N] one PAGE   one access, with the path noted
 *   bench [-d N] pass SIZE COUNT
 *                           every word, COUNT times; the first time goes before the mark
 *   bench [-d N] copy SIZE  to the BAR, from memory
 *   bench [-d N] threads N HOW SIZE COUNT
 *                           as touch, by N threads on as many processors, each in a part of its own
 *   bench mark begin|end    a mark alone
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "ivshmem.h"
#include "mark.h"

#define PAGE   4096UL
#define STRIDE 16

static volatile unsigned char *bar;
static size_t size;

struct touch {
    size_t first, pages, count;
    enum { ORDER, BACK, STRIDED, RANDOM } how;
    int write, cpu;
    size_t *list;               /* of RANDOM: made before the mark */
    pthread_barrier_t *barrier;
};

static void how(struct touch *t, const char *text)
{
    static const char *const names[] = { "order", "back", "stride", "random" };

    for (t->how = 0; t->how <= RANDOM; t->how++)
        if (!strcmp(text, names[t->how]))
            return;
    errx(2, "'%s' is none of order, back, stride, random", text);
}

/* Each of the first COUNT is another page: the list is a permutation. */
static void prepare(struct touch *t)
{
    uint64_t state = 88172645463325252ULL;

    if (t->how != RANDOM)
        return;
    t->list = malloc(t->pages * sizeof(*t->list));
    if (!t->list)
        err(2, "malloc");
    for (size_t i = 0; i < t->pages; i++)
        t->list[i] = i;
    for (size_t i = 0; i < t->count; i++) {
        size_t other, page = t->list[i];

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        other = i + state % (t->pages - i);
        t->list[i] = t->list[other];
        t->list[other] = page;
    }
}

static size_t page_of(const struct touch *t, size_t i)
{
    switch (t->how) {
    case ORDER:
        return t->first + i;
    case BACK:
        return t->first + t->pages - 1 - i;
    case STRIDED:
        return t->first + i * STRIDE;
    default:
        return t->first + t->list[i];
    }
}

static void touch(const struct touch *t)
{
    for (size_t i = 0; i < t->count; i++) {
        volatile unsigned char *byte = bar + page_of(t, i) * PAGE;

        if (t->write)
            *byte = i;
        else
            (void)*byte;
    }
}

/* So many pages as the way of going allows. */
static void limits(struct touch *t, size_t bytes, const char *count)
{
    size_t most;

    t->pages = bytes / PAGE;
    most = t->how == STRIDED ? t->pages / STRIDE : t->pages;
    t->count = count ? number(count) : most;
    if (!most || t->count > most)
        errx(2, "there are %zu pages to touch", most);
}

static void *thread(void *arg)
{
    struct touch *t = arg;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(t->cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        err(2, "going to processor %d", t->cpu);
    pthread_barrier_wait(t->barrier);       /* all are there: begin */
    pthread_barrier_wait(t->barrier);
    touch(t);
    pthread_barrier_wait(t->barrier);
    return NULL;
}

static void threads(char **argv)
{
    unsigned long n = number(argv[0]);
    size_t bytes = number(argv[2]) / n;
    struct touch *t = calloc(n, sizeof(*t));
    pthread_barrier_t barrier;
    pthread_t id;

    if (!t || !n || pthread_barrier_init(&barrier, NULL, n + 1))
        err(2, "threads");
    for (unsigned long i = 0; i < n; i++) {
        how(&t[i], argv[1]);
        limits(&t[i], bytes, argv[3]);
        t[i].first = i * (bytes / PAGE);
        t[i].cpu = i;
        t[i].barrier = &barrier;
        prepare(&t[i]);
        if (pthread_create(&id, NULL, thread, &t[i]))
            err(2, "a thread");
    }
    pthread_barrier_wait(&barrier);
    MARK_BEGIN();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    MARK_END();
}

static uint64_t pass(size_t bytes)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < bytes; i += 8)
        sum += *(volatile uint64_t *)(bar + i);
    return sum;
}

static size_t bytes(const char *text)
{
    size_t value = number(text);

    if (value > size)
        errx(2, "the BAR has %zu bytes", size);
    return value;
}

static int run(int argc, char **argv)
{
    if (argc >= 3 && argc <= 5 && !strcmp(argv[0], "touch")) {
        struct touch t = { .write = !strcmp(argv[argc - 1], "write") };

        how(&t, argv[1]);
        limits(&t, bytes(argv[2]), argc - t.write > 3 ? argv[3] : NULL);
        prepare(&t);
        MARK_BEGIN();
        touch(&t);
        MARK_END();
    } else if (argc == 2 && !strcmp(argv[0], "one")) {
        size_t at = bytes(argv[1]) * PAGE;

        if (at >= size)
            errx(2, "the BAR has %zu bytes", size);
        MARK_BEGIN_PATH();
        (void)bar[at];
        MARK_END();
    } else if (argc == 3 && !strcmp(argv[0], "pass")) {
        size_t length = bytes(argv[1]);
        unsigned long count = number(argv[2]);
        uint64_t first = pass(length);

        MARK_BEGIN();
        while (count--)
            if (pass(length) != first)
                errx(1, "it changed");
        MARK_END();
    } else if (argc == 2 && !strcmp(argv[0], "copy")) {
        size_t length = bytes(argv[1]);
        uint64_t *from = malloc(length);

        if (!from)
            err(2, "malloc");
        memset(from, 0x5a, length);
        MARK_BEGIN();
        for (size_t i = 0; i < length; i += 8)
            *(volatile uint64_t *)(bar + i) = from[i / 8];
        MARK_END();
    } else if (argc == 5 && !strcmp(argv[0], "threads")) {
        bytes(argv[3]);
        threads(argv + 1);
    } else {
        errx(2, "'%s' is no command, or lacks something; see the head of bench.c", argv[0]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t address;
    int device = 0;

    argv++, argc--;
    if (argc == 2 && !strcmp(argv[0], "mark")) {
        if (!strcmp(argv[1], "begin"))
            MARK_BEGIN();
        else
            MARK_END();
        return 0;
    }
    if (argc >= 2 && !strcmp(argv[0], "-d")) {
        device = number(argv[1]);
        argv += 2, argc -= 2;
    }
    if (argc < 1)
        errx(2, "usage: bench [-d N] touch|one|pass|copy|threads|mark ...");
    bar = ivshmem_map(device, &size, &address);
    return run(argc, argv);
}
