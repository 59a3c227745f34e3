/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What no driver would ask of a virtio-gpu: a driver of its own, in a process of the guest's root, without the kernel's.
 *
 *   raw CASE     starts the device anew, does what CASE says, then maps and checks a blob as any driver would;
 *                the last line is "ok CASE ..." or "WRONG CASE ..."
 *   raw list     the cases
 *
 * The blobs are those that Venus makes for its rings: host memory of any size, without Vulkan.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <linux/virtio_config.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#define PAGE 4096ull
#define MIB (1ull << 20)
#define SLOTS 16                    /* of the queue; two for a command */
#define VENUS 4                     /* the capability set */
#define REFUSED VIRTIO_GPU_RESP_ERR_UNSPEC

static const char *name;
static char device[300];            /* its folder in sysfs */
static int config;
static volatile struct virtio_pci_common_cfg *common;
static volatile uint16_t *bell;
static int bar_no;
static uint64_t bar_size;
#define FIRST (256 * MIB)           /* all of it if it is no larger; then its last MiB as well */
static volatile uint8_t *bar, *last;
static struct vring ring;
static uint8_t *memory;             /* a page for the ring, one for the command, one for the answer */
static uint64_t at[3];              /* where the guest has these */
static uint16_t used;
static uint32_t last_id;

static void wrong(const char *text, ...)
{
    va_list more;

    printf("WRONG %s ", name);
    va_start(more, text);
    vprintf(text, more);
    va_end(more);
    printf("\n");
    exit(1);
}

static void sysfs_write(const char *file, const char *text)
{
    char path[400];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", device, file);
    fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        wrong("%s: %s", path, strerror(errno));
    close(fd);
}

/* A BAR, or a part of it. */
static volatile uint8_t *map_bar(int number, uint64_t offset, uint64_t size)
{
    char path[400];
    void *here;
    int fd;

    snprintf(path, sizeof(path), "%s/resource%d", device, number);
    fd = open(path, O_RDWR | O_SYNC);
    here = fd < 0 ? MAP_FAILED : mmap(NULL, size + offset % PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset / PAGE * PAGE);
    if (here == MAP_FAILED)
        wrong("%s: %s", path, strerror(errno));
    close(fd);
    return (uint8_t *)here + offset % PAGE;
}

static void find(void)
{
    uint8_t space[256] = { 0 };
    uint32_t multiplier = 0, length;
    struct virtio_pci_cap cap;
    uint64_t bell_at = 0;
    int bell_bar = -1;
    char path[400], text[16];
    glob_t all;

    if (glob("/sys/bus/pci/devices/*", 0, NULL, &all))
        wrong("no PCI");
    for (size_t i = 0; i < all.gl_pathc && config <= 0; i++) {
        snprintf(path, sizeof(path), "%s/config", all.gl_pathv[i]);
        config = open(path, O_RDWR);
        if (config >= 0 && pread(config, space, 256, 0) >= 64 && !memcmp(space, "\xf4\x1a\x50\x10", 4)) {
            snprintf(device, sizeof(device), "%s", all.gl_pathv[i]);
            break;
        }
        close(config);
        config = 0;
    }
    if (!config)
        wrong("no virtio-gpu");
    snprintf(path, sizeof(path), "%s/driver", device);
    if (!access(path, F_OK)) {
        snprintf(text, sizeof(text), "%.15s", strrchr(device, '/') + 1);
        sysfs_write("driver/unbind", text);
    }
    snprintf(path, sizeof(path), "%s/enable", device);
    sysfs_write("enable", "1");
    if (pread(config, space, 256, 0) < 256)
        wrong("configuration space");
    space[4] |= 6;                  /* memory, bus mastering */
    pwrite(config, space + 4, 1, 4);

    for (int cap_at = space[0x34]; cap_at; cap_at = space[cap_at + 1]) {
        if (space[cap_at] != 9)     /* vendor specific */
            continue;
        memcpy(&cap, space + cap_at, sizeof(cap));
        length = cap.length;
        switch (cap.cfg_type) {
        case VIRTIO_PCI_CAP_COMMON_CFG:
            common = (void *)map_bar(cap.bar, cap.offset, length);
            break;
        case VIRTIO_PCI_CAP_NOTIFY_CFG:
            memcpy(&multiplier, space + cap_at + sizeof(cap), 4);
            bell_bar = cap.bar, bell_at = cap.offset;
            break;
        case VIRTIO_PCI_CAP_SHARED_MEMORY_CFG:
            memcpy(&length, space + cap_at + sizeof(cap) + 4, 4);
            bar_size = cap.length | (uint64_t)length << 32;
            bar_no = cap.bar;
            break;
        }
    }
    if (!common || bell_bar < 0 || !bar_size)
        wrong("not all capabilities");
    bar = map_bar(bar_no, 0, bar_size < PAGE ? PAGE : bar_size < FIRST ? bar_size : FIRST);
    if (bar_size > FIRST)
        last = map_bar(bar_no, bar_size - MIB, MIB);
    bell = (void *)map_bar(bell_bar, bell_at, PAGE);
    if (multiplier && common->queue_notify_off)
        bell += common->queue_notify_off * multiplier / 2;
}

static uint64_t physical(const void *address)
{
    int fd = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry = 0;

    if (fd < 0 || pread(fd, &entry, 8, (uintptr_t)address / PAGE * 8) != 8 || !(entry & ((1ull << 55) - 1)))
        wrong("no physical address");
    close(fd);
    return (entry & ((1ull << 55) - 1)) * PAGE;
}

static void reset(void)
{
    common->device_status = 0;
    while (common->device_status)
        ;
}

static void start(void)
{
    memset(memory, 0, 3 * PAGE);
    used = 0;
    reset();
    common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
    common->device_status |= VIRTIO_CONFIG_S_DRIVER;
    common->guest_feature_select = 0;
    common->guest_feature = 1u << VIRTIO_GPU_F_VIRGL | 1u << VIRTIO_GPU_F_RESOURCE_BLOB | 1u << VIRTIO_GPU_F_CONTEXT_INIT;
    common->guest_feature_select = 1;
    common->guest_feature = 1u << (VIRTIO_F_VERSION_1 - 32);
    common->device_status |= VIRTIO_CONFIG_S_FEATURES_OK;
    if (!(common->device_status & VIRTIO_CONFIG_S_FEATURES_OK))
        wrong("features");
    vring_init(&ring, SLOTS, memory, 64);
    ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    common->queue_select = 0;
    common->queue_size = SLOTS;
    common->queue_desc_lo = at[0], common->queue_desc_hi = at[0] >> 32;
    uint64_t there = at[0] + ((uint8_t *)ring.avail - memory);
    common->queue_avail_lo = there, common->queue_avail_hi = there >> 32;
    there = at[0] + ((uint8_t *)ring.used - memory);
    common->queue_used_lo = there, common->queue_used_hi = there >> 32;
    common->queue_enable = 1;
    common->device_status |= VIRTIO_CONFIG_S_DRIVER_OK;
}

/* A command, and what the device says to it; 0 if it says nothing. */
static uint32_t ask(const void *command, size_t size)
{
    struct virtio_gpu_ctrl_hdr *answer = (void *)(memory + 2 * PAGE);
    time_t end = time(NULL) + 120;

    memcpy(memory + PAGE, command, size);
    memset(answer, 0, sizeof(*answer));
    ring.desc[0] = (struct vring_desc){ at[1], size, VRING_DESC_F_NEXT, 1 };
    ring.desc[1] = (struct vring_desc){ at[2], PAGE, VRING_DESC_F_WRITE, 0 };
    ring.avail->ring[ring.avail->idx % SLOTS] = 0;
    __sync_synchronize();           /* the device reads the index first */
    ring.avail->idx++;
    __sync_synchronize();
    *bell = 0;
    while (*(volatile uint16_t *)&ring.used->idx == used)
        if (time(NULL) > end)
            return 0;
    used++;
    __sync_synchronize();           /* the device has written the answer first */
    return answer->type;
}

static uint32_t context(uint32_t id)
{
    struct virtio_gpu_ctx_create made = { .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = id }, .nlen = 3,
                                          .context_init = VENUS, .debug_name = "raw" };

    return ask(&made, sizeof(made));
}

static uint32_t no_context(uint32_t id)
{
    struct virtio_gpu_ctx_destroy gone = { .hdr = { .type = VIRTIO_GPU_CMD_CTX_DESTROY, .ctx_id = id } };

    return ask(&gone, sizeof(gone));
}

static uint32_t create(uint32_t id, uint64_t size)
{
    struct virtio_gpu_resource_create_blob made = {
        .hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, .ctx_id = 1 }, .resource_id = id, .size = size,
        .blob_mem = VIRTIO_GPU_BLOB_MEM_HOST3D, .blob_flags = VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE };

    return ask(&made, sizeof(made));
}

static uint32_t map(uint32_t id, uint64_t offset)
{
    struct virtio_gpu_resource_map_blob where = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, .resource_id = id,
                                                  .offset = offset };

    return ask(&where, sizeof(where));
}

static uint32_t unmap(uint32_t id)
{
    struct virtio_gpu_resource_unmap_blob which = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, .resource_id = id };

    return ask(&which, sizeof(which));
}

static uint32_t unref(uint32_t id)
{
    struct virtio_gpu_resource_unref which = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF, .resource_id = id };

    return ask(&which, sizeof(which));
}

static void expect(const char *what, uint32_t wanted, uint32_t got)
{
    if (wanted != got)
        wrong("%s: 0x%x and not 0x%x", what, got, wanted);
}

#define OK(call) expect(#call, VIRTIO_GPU_RESP_OK_NODATA, call)
#define MAPPED(call) expect(#call, VIRTIO_GPU_RESP_OK_MAP_INFO, call)
#define NO(call) expect(#call, REFUSED, call)

/* A blob of that size, at that place. */
static uint32_t blob(uint64_t size, uint64_t offset)
{
    uint32_t id = ++last_id;

    OK(create(id, size));
    MAPPED(map(id, offset));
    return id;
}

static volatile uint32_t *word_at(uint64_t offset)
{
    return (void *)(offset < FIRST ? bar + offset : last + (offset - (bar_size - MIB)));
}

static void put(uint64_t offset, uint64_t size, uint32_t tag)
{
    for (uint64_t i = 0; i < size; i += PAGE)
        *word_at(offset + i) = tag + i / PAGE;
}

static bool has(uint64_t offset, uint64_t size, uint32_t tag)
{
    for (uint64_t i = 0; i < size; i += PAGE)
        if (*word_at(offset + i) != tag + i / PAGE)
            return false;
    return true;
}

#define HAS(offset, size, tag) do {                                                     \
        if (!has(offset, size, tag))                                                    \
            wrong("line %d: other contents at 0x%lx", __LINE__, (long)(offset));        \
    } while (0)

static void past_end(void)
{
    uint32_t id = ++last_id;

    OK(create(id, 16 * PAGE));
    NO(map(id, bar_size));
    NO(map(id, bar_size - PAGE));
    NO(map(id, bar_size - 15 * PAGE));
    NO(map(id, bar_size * 2));
    MAPPED(map(id, bar_size - 16 * PAGE));
    put(bar_size - 16 * PAGE, 16 * PAGE, 7);
    HAS(bar_size - 16 * PAGE, 16 * PAGE, 7);
    OK(unmap(id));
    /* larger than the BAR */
    OK(create(++last_id, bar_size + PAGE));
    NO(map(last_id, 0));
    OK(unref(last_id));
}

static void wraps(void)
{
    static const uint64_t offsets[] = { -PAGE, -16 * PAGE, -8 * PAGE, 1ull << 63, (1ull << 63) - PAGE, 1ull << 32, -1 };
    uint32_t id = ++last_id;

    OK(create(id, 16 * PAGE));
    for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++)
        NO(map(id, offsets[i]));
    OK(unref(id));
}

static void overlap(void)
{
    uint32_t first = blob(16 * PAGE, MIB), second = ++last_id, small = ++last_id;

    put(MIB, 16 * PAGE, 100);
    OK(create(second, 16 * PAGE));
    OK(create(small, PAGE));
    NO(map(second, MIB));
    NO(map(second, MIB + PAGE));
    NO(map(second, MIB - PAGE));
    NO(map(second, MIB - 15 * PAGE));
    NO(map(small, MIB));
    NO(map(small, MIB + 15 * PAGE));
    HAS(MIB, 16 * PAGE, 100);
    MAPPED(map(second, MIB + 16 * PAGE));
    MAPPED(map(small, MIB - PAGE));
    put(MIB + 16 * PAGE, 16 * PAGE, 200);
    put(MIB - PAGE, PAGE, 300);
    HAS(MIB, 16 * PAGE, 100);
    OK(unmap(first));
    HAS(MIB + 16 * PAGE, 16 * PAGE, 200);
    HAS(MIB - PAGE, PAGE, 300);
}

static void empty(void)
{
    uint32_t id = ++last_id, made = create(id, 0);

    if (made == VIRTIO_GPU_RESP_OK_NODATA)
        NO(map(id, 0));
}

static void pages_33(void)
{
    uint64_t size = 33 * PAGE;

    for (int i = 0; i < 20; i++)
        put(size * i, size, blob(size, size * i) * 1000);
    for (int i = 0; i < 20; i++)
        HAS(size * i, size, (i + 1) * 1000);
    for (int i = 0; i < 20; i += 2)
        OK(unmap(i + 1));
    for (int i = 1; i < 20; i += 2)
        HAS(size * i, size, (i + 1) * 1000);
}

/* No whole pages: the kernel's driver never asks for such. */
static void odd_size(void)
{
    static const uint64_t sizes[] = { 1, 100, 4095, 4097, 5000, 135169 };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        OK(create(++last_id, sizes[i]));
        NO(map(last_id, MIB * i));
    }
}

static void odd_offset(void)
{
    uint32_t id = ++last_id;

    OK(create(id, PAGE));
    NO(map(id, 1));
    NO(map(id, 2048));
    NO(map(id, PAGE + 4));
    MAPPED(map(id, PAGE));
}

static void twice(void)
{
    uint32_t id = blob(4 * PAGE, 0);

    put(0, 4 * PAGE, 42);
    NO(map(id, 0));
    NO(map(id, MIB));
    HAS(0, 4 * PAGE, 42);
    OK(unmap(id));
    MAPPED(map(id, MIB));
    HAS(MIB, 4 * PAGE, 42);         /* the same memory at another place */
    if (has(0, 4 * PAGE, 42))
        wrong("still at its old place");
}

static void destroyed(void)
{
    uint32_t id = blob(4 * PAGE, 0);

    put(0, 4 * PAGE, 9);
    OK(unref(id));
    if (has(0, PAGE, 9))
        wrong("a destroyed blob is still there");
    expect("unmap", VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, unmap(id));
    blob(4 * PAGE, 0);
    if (has(0, PAGE, 9))
        wrong("a new blob has an old one's contents");
}

static void context_gone(void)
{
    uint32_t id = blob(4 * PAGE, 0);

    put(0, 4 * PAGE, 11);
    OK(no_context(1));
    HAS(0, 4 * PAGE, 11);           /* resources outlive contexts */
    OK(unmap(id));
    OK(unref(id));
    OK(context(1));
    blob(4 * PAGE, 0);
}

static void reset_mapped(void)
{
    for (int round = 0; round < 5; round++) {
        blob(64 * PAGE, 0);
        blob(PAGE, 64 * PAGE);
        put(0, 65 * PAGE, 13);
        put(65 * PAGE, PAGE, 14);   /* no blob's */
        reset();
        if (has(0, 65 * PAGE, 13) || has(64 * PAGE, PAGE, 13 + 64) || has(65 * PAGE, PAGE, 14))
            wrong("contents outlive a reset");
        start();
        OK(context(1));
    }
}

static void full(void)
{
    uint64_t size = bar_size / 64;
    uint32_t first = last_id + 1, more;

    for (int i = 0; i < 64; i++)
        *word_at(i * size) = blob(size, i * size);
    more = ++last_id;
    OK(create(more, PAGE));
    for (int i = 0; i < 64; i++)
        NO(map(more, i * size));
    OK(unmap(first + 20));
    MAPPED(map(more, 20 * size + PAGE));
    OK(unmap(more));
    MAPPED(map(first + 20, 20 * size));
    for (int i = 0; i < 64; i++)
        if (*word_at(i * size) != first + i)
            wrong("contents of blob %d", i);
    for (int i = 0; i < 64; i++)
        OK(unref(first + i));
    for (int i = 0; i < 64; i++)
        blob(size, i * size);
}

static void nobody(void)
{
    uint32_t id = ++last_id;

    expect("map", VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, map(12345, 0));
    expect("map", VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, map(0, 0));
    expect("unmap", VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, unmap(12345));
    expect("unref", VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, unref(12345));
    expect("create", VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, create(0, PAGE));
    OK(create(id, PAGE));
    expect("create", VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, create(id, PAGE));
    OK(unmap(id));                  /* which is not mapped: as it has always been */
}

/* The BAR goes away, and to its place again, while blobs are in it. */
static void moved(void)
{
    uint32_t old, high, elsewhere;
    uint16_t command, off;

    blob(16 * PAGE, 0);
    put(0, 16 * PAGE, 77);
    pread(config, &command, 2, 4);
    pread(config, &old, 4, 0x10 + 4 * bar_no);
    pread(config, &high, 4, 0x14 + 4 * bar_no);
    for (int round = 0; round < 5; round++) {
        off = command & ~2;
        pwrite(config, &off, 2, 4);
        elsewhere = high + 0x10;
        pwrite(config, &elsewhere, 4, 0x14 + 4 * bar_no);
        pwrite(config, &command, 2, 4);
        if (has(0, PAGE, 77))
            wrong("a moved BAR is at its old place");
        pwrite(config, &off, 2, 4);
        pwrite(config, &old, 4, 0x10 + 4 * bar_no);
        pwrite(config, &high, 4, 0x14 + 4 * bar_no);
        pwrite(config, &command, 2, 4);
        HAS(0, 16 * PAGE, 77);
    }
}

/* On every second page, as many as the device takes. */
static void many(void)
{
    uint32_t count = 0, first = last_id + 1, said = VIRTIO_GPU_RESP_OK_NODATA;

    while (count < 1200) {
        said = create(++last_id, PAGE);
        if (said == VIRTIO_GPU_RESP_OK_NODATA)
            said = map(last_id, count * 2 * PAGE);
        if (said != VIRTIO_GPU_RESP_OK_MAP_INFO)
            break;
        put(count * 2 * PAGE, PAGE, first + count);
        count++;
    }
    printf("%u blobs at once; the last answer was 0x%x\n", count, said);
    for (uint32_t i = 0; i < count; i++)
        HAS(i * 2 * PAGE, PAGE, first + i);
    for (uint32_t i = 0; i < count; i += 3)
        OK(unref(first + i));
    for (uint32_t i = 0; i < count; i++)
        if (i % 3 ? !has(i * 2 * PAGE, PAGE, first + i) : has(i * 2 * PAGE, PAGE, first + i))
            wrong("blob %u after others were destroyed", i);
    if (count < 1000)
        wrong("%u blobs", count);
    for (uint32_t i = 0; i < count; i++)
        if (i % 3)
            OK(unref(first + i));
}

static void contexts(void)
{
    for (uint32_t i = 0; i < 1000; i++) {
        OK(context(2));
        OK(no_context(2));
    }
}

/* Someone kills the render server: /tmp/killed says when. What is mapped stays; what is asked is answered. */
static void server_killed(void)
{
    uint32_t said, id = blob(4 * PAGE, 0);

    put(0, 4 * PAGE, 21);
    printf("mapped\n");
    fflush(stdout);
    while (access("/tmp/killed", F_OK))
        usleep(100000);
    HAS(0, 4 * PAGE, 21);
    said = create(++last_id, PAGE);
    printf("a blob after that: 0x%x\n", said);
    if (!said)
        wrong("no answer");
    OK(unmap(id));
    MAPPED(map(id, MIB));
    HAS(MIB, 4 * PAGE, 21);
    OK(unref(id));
    said = context(3);
    printf("a context after that: 0x%x\n", said);
    if (!said)
        wrong("no answer");
    reset();
    start();
    said = context(1);
    printf("a context after a reset: 0x%x\n", said);
    if (!said)
        wrong("no answer");
    printf("ok %s\n", name);
    exit(0);
}

/* A BAR smaller than a page: nothing can be in it. */
static void tiny(void)
{
    OK(create(++last_id, PAGE));
    NO(map(last_id, 0));
    OK(create(++last_id, 2048));
    NO(map(last_id, 0));
    printf("ok %s: a BAR of %lu bytes\n", name, (long)bar_size);
    exit(0);
}

static const struct {
    const char *name;
    void (*does)(void);
} all[] = {
    { "past_end", past_end }, { "wraps", wraps }, { "overlap", overlap }, { "empty", empty }, { "pages_33", pages_33 },
    { "odd_size", odd_size }, { "odd_offset", odd_offset }, { "twice", twice }, { "destroyed", destroyed },
    { "context_gone", context_gone }, { "reset_mapped", reset_mapped }, { "full", full }, { "nobody", nobody },
    { "moved", moved }, { "many", many }, { "contexts", contexts }, { "server_killed", server_killed }, { "tiny", tiny },
};

int main(int argc, char **argv)
{
    name = argc == 2 ? argv[1] : "list";
    memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        wrong("no memory");
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (!strcmp(name, "list"))
            printf("%s\n", all[i].name);
        if (strcmp(name, all[i].name))
            continue;
        for (int page = 0; page < 3; page++) {
            memory[page * PAGE] = 1;
            at[page] = physical(memory + page * PAGE);
        }
        find();
        start();
        OK(context(1));
        all[i].does();

        /* and after all that it works */
        reset();
        start();
        OK(context(1));
        blob(MIB, MIB);
        put(MIB, MIB, 0x5eed);
        HAS(MIB, MIB, 0x5eed);
        printf("ok %s\n", name);
        reset();
        return 0;
    }
    return strcmp(name, "list") ? 64 : 0;
}
