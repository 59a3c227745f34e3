/*
 * Tests of memory lending under Xen, against a stand-in for Xen
 *
 * The device model is the real one, ioreq loop included.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qemu/bitops.h"
#include "qemu/units.h"
#include "xen-vcpu.h"

#define BAR     0x1000000000ull     /* 64 GiB, clear of everything */
#define DEVFN   (4 << 3)
#define SIZE    (1 * MiB)

#define IVSHMEM " -device ivshmem-plain,id=dev,memdev=mem,addr=4"

static char *file;      /* backing of the memory, SIZE long */
static uint8_t *mem;    /* the same, as another process sees it */

static void make_file(void)
{
    int fd = g_file_open_tmp("xen-lend-XXXXXX", &file, NULL);

    g_assert(fd >= 0 && ftruncate(fd, SIZE) == 0);
    mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert(mem != MAP_FAILED);
    close(fd);
    for (unsigned i = 0; i < SIZE / 8; i++) {
        ((uint64_t *)mem)[i] = 0x1234567800000000ull + i;
    }
}

static void drop_file(void)
{
    munmap(mem, SIZE);
    unlink(file);
    g_clear_pointer(&file, g_free);
}

static uint64_t word(uint64_t offset)
{
    return *(uint64_t *)(mem + offset);
}

/* Start with an ivshmem device on the file, and map it. */
static void start_plain(const char *args)
{
    make_file();
    if (!standin) {
        standin_create();
    }
    standin_start("-object memory-backend-file,id=mem,share=on,mem-path=%s,"
                  "size=1M" IVSHMEM " %s", file, args);
    pci_map_bar(DEVFN, 2, BAR);
}

static void stop_plain(void)
{
    standin_stop();
    drop_file();
}

static QDict *query(void)
{
    return qtest_qmp_assert_success_ref(qts,
                                        "{ 'execute': 'query-xen-lend' }");
}

static bool is_populated(uint64_t gpa)
{
    uint64_t gfn = gpa / STANDIN_PAGE;
    bool found = false;

    standin_lock();
    for (int i = 0; i < STANDIN_POPULATED; i++) {
        found |= gfn - standin->populated[i].gfn < standin->populated[i].nr;
    }
    standin_unlock();
    return found;
}

static int refusals(void)
{
    QDict *rsp = query();
    int n = qlist_size(qdict_get_qlist(rsp, "refusals"));

    qobject_unref(rsp);
    return n;
}

static void test_plain(void)
{
    struct standin_lease lease;
    uint64_t value;

    start_plain("");
    g_assert_cmpint(standin_leases(), ==, 1);
    lease = standin_lease_at(BAR);
    g_assert_cmphex(lease.gfn, ==, BAR / STANDIN_PAGE);
    g_assert_cmphex(lease.len, ==, SIZE);
    g_assert_cmpint(lease.flags, ==, 0);
    g_assert_cmpint(lease.memtype, ==, XEN_LEND_MEMTYPE_WB);

    g_assert_cmpint(vcpu_read(0, BAR + 0x5008, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(0x5008));
    g_assert_cmpint(vcpu_read(0, BAR + 0x5ff8, &value), ==, TOUCH_DIRECT);
    g_assert_cmphex(value, ==, word(0x5ff8));

    g_assert_cmpint(vcpu_write(0, BAR + 0x6000, 0x77), ==, TOUCH_FAULTED);
    g_assert_cmphex(word(0x6000), ==, 0x77);

    standin_revoke(BAR, SIZE);
    mem[0x5008] = 0x99;
    g_assert_cmpint(vcpu_read(0, BAR + 0x5008, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(0x5008));

    /* QEMU's own accesses, for a device's DMA say. */
    g_assert_cmphex(qtest_readq(qts, BAR + 0x5008), ==, word(0x5008));
    qtest_writeq(qts, BAR + 0x7000, 0x88);
    g_assert_cmphex(word(0x7000), ==, 0x88);
    stop_plain();
}

/* Accesses by Xen's instruction emulator still come as ordinary ioreqs. */
static void test_emulated(void)
{
    start_plain("");
    g_assert_cmphex(vcpu_emulated_read(0, BAR + 0x100, 4), ==,
                    (uint32_t)word(0x100));
    vcpu_emulated_write(0, BAR + 0x2002, 2, 0xbeef);
    g_assert_cmphex(*(uint16_t *)(mem + 0x2002), ==, 0xbeef);
    stop_plain();
}

/* REP MOVS from guest RAM to lent memory, and over its end. */
static void test_emulated_rep(void)
{
    ioreq_t req = {
        .type = IOREQ_TYPE_COPY,
        .addr = BAR + SIZE - 64,
        .data = 0x200000,
        .data_is_ptr = 1,
        .count = 16,
        .size = 8,
        .dir = IOREQ_WRITE,
    };
    uint64_t value;

    start_plain("");
    for (int i = 0; i < 16; i++) {
        qtest_writeq(qts, 0x200000 + 8 * i, 0x1000 + i);
    }
    vcpu_send(0, &req);
    vcpu_wait(0);
    for (int i = 0; i < 8; i++) {
        g_assert_cmphex(word(SIZE - 64 + 8 * i), ==, 0x1000 + i);
    }
    /* And back. */
    req.addr = BAR + 0x100;
    req.data = 0x300000;
    req.dir = IOREQ_READ;
    vcpu_send(1, &req);
    vcpu_wait(1);
    g_assert_cmphex(qtest_readq(qts, 0x300008), ==, word(0x108));
    g_assert_cmpint(vcpu_read(1, BAR + SIZE - 8, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, 0x1007);
    stop_plain();
}

static void test_bar_moves(void)
{
    uint64_t value;

    start_plain("");
    vcpu_read(0, BAR, &value);

    pci_decode(DEVFN, false);
    g_assert_cmpint(standin_leases(), ==, 0);

    pci_map_bar(DEVFN, 2, BAR + 16 * SIZE);
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert(!standin_has_lease_at(BAR));
    g_assert_cmpint(vcpu_read(0, BAR + 16 * SIZE, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(0));

    /* While it is enabled: the low half of a 64-bit BAR, then the other. */
    pci_write(DEVFN, 0x18, 0x20000000);
    pci_write(DEVFN, 0x1c, 0x20);
    g_assert_cmpint(standin_leases(), ==, 1);
    standin_lease_at(0x2020000000ull);
    g_assert_cmpint(vcpu_read(0, 0x2020000000ull + 8, &value), ==,
                    TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(8));

    /* Sizing, as firmware does it, with decoding on. */
    pci_write(DEVFN, 0x18, 0xffffffff);
    pci_write(DEVFN, 0x1c, 0xffffffff);
    pci_write(DEVFN, 0x1c, 0x10);
    pci_write(DEVFN, 0x18, 0);
    g_assert_cmpint(standin_leases(), ==, 1);
    standin_lease_at(BAR);
    stop_plain();
}

/* Beyond what the guest can address, on top of its RAM: not lent. */
static void test_bad_places(void)
{
    uint64_t value;

    start_plain("");
    pci_map_bar(DEVFN, 2, 0x2000000);       /* RAM */
    g_assert_cmpint(standin_leases(), ==, 0);
    pci_map_bar(DEVFN, 2, 1ull << 52);      /* too high */
    g_assert_cmpint(standin_leases(), ==, 0);
    g_assert_cmpint(vcpu_read(0, (1ull << 52) + 8, &value), ==, TOUCH_EMULATED);
    g_assert_cmphex(value, ==, word(8));
    pci_map_bar(DEVFN, 2, BAR);
    g_assert_cmpint(standin_leases(), ==, 1);
    stop_plain();
}

/* Two BARs over each other: what is seen of each is leased. */
static void test_overlap(void)
{
    const int other = 5 << 3;
    uint64_t value;

    start_plain("-object memory-backend-ram,id=ram,size=64K,share=on"
                " -device ivshmem-plain,memdev=ram,addr=5");
    pci_map_bar(other, 2, BAR + 256 * KiB);
    g_assert_cmpint(standin_leases(), >=, 1);
    for (uint64_t off = 0; off < SIZE; off += STANDIN_PAGE) {
        standin_lease_at(BAR + off);
    }
    /* Either the small one is on top, in three leases, or hidden, in one. */
    g_assert(standin_leases() == 1 || standin_leases() == 3);

    pci_decode(other, false);
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmpint(vcpu_read(0, BAR + 256 * KiB, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(256 * KiB));
    stop_plain();
}

static void test_backend(const void *opaque)
{
    uint64_t value;

    standin_create();
    standin_start("-object %s,id=mem,size=1M" IVSHMEM, (const char *)opaque);
    pci_map_bar(DEVFN, 2, BAR);
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmpint(vcpu_write(0, BAR + 0x8000, 42), ==, TOUCH_FAULTED);
    g_assert_cmpint(vcpu_read(0, BAR + 0x8000, &value), ==, TOUCH_DIRECT);
    g_assert_cmpint(value, ==, 42);
    g_assert_cmpint(vcpu_emulated_read(0, BAR + 0x8000, 8), ==, 42);
    standin_stop();
}

/* Private mapping of a file: the guest's writes do not get there. */
static void test_private_file(void)
{
    uint64_t value;

    make_file();
    standin_create();
    standin_start("-object memory-backend-file,id=mem,share=off,mem-path=%s,"
                  "size=1M" IVSHMEM, file);
    pci_map_bar(DEVFN, 2, BAR);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(8));
    vcpu_write(0, BAR + 8, 1);
    vcpu_read(0, BAR + 8, &value);
    g_assert_cmphex(value, ==, 1);
    g_assert_cmphex(word(8), !=, 1);
    stop_plain();
}

static void test_readonly(void)
{
    uint64_t value;

    make_file();
    standin_create();
    standin_start("-object memory-backend-file,id=mem,readonly=on,share=on,"
                  "mem-path=%s,size=1M" IVSHMEM, file);
    pci_map_bar(DEVFN, 2, BAR);
    g_assert_cmpint(standin_lease_at(BAR).flags, ==, XEN_LEND_READONLY);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(8));
    g_assert_cmpint(vcpu_write(0, BAR + 8, 1), ==, TOUCH_EMULATED);
    g_assert_cmphex(word(8), ==, value);
    stop_plain();
}

/* Video memory stays Xen's, and where Xen can find it. */
static void test_guest_memory(void)
{
    bool vram = false;
    uint64_t value;

    start_plain("-device VGA,addr=6,vgamem_mb=16,romfile=");
    g_assert_cmpint(standin_leases(), ==, 1);
    standin_lock();
    for (int i = 0; i < STANDIN_POPULATED; i++) {
        /* Behind RAM, as without a memory backend. */
        vram |= standin->populated[i].nr == 16 * MiB / STANDIN_PAGE &&
                standin->populated[i].gfn < 1 << 20;
    }
    standin_unlock();
    g_assert(vram);

    /* Guest RAM is at its place, although the backend came first. */
    qtest_writeq(qts, 0x100008, 0x1122334455667788ull);
    g_assert_cmphex(qtest_readq(qts, 0x100008), ==, 0x1122334455667788ull);
    g_assert_cmphex(vcpu_emulated_read(0, 0x100008, 8), ==,
                    0x1122334455667788ull);
    vcpu_read(0, BAR, &value);
    g_assert_cmphex(value, ==, word(0));
    stop_plain();
}

/* A memory device is lent where the machine has put it, far above RAM. */
static void test_pmem(void)
{
    QDict *rsp, *data;
    uint64_t value, addr;

    make_file();
    standin_create();
    standin_start("-object memory-backend-file,id=mem,share=on,mem-path=%s,"
                  "size=1M -device virtio-pmem-pci,memdev=mem,addr=4", file);
    rsp = qtest_qmp(qts, "{'execute': 'query-memory-devices'}");
    data = qobject_to(QDict, qlist_peek(qdict_get_qlist(rsp, "return")));
    g_assert_cmpstr(qdict_get_str(data, "type"), ==, "virtio-pmem");
    data = qdict_get_qdict(data, "data");
    addr = qdict_get_int(data, "memaddr");
    qobject_unref(rsp);
    g_assert_cmphex(addr, >=, 16 * GiB);
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmpint(vcpu_read(0, addr + 8, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(8));
    vcpu_write(0, addr + 8, 1);
    g_assert_cmphex(word(8), ==, 1);
    stop_plain();
}

/* The region type, and the other ways to make RAM regions */

static void start_testdev(const char *properties)
{
    standin_create();
    standin_start("-device xen-lend-testdev,id=dev,addr=4,%s", properties);
    pci_map_bar(DEVFN, 0, BAR);
}

static void qom_set(const char *property, const char *value)
{
    g_autofree char *line = g_strdup_printf("qom-set /machine/peripheral/dev %s"
                                            " %s", property, value);
    g_autofree char *answer = qtest_hmp(qts, "%s", line);

    g_assert_cmpstr(answer, ==, "");
}

static void test_type_kinds(const void *opaque)
{
    g_autofree char *kind = g_strdup_printf("kind=%s", (const char *)opaque);
    struct standin_lease lease;
    uint64_t value;

    start_testdev(kind);
    g_assert_cmpint(standin_leases(), ==, 1);
    lease = standin_lease_at(BAR);
    g_assert_cmphex(lease.len, ==, 64 * KiB);
    g_assert_cmpint(lease.flags, ==, 0);
    g_assert_cmpint(lease.memtype, ==, XEN_LEND_MEMTYPE_WB);
    g_assert_cmpint(lease.around, ==, 0);
    g_assert_cmpint(vcpu_write(0, BAR + 0x8000, 42), ==, TOUCH_FAULTED);
    g_assert_cmpint(vcpu_read(0, BAR + 0x8000, &value), ==, TOUCH_DIRECT);
    g_assert_cmpint(value, ==, 42);
    g_assert_cmpint(vcpu_emulated_read(0, BAR + 0x8000, 4), ==, 42);
    /* Device RAM is accessed in its natural sizes, and works, too. */
    vcpu_emulated_write(0, BAR + 0x8000, 4, 43);
    vcpu_read(0, BAR + 0x8000, &value);
    g_assert_cmpint(value, ==, 43);
    standin_stop();
}

/* What a file has from an offset on. */
static void test_type_fd_offset(const void *opaque)
{
    g_autofree char *kind = g_strdup_printf("kind=%s,fd-offset=0x3000",
                                            (const char *)opaque);
    uint64_t value;

    start_testdev(kind);
    g_assert_cmphex(standin_lease_at(BAR).len, ==, 64 * KiB);
    g_assert_cmpint(vcpu_read(0, BAR + 0x2008, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, 0x5008);
    g_assert_cmphex(vcpu_emulated_read(0, BAR + 0xfff8, 8), ==, 0x12ff8);
    standin_stop();
}

/* One page at two addresses is two leases; neither knows of the other. */
static void test_type_alias(void)
{
    uint64_t value;

    start_testdev("alias-of=0x4000,alias-size=0x8000,alias-offset=0x40000");
    g_assert_cmpint(standin_leases(), ==, 2);
    g_assert_cmphex(standin_lease_at(BAR).len, ==, 0x10000);
    g_assert_cmphex(standin_lease_at(BAR + 0x40000).len, ==, 0x8000);
    g_assert_cmphex(standin_lease_at(BAR + 0x40000).addr, ==,
                    standin_lease_at(BAR).addr + 0x4000);
    g_assert_cmpint(vcpu_write(0, BAR + 0x40008, 77), ==, TOUCH_FAULTED);
    g_assert_cmpint(vcpu_read(0, BAR + 0x4008, &value), ==, TOUCH_FAULTED);
    g_assert_cmpint(value, ==, 77);
    pci_decode(DEVFN, false);
    g_assert_cmpint(standin_leases(), ==, 0);
    standin_stop();

    /* An alias that starts in mid-page of the memory, but not of the guest. */
    start_testdev("alias-of=0x4800,alias-size=0x8000,alias-offset=0x40000");
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmpint(vcpu_write(0, BAR + 0x40008, 78), ==, TOUCH_EMULATED);
    g_assert_cmpint(vcpu_read(0, BAR + 0x4808, &value), ==, TOUCH_FAULTED);
    g_assert_cmpint(value, ==, 78);
    standin_stop();
}

#define RIVAL 0x5a5a5a5a5a5a5a5aull

/* What is on top is leased, what is below is leased where it shows. */
static void test_type_priority(void)
{
    uint64_t value;

    start_testdev("rival-offset=0xc000,rival-size=0x8000,rival-priority=1");
    g_assert_cmpint(standin_leases(), ==, 2);
    g_assert_cmphex(standin_lease_at(BAR).len, ==, 0xc000);
    g_assert_cmphex(standin_lease_at(BAR + 0xc000).len, ==, 0x8000);
    g_assert_cmpint(vcpu_read(0, BAR + 0xc000, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, RIVAL);
    /* Nothing of the first shows any more: no lease of it. */
    qom_set("mapped", "false");
    g_assert_cmpint(standin_leases(), ==, 1);
    standin_stop();

    start_testdev("rival-offset=0xc000,rival-size=0x8000,rival-priority=-1");
    g_assert_cmpint(standin_leases(), ==, 2);
    g_assert_cmphex(standin_lease_at(BAR).len, ==, 0x10000);
    g_assert_cmphex(standin_lease_at(BAR + 0x10000).len, ==, 0x4000);
    g_assert_cmpint(vcpu_read(0, BAR + 0xc000, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, 0);
    g_assert_cmpint(vcpu_read(0, BAR + 0x10000, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, RIVAL);
    /* The one below comes to light. */
    qom_set("mapped", "false");
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmphex(standin_lease_at(BAR + 0xc000).len, ==, 0x8000);
    g_assert_cmpint(vcpu_read(0, BAR + 0xc000, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, RIVAL);
    standin_stop();

    /* Three layers: RAM at 2, registers at 1, RAM at 0. */
    start_testdev("rival-offset=0x4000,rival-size=0x4000,rival-priority=2,"
                  "overlay-offset=0x6000,overlay-size=0x4000");
    g_assert_cmpint(standin_leases(), ==, 3);
    g_assert_cmphex(standin_lease_at(BAR).len, ==, 0x4000);
    g_assert_cmphex(standin_lease_at(BAR + 0x4000).len, ==, 0x4000);
    g_assert_cmphex(standin_lease_at(BAR + 0xa000).len, ==, 0x6000);
    g_assert_cmpint(vcpu_read(0, BAR + 0x6000, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, RIVAL);
    g_assert_cmpint(vcpu_read(0, BAR + 0x8000, &value), ==, TOUCH_EMULATED);
    g_assert_cmphex(value, ==, 0xa5a5a5a5a5a5a5a5ull);
    standin_stop();
}

/* RAM as a subregion of RAM. */
static void test_type_inside(void)
{
    uint64_t value;

    start_testdev("rival-offset=0x2000,rival-size=0x1000,rival-inside=on");
    g_assert_cmpint(standin_leases(), ==, 3);
    g_assert_cmphex(standin_lease_at(BAR).len, ==, 0x2000);
    g_assert_cmphex(standin_lease_at(BAR + 0x2000).len, ==, 0x1000);
    g_assert_cmphex(standin_lease_at(BAR + 0x3000).len, ==, 0xd000);
    g_assert_cmpint(vcpu_read(0, BAR + 0x2ff8, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, RIVAL);
    standin_stop();
}

/* The end of the region is cut off by the BAR's. */
static void test_type_clipped(void)
{
    uint64_t value;

    start_testdev("offset=0xf8000");
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmphex(standin_lease_at(BAR + 0xf8000).len, ==, 0x8000);
    g_assert_cmpint(vcpu_write(0, BAR + 0xffff8, 4), ==, TOUCH_FAULTED);
    g_assert_cmpint(vcpu_read(0, BAR + 0xffff8, &value), ==, TOUCH_DIRECT);
    g_assert_cmpint(value, ==, 4);
    standin_stop();
}

/* The device itself shows, hides and moves its memory. */
static void test_type_mapped(void)
{
    uint64_t value;

    start_testdev("kind=ptr");
    vcpu_write(0, BAR + 8, 4);
    qom_set("mapped", "false");
    g_assert_cmpint(standin_leases(), ==, 0);
    qom_set("address", "0x20000");
    g_assert_cmpint(standin_leases(), ==, 0);
    qom_set("mapped", "true");
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmpint(vcpu_read(0, BAR + 0x20008, &value), ==, TOUCH_FAULTED);
    g_assert_cmpint(value, ==, 4);
    qom_set("address", "0x28000");
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert(!standin_has_lease_at(BAR + 0x20000));
    g_assert_cmpint(vcpu_read(0, BAR + 0x28008, &value), ==, TOUCH_FAULTED);
    g_assert_cmpint(value, ==, 4);
    standin_stop();
}

/* The guest shows and hides it, in a BAR that is larger than usual. */
static void test_type_control(void)
{
    const uint64_t control = 0xf0000000, lent = BAR + 3 * MiB;
    uint64_t value;

    start_testdev("kind=fd,bar-size=4M,offset=3M,control=on");
    pci_map_bar(DEVFN, 2, control);
    g_assert_cmphex(standin_lease_at(lent).len, ==, 64 * KiB);
    vcpu_write(0, lent + 8, 4);
    g_assert_cmpint(vcpu_emulated_read(0, control, 4), ==, 1);
    vcpu_emulated_write(0, control, 4, 0);
    g_assert_cmpint(standin_leases(), ==, 0);
    g_assert_cmpint(vcpu_emulated_read(0, control, 4), ==, 0);
    vcpu_emulated_write(0, control, 4, 1);
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmpint(vcpu_read(0, lent + 8, &value), ==, TOUCH_FAULTED);
    g_assert_cmpint(value, ==, 4);
    standin_stop();
}

/* Something to come on top of a part. */
typedef struct Cover {
    const char *properties;
    int leases;
} Cover;

static const Cover cover_io = {
    "overlay-offset=0x4800,overlay-size=0x1000", 2
};
static const Cover cover_ram = {
    "rival-offset=0x4000,rival-size=0x2000,rival-priority=1", 3
};
static const Cover cover_inside = {
    "rival-offset=0x4000,rival-size=0x2000,rival-inside=on", 3
};

/* What the guest does to the rest while it comes and goes is not lost. */
static void test_type_covered(const void *opaque)
{
    const Cover *cover = opaque;
    uint64_t value;

    start_testdev(cover->properties);
    vcpu_write(0, BAR, 4);
    for (int i = 0; i < 4; i++) {
        standin_lock();
        standin->watched = (BAR + (i & 2 ? 0xf000 : 0)) / STANDIN_PAGE;
        standin_unlock();
        qom_set("covered", i & 1 ? "true" : "false");
        g_assert_cmpint(standin->lost, ==, 0);
        g_assert_cmpint(standin_leases(), ==, i & 1 ? cover->leases : 1);
        g_assert_cmpint(vcpu_read(0, BAR, &value), ==, TOUCH_FAULTED);
        g_assert_cmpint(value, ==, 4);
    }
    standin->watched = 0;
    standin_stop();
}

/* Memory of the guest's own, which Xen moves there, comes on top. */
static void test_type_vram(void)
{
    const uint64_t low = 0xe0000000;    /* a 32-bit BAR */
    uint64_t value;

    start_plain("-device VGA,addr=6,vgamem_mb=16,romfile=");
    pci_map_bar(DEVFN, 2, low);
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert(!is_populated(low));
    pci_map_bar(6 << 3, 0, low);
    g_assert_cmpint(standin_leases(), ==, 0);
    g_assert(is_populated(low));
    pci_map_bar(DEVFN, 2, BAR);
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(8));
    stop_plain();
}

static uint64_t qom_get(const char *property)
{
    g_autofree char *text =
        qtest_hmp(qts, "qom-get /machine/peripheral/dev %s", property);

    return g_ascii_strtoull(text, NULL, 0);
}

/* Whoever asks what was written to (a frame buffer) hears: everything. */
static void test_type_logged(void)
{
    start_testdev("kind=fd");
    qom_set("logged", "true");
    qom_get("dirty");
    vcpu_write(0, BAR + 0x2000, 1);
    g_assert_cmpint(qom_get("dirty"), ==, 16);
    g_assert_cmpint(qom_get("dirty"), ==, 16);
    qom_set("mapped", "false");
    g_assert_cmpint(qom_get("dirty"), ==, 0);
    qom_set("logged", "false");
    standin_stop();
}

static bool prefaulted(void *opaque)
{
    return standin->prefaulted == *(unsigned *)opaque;
}

static void test_type_options(void)
{
    struct standin_lease lease;
    unsigned pages = 8;
    uint64_t value;

    start_testdev("readonly=on,zero=on,cache=wc,around=65536,prefault=32K");
    lease = standin_lease_at(BAR);
    g_assert_cmpint(lease.flags, ==, XEN_LEND_READONLY | XEN_LEND_POLICY_ZERO);
    g_assert_cmpint(lease.memtype, ==, XEN_LEND_MEMTYPE_WC);
    g_assert_cmpint(lease.around, ==, 64 * KiB);
    standin_await("the prefault", prefaulted, &pages);
    g_assert_cmpint(vcpu_read(0, BAR + 0x7000, &value), ==, TOUCH_DIRECT);
    g_assert_cmpint(vcpu_read(0, BAR + 0x8000, &value), ==, TOUCH_FAULTED);
    g_assert_cmpint(vcpu_write(0, BAR, 1), ==, TOUCH_EMULATED);
    vcpu_read(0, BAR, &value);
    g_assert_cmpint(value, ==, 0);
    standin_stop();

    start_testdev("kind=fd,readonly=on,cache=uc,prefault=1T");
    lease = standin_lease_at(BAR);
    g_assert_cmpint(lease.flags, ==, XEN_LEND_READONLY);
    g_assert_cmpint(lease.memtype, ==, XEN_LEND_MEMTYPE_UC);
    pages = 16;
    standin_await("the prefault", prefaulted, &pages);
    standin_stop();
}

/* Prefaulting a page that does not come keeps nothing from going on. */
static void test_type_slow_prefault(void)
{
    uint64_t value;

    standin_create();
    standin_hold(1, 0, 1);
    standin_start("-device xen-lend-testdev,id=dev,addr=4,prefault=64K");
    pci_map_bar(DEVFN, 0, BAR);
    standin_await_held(1);
    g_assert_cmpint(vcpu_read(0, BAR + 0x8000, &value), ==, TOUCH_FAULTED);
    pci_decode(DEVFN, false);
    g_assert_cmpint(standin_leases(), ==, 0);
    standin_release();
    standin_await_held(0);
    standin_stop();
}

static void test_type_refused(const void *opaque)
{
    g_autofree char *err = NULL;

    standin_create();
    err = standin_refused_start(opaque);
    g_assert(strstr(err, "lent memory"));
}

/* A device region in the middle: whole pages around it are leased. */
static void test_type_overlay(void)
{
    uint64_t value;

    start_testdev("overlay-offset=0x4800,overlay-size=0x1000");
    g_assert_cmpint(standin_leases(), ==, 2);
    g_assert_cmphex(standin_lease_at(BAR).len, ==, 0x4000);
    g_assert_cmphex(standin_lease_at(BAR + 0x6000).len, ==, 0xa000);
    g_assert(!standin_has_lease_at(BAR + 0x4000));
    g_assert(!standin_has_lease_at(BAR + 0x5fff));

    g_assert_cmpint(vcpu_write(0, BAR + 0x47f8, 5), ==, TOUCH_EMULATED);
    g_assert_cmpint(vcpu_read(0, BAR + 0x47f8, &value), ==, TOUCH_EMULATED);
    g_assert_cmphex(value, ==, 5);
    g_assert_cmpint(vcpu_read(0, BAR + 0x4800, &value), ==, TOUCH_EMULATED);
    g_assert_cmphex(value, ==, 0xa5a5a5a5a5a5a5a5ull);
    g_assert_cmpint(vcpu_write(0, BAR + 0x5800, 6), ==, TOUCH_EMULATED);
    g_assert_cmpint(vcpu_read(0, BAR + 0x5800, &value), ==, TOUCH_EMULATED);
    g_assert_cmphex(value, ==, 6);
    g_assert_cmpint(vcpu_write(0, BAR + 0x6000, 7), ==, TOUCH_FAULTED);
    g_assert_cmphex(vcpu_emulated_read(0, BAR + 0x6000, 8), ==, 7);
    standin_stop();
}

/* Pages of the guest's that are not pages of ours cannot be lent. */
static void test_type_skewed(void)
{
    uint64_t value;

    start_testdev("offset=0x800");
    g_assert_cmpint(standin_leases(), ==, 0);
    g_assert_cmpint(vcpu_write(0, BAR + 0x2000, 9), ==, TOUCH_EMULATED);
    g_assert_cmpint(vcpu_read(0, BAR + 0x2000, &value), ==, TOUCH_EMULATED);
    g_assert_cmphex(value, ==, 9);
    standin_stop();
}

/* Read-only lending needs a driver that can. */
static void test_type_no_readonly(void)
{
    uint64_t value;

    standin_create();
    standin->features = 0;
    standin_start("-device xen-lend-testdev,id=dev,addr=4,readonly=on");
    pci_map_bar(DEVFN, 0, BAR);
    g_assert_cmpint(standin_leases(), ==, 0);
    g_assert_cmpint(vcpu_read(0, BAR, &value), ==, TOUCH_EMULATED);
    standin_stop();
}

/* Not a lease, but the same bytes: lend=off, or no device to lend with. */
static void check_emulated(const char *reason)
{
    g_autofree char *info = NULL;
    uint64_t value;
    QDict *rsp;

    g_assert_cmpint(standin_leases(), ==, 0);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_EMULATED);
    g_assert_cmphex(value, ==, word(8));
    g_assert_cmpint(vcpu_write(0, BAR + 8, 3), ==, TOUCH_EMULATED);
    g_assert_cmphex(word(8), ==, 3);

    rsp = query();
    g_assert(!qdict_get_bool(rsp, "available"));
    g_assert(strstr(qdict_get_str(rsp, "reason"), reason));
    qobject_unref(rsp);
    info = qtest_hmp(qts, "info xen-lend");
    g_assert(strstr(info, reason));
}

static void test_off(void)
{
    standin_accel = "lend=off";
    start_plain("");
    check_emulated("lend=off");
    stop_plain();
}

static void test_auto_without(void)
{
    standin_create();
    standin->no_device = true;
    start_plain("");
    check_emulated("/dev/xen/lend");
    stop_plain();

    standin_create();
    standin->bind_error = EOPNOTSUPP;
    start_plain("");
    check_emulated("hypervisor");
    stop_plain();

    standin_create();
    standin->abi = 0;
    start_plain("");
    check_emulated("too old");
    stop_plain();
}

static void test_on_without(void)
{
    char *err;

    standin_accel = "lend=on";
    standin_create();
    standin->no_device = true;
    err = standin_refused_start("");
    g_assert(strstr(err, "driver loaded"));
    g_free(err);

    standin_accel = "lend=on";
    standin_create();
    standin->bind_error = EOPNOTSUPP;
    err = standin_refused_start("");
    g_assert(strstr(err, "hypervisor does not know"));
    g_free(err);

    standin_accel = "lend=on";
    standin_create();
    standin->bind_error = EPERM;
    err = standin_refused_start("");
    g_assert(strstr(err, "domain 7"));
    g_free(err);

    standin_accel = "lend=on";
    standin_create();
    standin->no_driver_access = true;
    err = standin_refused_start("");
    g_assert(strstr(err, "Permission denied"));
    g_free(err);
}

/* What QEMU says when the kernel does not answer faults. */
static void check_listen(const char *accel, uint64_t features, bool warns)
{
    g_autofree char *log = NULL, *args = NULL, *text = NULL;
    QDict *rsp;

    close(g_file_open_tmp("xen-lend-XXXXXX", &log, NULL));
    args = g_strdup_printf("2>%s", log);
    standin_create();
    standin->features |= features;
    standin_accel = accel;
    start_plain(args);
    g_assert_cmpint(standin_leases(), ==, 1);
    rsp = query();
    g_assert(!qdict_get_bool(rsp, "kernel-faults"));
    qobject_unref(rsp);
    stop_plain();
    g_assert(g_file_get_contents(log, &text, NULL, NULL));
    g_assert(!!strstr(text, "lend-kernel-faults=on: ") == warns);
    unlink(log);
}

/* Nobody has asked, somebody has, in vain. */
static void test_listen(void)
{
    check_listen(NULL, XEN_LEND_FEAT_LISTEN, false);
    check_listen("lend-kernel-faults=off", XEN_LEND_FEAT_LISTEN, false);
    check_listen("lend-kernel-faults=on", XEN_LEND_FEAT_LISTEN, true);
    check_listen("lend-kernel-faults=on", 0, true);
}

static void test_restricted(void)
{
    standin_accel = "lend=on";
    start_plain("-xen-domid-restrict");
    g_assert(standin->restricted && !standin->opened_restricted);
    g_assert_cmpint(standin_leases(), ==, 1);
    stop_plain();
}

/* The hypervisor says no to the lease, with that errno. */
static void start_refused(const void *error)
{
    uint64_t value;

    standin_create();
    standin->lease_error = GPOINTER_TO_INT(error);
    start_plain("");
    g_assert_cmpint(standin_leases(), ==, 0);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_EMULATED);
    g_assert_cmphex(value, ==, word(8));
}

/* It does not any more. */
static void allow_leases(void)
{
    standin_lock();
    standin->lease_error = 0;
    standin_unlock();
}

/* The hypervisor says no to the lease: the device works all the same. */
static void test_lease_refused(const void *opaque)
{
    QDict *rsp, *refusal;

    start_refused(opaque);
    rsp = query();
    g_assert(qdict_get_bool(rsp, "available"));
    g_assert_cmpint(qdict_get_int(rsp, "refused"), >=, 1);
    g_assert_cmpint(qlist_size(qdict_get_qlist(rsp, "refusals")), ==, 1);
    refusal = qobject_to(QDict, qlist_peek(qdict_get_qlist(rsp, "refusals")));
    g_assert_cmphex(qdict_get_int(refusal, "gpa"), ==, BAR);
    g_assert_cmphex(qdict_get_int(refusal, "size"), ==, SIZE);
    g_assert_cmpstr(qdict_get_str(refusal, "reason"), ==,
                    strerror(GPOINTER_TO_INT(opaque)));
    qobject_unref(rsp);

    /* Next time it may go well. */
    allow_leases();
    pci_decode(DEVFN, false);
    pci_decode(DEVFN, true);
    g_assert_cmpint(standin_leases(), ==, 1);
    rsp = query();
    g_assert_cmpint(qlist_size(qdict_get_qlist(rsp, "refusals")), ==, 0);
    qobject_unref(rsp);
    stop_plain();
}

static bool has_lease(void *opaque)
{
    return standin->leases[0].used;
}

/* What was refused is leased when that goes, without anything that changes. */
static void test_lease_later(const void *opaque)
{
    uint64_t value;

    start_refused(opaque);
    allow_leases();
    standin_await("another attempt", has_lease, NULL);
    g_assert_cmpint(refusals(), ==, 0);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(8));
    stop_plain();
}

/* More leases than Xen allows. */
static void test_many(void)
{
    g_autoptr(GString) args = g_string_new("");
    uint64_t value;

    /* One per slot, and eight functions each. */
    for (int i = 0; i < 72; i++) {
        g_string_append_printf(args, " -object memory-backend-ram,id=m%d,"
                               "size=64K,share=on -device ivshmem-plain,"
                               "memdev=m%d,addr=%x.%x,multifunction=on",
                               i, i, 5 + i / 8, i % 8);
    }
    start_plain(args->str);
    for (int i = 0; i < 72; i++) {
        pci_map_bar(((5 + i / 8) << 3) + i % 8, 2,
                    BAR + 0x10000000ull + i * 0x100000);
    }
    g_assert_cmpint(standin_leases(), ==, 64);
    g_assert_cmpint(vcpu_read(0, BAR + 0x10000000ull + 71 * 0x100000, &value),
                    ==, TOUCH_EMULATED);
    /* One goes, and there is room for another that was refused. */
    g_assert_cmpint(refusals(), ==, 9);
    pci_decode(DEVFN, false);
    g_assert_cmpint(standin_leases(), ==, 64);
    g_assert_cmpint(refusals(), ==, 8);
    pci_decode(DEVFN, true);
    g_assert_cmpint(standin_leases(), ==, 64);
    g_assert_cmpint(refusals(), ==, 9);
    stop_plain();
}

/* QEMU's own accesses to memory of which something is gone. */
static void test_own_access(void)
{
    g_autofree char *text = NULL;
    uint8_t buf[3 * STANDIN_PAGE] = { 1 };

    start_plain("");
    g_assert(truncate(file, STANDIN_PAGE) == 0);

    qtest_memread(qts, BAR + 0x8000, buf, sizeof(buf));
    g_assert(buf[0] == 0xff && buf[sizeof(buf) - 1] == 0xff);
    qtest_memwrite(qts, BAR + 0x8000, buf, sizeof(buf));
    qtest_readl(qts, BAR + 0x9004);
    qtest_writeb(qts, BAR + 0x9001, 1);
    /* In part there, and over the border. */
    qtest_memread(qts, BAR + 0x10, buf, sizeof(buf));
    vcpu_emulated_read(0, BAR + 0x8000, 4);
    vcpu_emulated_write(0, BAR + 0x8000, 8, 7);
    text = qtest_hmp(qts, "xp /1gx 0x%llx", BAR + 0x8000);
    g_assert(strstr(text, "Cannot access memory"));

    /* Nothing of this has disturbed what is there. */
    g_assert_cmphex(qtest_readq(qts, BAR + 8), ==, word(8));
    qtest_writew(qts, BAR + 0x22, 0xabcd);
    g_assert_cmphex(*(uint16_t *)(mem + 0x22), ==, 0xabcd);

    g_assert(truncate(file, SIZE) == 0);
    qtest_memwrite(qts, BAR + 0x8123, "some bytes", 10);
    g_assert(memcmp(mem + 0x8123, "some bytes", 10) == 0);
    stop_plain();
}

/* Permissions of QEMU's mapping of a page of the BAR, as in /proc/PID/maps. */
static void assert_mapped(uint64_t offset, const char *permissions)
{
    uint64_t addr = standin_lease_at(BAR).addr + offset;
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", qtest_pid(qts));
    g_autofree char *maps = NULL;
    g_auto(GStrv) lines = NULL;

    g_assert(g_file_get_contents(path, &maps, NULL, NULL));
    lines = g_strsplit(maps, "\n", -1);
    for (int i = 0; lines[i]; i++) {
        uint64_t start, end;
        char have[5];

        if (sscanf(lines[i], "%" SCNx64 "-%" SCNx64 " %4s", &start, &end,
                   have) == 3 && addr >= start && addr < end) {
            g_assert_cmpstr(have, ==, permissions);
            return;
        }
    }
    g_assert_not_reached();
}

/* Have the test device access the BAR by a mapping of its own. */
static void set_peeker(const char *property, uint64_t offset)
{
    g_autofree char *text =
        qtest_hmp(qts, "qom-set /machine/peripheral/peeker %s %llu", property,
                  (unsigned long long)(BAR + offset));

    g_assert_cmpstr(text, ==, "");
}

static uint64_t peek(uint64_t offset)
{
    g_autofree char *text = NULL;

    set_peeker("peek", offset);
    text = qtest_hmp(qts, "qom-get /machine/peripheral/peeker peek");
    return g_ascii_strtoull(text, NULL, 0);
}

/* A device that has mapped memory, and reads it when it is gone. */
static void test_own_mapping(void)
{
    start_plain("-device xen-lend-testdev,id=peeker,addr=6");
    g_assert_cmphex(peek(0x8000), ==, word(0x8000));

    g_assert(truncate(file, STANDIN_PAGE) == 0);
    g_assert_cmphex(peek(0x8000), ==, 0);
    /* The guest cannot write to what would be lost. */
    assert_mapped(0x8000, "r--p");
    assert_mapped(0x9000, "rw-s");
    /* That one page is zeros now; its neighbours fail as before. */
    g_assert_cmphex(qtest_readq(qts, BAR + 0x8008), ==, 0);
    g_assert_cmphex(qtest_readq(qts, BAR + 0x9000), ==, ~0ull);
    g_assert_cmphex(qtest_readq(qts, BAR + 8), ==, word(8));
    stop_plain();
}

/* Of what is behind the memory, only 2 MiB at once can be mapped over. */
static void test_own_huge(void)
{
    const uint64_t huge = 2 * MiB;

    make_file();
    g_assert(truncate(file, 2 * huge) == 0);
    standin_create();
    standin->mmap_unit = huge;
    standin_start("-object memory-backend-file,id=mem,share=on,mem-path=%s,"
                  "size=4M,align=2M" IVSHMEM
                  " -device xen-lend-testdev,id=peeker,addr=6", file);
    pci_map_bar(DEVFN, 2, BAR);
    g_assert_cmphex(peek(huge + 0x8000), ==, 0);
    g_assert(truncate(file, SIZE) == 0);
    g_assert_cmphex(peek(huge + 0x8000), ==, 0);
    assert_mapped(huge, "r--p");
    assert_mapped(2 * huge - STANDIN_PAGE, "r--p");
    assert_mapped(huge - STANDIN_PAGE, "rw-s");
    g_assert_cmphex(peek(8), ==, word(8));
    set_peeker("poke", huge + 0x9000);
    assert_mapped(huge + 0x9000, "rw-p");
    assert_mapped(huge + 0x8000, "r--p");
    stop_plain();
}

/* Whether QEMU's thread of that name blocks SIGBUS. */
static bool blocks_sigbus(const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", qtest_pid(qts));
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *task;
    uint64_t blocked;

    g_assert(dir);
    while ((task = g_dir_read_name(dir))) {
        g_autofree char *status = g_strdup_printf("%s/%s/status", path, task);
        g_autofree char *text = NULL;
        g_autofree char *want = g_strdup_printf("Name:\t%s\n", name);

        if (g_file_get_contents(status, &text, NULL, NULL) &&
            g_str_has_prefix(text, want)) {
            g_assert(sscanf(strstr(text, "SigBlk:"), "SigBlk: %" SCNx64,
                            &blocked) == 1);
            g_dir_close(dir);
            return blocked & BIT_ULL(SIGBUS - 1);
        }
    }
    g_assert_not_reached();
}

#define IOTHREAD "-name debug-threads=on -object iothread,id=io"

/* All threads may access lent memory.  KVM relies on SIGBUS being blocked. */
static void test_own_threads(void)
{
    start_plain(IOTHREAD);
    g_assert(!blocks_sigbus("IO io"));
    g_assert(!blocks_sigbus("xen-lend/0"));
    stop_plain();

    qts = qtest_init("-machine none " IOTHREAD);
    g_assert(blocks_sigbus("IO io"));
    qtest_quit(qts);
}

/* A device that writes, with instructions of its own, to what is gone. */
static void test_own_written(void)
{
    start_plain("-device xen-lend-testdev,id=peeker,addr=6");
    g_assert_cmphex(peek(0x8000), ==, word(0x8000));
    g_assert(truncate(file, STANDIN_PAGE) == 0);

    set_peeker("poke", 0x8000);
    assert_mapped(0x8000, "rw-p");
    g_assert_cmphex(qtest_readq(qts, BAR + 0x8000), ==, 1);
    g_assert_cmphex(qtest_readq(qts, BAR + 0x9000), ==, ~0ull);
    stop_plain();
}

/* However many pages a guest has devices find gone, the log stays short. */
static void test_own_reported(void)
{
    g_autofree char *log = NULL, *args = NULL, *text = NULL;
    int lines = 0;

    close(g_file_open_tmp("xen-lend-XXXXXX", &log, NULL));
    args = g_strdup_printf("-device xen-lend-testdev,id=peeker,addr=6 2>%s",
                           log);
    start_plain(args);
    g_assert(truncate(file, STANDIN_PAGE) == 0);
    for (int i = 1; i <= 100; i++) {
        g_assert_cmphex(peek(i * STANDIN_PAGE), ==, 0);
    }
    stop_plain();
    g_assert(g_file_get_contents(log, &text, NULL, NULL));
    for (const char *at = text; (at = strstr(at, "zeros have taken")); at++) {
        lines++;
    }
    g_assert_cmpint(lines, >=, 2);
    g_assert_cmpint(lines, <=, 7);      /* 1, 2, 4, ... 64 */
    unlink(log);
}

/* A migration would not see what the guest writes. */
static void test_migrate_refused(void)
{
    QDict *rsp;

    start_plain("");
    rsp = qtest_qmp(qts, "{ 'execute': 'migrate',"
                    "  'arguments': { 'uri': 'exec:cat >/dev/null' } }");
    g_assert(qdict_haskey(rsp, "error"));
    qobject_unref(rsp);
    stop_plain();
}

/* Writes to what is read-only do nothing, whoever makes them. */
static void test_own_access_readonly(void)
{
    uint8_t before[STANDIN_PAGE], after[STANDIN_PAGE];

    start_testdev("readonly=on");
    qtest_memread(qts, BAR + 0x2000, before, sizeof(before));
    qtest_writeq(qts, BAR + 0x2000, 0x1122334455667788ull);
    qtest_memwrite(qts, BAR + 0x2100, "some bytes", 10);
    qtest_memread(qts, BAR + 0x2000, after, sizeof(after));
    g_assert(memcmp(before, after, sizeof(before)) == 0);
    standin_stop();
}

/* Without the memory that is QEMU's, the guest could not be restored. */
static void test_save(void)
{
    QDict *rsp;

    start_plain("");
    rsp = qtest_qmp(qts, "{ 'execute': 'xen-save-devices-state',"
                    "  'arguments': { 'filename': '/dev/null' } }");
    g_assert(qdict_haskey(rsp, "error"));
    qobject_unref(rsp);
    qtest_qmp_assert_success(qts, "{ 'execute': 'query-status' }");
    g_assert_cmpint(standin_leases(), ==, 1);

    /* It is there all the same when the guest does not have it mapped. */
    pci_decode(DEVFN, false);
    rsp = qtest_qmp(qts, "{ 'execute': 'xen-save-devices-state',"
                    "  'arguments': { 'filename': '/dev/null' } }");
    g_assert(qdict_haskey(rsp, "error"));
    qobject_unref(rsp);
    stop_plain();
}

/* How a resolve can end */

static void test_resolve_retried(const void *opaque)
{
    uint64_t value;

    start_plain("");
    standin_plan(3, GPOINTER_TO_INT(opaque), 0, 0);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(8));
    g_assert_cmpint(standin->plan.times, ==, 0);
    stop_plain();
}

static void test_resolve_error(const void *opaque)
{
    uint64_t value;

    start_plain("");
    standin_plan(1, GPOINTER_TO_INT(opaque), 0, 0);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAILED);
    /* Once only. */
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAULTED);
    stop_plain();
}

static void test_resolve_failed(void)
{
    uint64_t value;
    QDict *rsp, *lease;

    start_plain("");
    standin_plan(1, 0, XEN_LEND_FAILED, EIO);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAILED);
    standin_plan(1, 0, XEN_LEND_ZEROED, EFAULT);
    g_assert_cmpint(vcpu_read(0, BAR + 8, &value), ==, TOUCH_FAULTED);
    standin_plan(1, 0, 99, 0);
    g_assert_cmpint(vcpu_read(0, BAR + 0x1000, &value), ==, TOUCH_FAULTED);

    rsp = query();
    lease = qobject_to(QDict, qlist_peek(qdict_get_qlist(rsp, "leases")));
    g_assert_cmpint(qdict_get_int(lease, "answered"), ==, 3);
    g_assert_cmpint(qdict_get_int(lease, "failed"), ==, 1);
    g_assert_cmpint(qdict_get_int(lease, "failures"), >=, 2);
    qobject_unref(rsp);
    stop_plain();
}

/* Slow pages */

static int by_value(gconstpointer a, gconstpointer b)
{
    int64_t x = *(int64_t *)a, y = *(int64_t *)b;

    return x < y ? -1 : x > y;
}

/* How long port accesses take, in microseconds, sorted. */
static GArray *time_ports(int vcpu, int64_t how_long_us)
{
    GArray *times = g_array_new(false, false, sizeof(int64_t));
    int64_t end = g_get_monotonic_time() + how_long_us;

    while (g_get_monotonic_time() < end) {
        int64_t start = g_get_monotonic_time(), took;

        vcpu_in(vcpu, 0x70, 1);
        took = g_get_monotonic_time() - start;
        g_array_append_val(times, took);
        g_usleep(500);
    }
    g_array_sort(times, by_value);
    return times;
}

static int64_t percentile(GArray *times, int percent)
{
    return g_array_index(times, int64_t, (times->len - 1) * percent / 100);
}

/*
 * One vCPU waits for a page for seconds.  Another gets its pages, a third has
 * its devices, and the monitor answers.
 */
static void test_slow_page(void)
{
    g_autoptr(GArray) before = NULL, during = NULL;
    uint64_t value;
    uint32_t id;

    start_plain("");
    id = standin_lease_at(BAR).id;
    before = time_ports(2, 2 * G_USEC_PER_SEC);

    standin_hold(id, 0, STANDIN_PAGE);
    vcpu_send_fault(0, id, BAR, false);
    standin_await_held(1);

    g_assert_cmpint(vcpu_read(1, BAR + 0x3000, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(0x3000));
    during = time_ports(2, 5 * G_USEC_PER_SEC);
    qobject_unref(query());
    g_assert(!vcpu_answered(0));

    standin_release();
    g_assert_cmpint(vcpu_wait(0), ==, 0);
    g_test_message("port accesses, median and 99th percentile: %" PRId64 " and"
                   " %" PRId64 " us before, %" PRId64 " and %" PRId64 " us"
                   " during a fault of 5 s",
                   percentile(before, 50), percentile(before, 99),
                   percentile(during, 50), percentile(during, 99));
    /* The machine may be busy, but a wait for the page would be seconds. */
    g_assert_cmpint(percentile(during, 100), <, 1 * G_USEC_PER_SEC);
    stop_plain();
}

static void test_all_vcpus(void)
{
    uint32_t id;

    start_plain("");
    id = standin_lease_at(BAR).id;

    /* All of them wait at the same time, each for a page of its own. */
    standin_hold(id, 0, SIZE);
    for (int i = 0; i < STANDIN_VCPUS; i++) {
        vcpu_send_fault(i, id, BAR + i * STANDIN_PAGE, i & 1);
    }
    standin_await_held(STANDIN_VCPUS);
    for (int i = 0; i < STANDIN_VCPUS; i++) {
        g_assert(!vcpu_answered(i));
    }
    standin_release();
    for (int i = STANDIN_VCPUS - 1; i >= 0; i--) {
        g_assert_cmpint(vcpu_wait(i), ==, 0);
    }

    /* Once more, many times, in no order. */
    for (int round = 0; round < 50; round++) {
        standin_revoke(BAR, SIZE);
        for (int i = 0; i < STANDIN_VCPUS; i++) {
            vcpu_send_fault(i, id, BAR + (i * 37 + round) % 256 * STANDIN_PAGE,
                            false);
        }
        for (int i = 0; i < STANDIN_VCPUS; i++) {
            g_assert_cmpint(vcpu_wait(i), ==, 0);
        }
    }
    stop_plain();
}

/* Races: a fault is pending while ... */

static void pend(int vcpu)
{
    struct standin_lease lease = standin_lease_at(BAR);

    standin_hold(lease.id, 0, SIZE);
    vcpu_send_fault(vcpu, lease.id, BAR + vcpu * STANDIN_PAGE, false);
    standin_await_held(1);
}

static void test_race_bar(void)
{
    uint64_t value;

    start_plain("");
    pend(1);
    pci_map_bar(DEVFN, 2, BAR + 16 * SIZE);     /* does not wait */
    /* Nor does the vCPU any more, although the page has not come. */
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    g_assert_cmpint(vcpu_read(0, BAR + 16 * SIZE, &value), ==, TOUCH_FAULTED);
    g_assert_cmpint(vcpu_read(1, BAR + 16 * SIZE + 0x2008, &value), ==,
                    TOUCH_FAULTED);
    g_assert_cmphex(value, ==, word(0x2008));
    standin_release();
    standin_await_held(0);

    /* The page comes late, while the vCPU waits for another one. */
    pci_map_bar(DEVFN, 2, BAR);
    pend(1);
    pci_decode(DEVFN, false);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    g_assert_cmpint(standin_leases(), ==, 0);
    pci_decode(DEVFN, true);
    standin_hold(STANDIN_ALL, 0, SIZE);
    standin_await_held(1);
    vcpu_send_fault(1, standin_lease_at(BAR).id, BAR + 0x3000, false);
    standin_await_held(2);
    standin_hold(standin_lease_at(BAR).id, 0, SIZE);
    standin_await_held(1);
    vcpu_in(0, 0x70, 1);
    g_assert(!vcpu_answered(1));
    standin_release();
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    stop_plain();
}

static bool no_leases(void *opaque)
{
    for (int i = 0; i < STANDIN_LEASES; i++) {
        if (standin->leases[i].used) {
            return false;
        }
    }
    return true;
}

/* Hot-unplug, as the guest's ACPI does it. */
static void unplug(void)
{
    qtest_qmp_device_del_send(qts, "dev");
    vcpu_out(0, 0xae08, 4, 1 << 4);     /* eject slot 4 */
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
}

/* Device and memory come and go while the guest runs. */
static void test_hotplug(void)
{
    uint64_t value;

    standin_create();
    standin_start(" ");
    for (int i = 1; i <= 3; i++) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments':"
                                 " { 'qom-type': 'memory-backend-memfd',"
                                 " 'id': 'mem', 'size': 1048576 } }");
        qtest_qmp_device_add(qts, "ivshmem-plain", "dev",
                             "{ 'memdev': 'mem', 'addr': '4' }");
        g_assert_cmpint(standin_leases(), ==, 0);
        pci_map_bar(DEVFN, 2, BAR);
        g_assert_cmpint(standin_leases(), ==, 1);
        g_assert_cmpint(vcpu_write(0, BAR + 8, i), ==, TOUCH_FAULTED);
        vcpu_read(0, BAR + 8, &value);
        g_assert_cmpint(value, ==, i);
        unplug();
        standin_await("the lease to end", no_leases, NULL);
        qtest_qmp_assert_success(qts, "{ 'execute': 'object-del',"
                                 " 'arguments': { 'id': 'mem' } }");
    }
    standin_stop();
}

/* The owner took the memory back, as it may once the lease has ended. */
static void test_race_failed(void)
{
    start_plain("");
    pend(1);
    standin_lock();
    standin->fail_ended = true;
    standin_unlock();
    pci_decode(DEVFN, false);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    /* Says "failed", to nobody. */
    standin_release();
    standin_await_held(0);
    g_assert_cmpint(standin->notified[STANDIN_PORT_VCPU(1)], ==, 0);
    stop_plain();
}

/* Xen keeps a lease that was to end: what is left of it fails. */
static void test_race_kept(void)
{
    uint64_t value;
    uint32_t id;

    start_plain("");
    id = standin_lease_at(BAR).id;
    pend(1);
    standin_lock();
    standin->unlease_error = EIO;
    standin_unlock();
    pci_decode(DEVFN, false);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    standin_release();
    vcpu_send_fault(1, id, BAR, false);
    g_assert_cmpint(vcpu_wait(1), ==, 1);
    vcpu_send_fault(1, id, BAR + SIZE, false);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    vcpu_send_fault(1, id + 1, BAR, false);
    g_assert_cmpint(vcpu_wait(1), ==, 0);

    /* Ended at last, and there is another one. */
    standin_lock();
    standin->unlease_error = 0;
    standin->leases[0].used = false;
    standin_unlock();
    pci_decode(DEVFN, true);
    g_assert_cmpint(vcpu_read(1, BAR, &value), ==, TOUCH_FAULTED);
    stop_plain();
}

/*
 * Leases end again and again while a page does not come, until there are no
 * threads to spare.
 */
static void test_race_threads(void)
{
    uint64_t value;

    start_plain("");
    standin_hold(STANDIN_ALL, 0, STANDIN_PAGE);
    for (int i = 1; i <= 20; i++) {
        vcpu_send_fault(1, standin_lease_at(BAR).id, BAR, false);
        standin_await_held(MIN(i, 17));
        pci_decode(DEVFN, false);
        g_assert_cmpint(vcpu_wait(1), ==, 0);
        pci_decode(DEVFN, true);
    }
    /* This vCPU has to wait, even for another page.  The others do not. */
    vcpu_send_fault(1, standin_lease_at(BAR).id, BAR + 0x1000, false);
    for (int i = 2; i < STANDIN_VCPUS; i++) {
        g_assert_cmpint(vcpu_read(i, BAR + i * STANDIN_PAGE, &value), ==,
                        TOUCH_FAULTED);
    }
    g_assert(!vcpu_answered(1));
    standin_release();
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    standin_await_held(0);
    g_assert_cmpint(vcpu_read(1, BAR, &value), ==, TOUCH_FAULTED);
    stop_plain();
}

/* The memory is unmapped while the kernel makes a page of it present. */
static void test_race_unplug(void)
{
    start_plain("");
    pend(1);
    unplug();
    standin_await("the lease to end", no_leases, NULL);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    standin_release();
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-del',"
                             " 'arguments': { 'id': 'mem' } }");
    stop_plain();
}

/* The same, by the device: hidden, then moved. */
static void test_race_mapped(void)
{
    uint64_t value;

    start_testdev("kind=fd");
    pend(1);
    qom_set("mapped", "false");
    g_assert_cmpint(standin_leases(), ==, 0);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    standin_release();

    qom_set("mapped", "true");
    pend(1);
    qom_set("address", "0x40000");
    g_assert_cmpint(vcpu_read(2, BAR + 0x41008, &value), ==, TOUCH_FAULTED);
    g_assert_cmphex(value, ==, 0x1008);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    standin_release();
    standin_stop();
}

static void test_race_stop(void)
{
    uint64_t value;

    start_plain("");
    pend(1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    standin_release();
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    g_assert_cmpint(vcpu_read(1, BAR + STANDIN_PAGE, &value), ==, TOUCH_DIRECT);
    g_assert_cmphex(value, ==, word(STANDIN_PAGE));
    stop_plain();
}

static void test_race_reset(void)
{
    uint64_t value;

    start_plain("");
    pend(1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
    /* The BARs are reset, and with them goes the lease. */
    standin_await("the lease to end", no_leases, NULL);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    standin_release();
    pci_map_bar(DEVFN, 2, BAR);
    g_assert_cmpint(vcpu_read(1, BAR, &value), ==, TOUCH_FAULTED);
    stop_plain();
}

/* QEMU goes, without waiting for the page, and the slot is left alone. */
static void test_race_quit(void)
{
    int64_t start;

    start_plain("");
    pend(1);
    start = g_get_monotonic_time();
    standin_stop();
    g_assert_cmpint(g_get_monotonic_time() - start, <, 10 * G_USEC_PER_SEC);
    drop_file();
}

static void test_race_quit_monitor(void)
{
    start_plain("");
    pend(1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'quit' }");
    qtest_wait_qemu(qts);
    stop_plain();
}

/* Quit while answers are on their way. */
static void test_race_quit_busy(void)
{
    for (int round = 0; round < 5; round++) {
        uint32_t id;

        start_plain("");
        id = standin_lease_at(BAR).id;
        for (int i = 0; i < STANDIN_VCPUS; i++) {
            vcpu_send_fault(i, id, BAR + i * STANDIN_PAGE, false);
        }
        stop_plain();
    }
}

static void test_race_storm(void)
{
    uint64_t value;

    start_plain("");
    for (int round = 0; round < 200; round++) {
        uint64_t old = BAR + (round & 1) * 16 * SIZE;
        uint64_t new = BAR + (~round & 1) * 16 * SIZE;
        uint32_t id = standin_lease_at(old).id;

        for (int i = 1; i < 8; i++) {
            vcpu_send_fault(i, id, old + i * STANDIN_PAGE, i & 1);
        }
        /* On vCPU 0, as the others run. */
        pci_write(DEVFN, 0x18, new);
        for (int i = 1; i < 8; i++) {
            g_assert_cmpint(vcpu_wait(i), ==, 0);
        }
        vcpu_read(0, new + 8, &value);
        g_assert_cmphex(value, ==, word(8));
    }
    stop_plain();
}

/* Requests that make no sense are answered "retry", and do no harm. */
static void test_malformed(void)
{
    static const ioreq_t odd[] = {
        { .data = 0 },
        { .data = 12345 },
        { .data = 0xffffffffffffffff },
        { .data = 0xffffffff },
        { .addr = BAR - 1, .data = 1 },
        { .addr = BAR + SIZE, .data = 1 },
        { .addr = 0xffffffffffffffff, .data = 1 },
        { .addr = 0, .data = 1 },
        { .addr = BAR, .data = 1 | 0xffffffffull << 32, .size = 3 },
        { .addr = BAR, .data = 1, .size = 0xffffffff, .count = 0xffffffff },
        { .addr = BAR, .data = 1, .data_is_ptr = 1, .df = 1 },
        { .addr = BAR, .data = 1, .size = 1, .dir = IOREQ_WRITE },
        { .addr = BAR + SIZE - 1, .data = 1, .size = 8 },
        { .addr = BAR + 0xfff, .data = 1, .size = 8 },
    };
    uint64_t value;
    QDict *rsp;

    start_plain("");
    g_assert_cmpint(standin_lease_at(BAR).id, ==, 1);
    for (int i = 0; i < ARRAY_SIZE(odd); i++) {
        ioreq_t req = odd[i];

        req.type = 9;
        vcpu_send(i, &req);
        g_assert_cmpint(vcpu_wait(i), ==, 0);
    }
    rsp = query();
    g_assert_cmpint(qdict_get_int(rsp, "stale"), ==, 8);
    qobject_unref(rsp);
    g_assert_cmpint(vcpu_read(0, BAR + 0x10000, &value), ==, TOUCH_FAULTED);
    stop_plain();
}

/* Anything at all, from every vCPU, while the BAR comes and goes. */
static void test_malformed_random(void)
{
    start_plain("");
    for (int round = 0; round < 40; round++) {
        for (int i = 1; i < STANDIN_VCPUS; i++) {
            ioreq_t req = {
                .type = 9,
                .addr = BAR + g_test_rand_int_range(-STANDIN_PAGE,
                                                    SIZE + STANDIN_PAGE),
                .data = g_test_rand_int_range(0, 2 * round + 2),
                .count = g_test_rand_int(),
                .size = g_test_rand_int(),
                .dir = g_test_rand_bit(),
                .df = g_test_rand_bit(),
                .data_is_ptr = g_test_rand_bit(),
            };

            req.data |= (uint64_t)g_test_rand_int() << 32;
            vcpu_send(i, &req);
        }
        pci_decode(DEVFN, round & 1);
        for (int i = 1; i < STANDIN_VCPUS; i++) {
            g_assert_cmpint(vcpu_wait(i), ==, 0);
        }
    }
    pci_decode(DEVFN, true);
    g_assert_cmpint(standin_leases(), ==, 1);
    stop_plain();
}

/* The same request again while the first one is under way: one answer. */
static void test_repeated(void)
{
    uint32_t id;

    start_plain("");
    id = standin_lease_at(BAR).id;
    pend(1);
    for (int i = 0; i < 3; i++) {
        standin_unask(1);
        vcpu_send_fault(1, id, BAR, false);
        vcpu_in(0, 0x70, 1);        /* the loop has seen it */
    }
    standin_release();
    g_assert_cmpint(vcpu_wait(1), ==, 0);

    /* Xen took the vCPU out of its wait meanwhile: nobody is notified. */
    pend(1);
    standin_unask(1);
    standin_release();
    vcpu_in(0, 0x70, 1);
    standin_await_held(0);
    g_usleep(50 * 1000);
    g_assert_cmpint(standin->notified[STANDIN_PORT_VCPU(1)], ==, 0);

    /* An event without a request. */
    standin_spurious(1);
    standin_spurious(5);
    vcpu_in(0, 0x70, 1);
    vcpu_send_fault(1, id, BAR, false);
    g_assert_cmpint(vcpu_wait(1), ==, 0);
    stop_plain();
}

static void test_query(void)
{
    g_autofree char *info = NULL;
    QDict *rsp, *lease;
    uint64_t value;

    start_plain("");
    vcpu_read(0, BAR, &value);
    vcpu_read(0, BAR + STANDIN_PAGE, &value);

    rsp = query();
    g_assert(qdict_get_bool(rsp, "available"));
    g_assert_cmpstr(qdict_get_str(rsp, "mode"), ==, "auto");
    g_assert_cmpint(qlist_size(qdict_get_qlist(rsp, "leases")), ==, 1);
    lease = qobject_to(QDict, qlist_peek(qdict_get_qlist(rsp, "leases")));
    g_assert_cmpint(qdict_get_int(lease, "gfn"), ==, BAR / STANDIN_PAGE);
    g_assert_cmpint(qdict_get_int(lease, "size"), ==, SIZE);
    g_assert_cmpint(qdict_get_int(lease, "installed"), ==, 2 * STANDIN_PAGE);
    g_assert_cmpint(qdict_get_int(lease, "resolves"), ==, 2);
    g_assert_cmpint(qdict_get_int(lease, "answered"), ==, 2);
    g_assert_cmpint(qdict_get_int(lease, "faults"), ==, 2);
    g_assert_cmpint(qdict_get_int(lease, "waiting"), ==, 0);
    g_assert_cmpstr(qdict_get_str(lease, "policy"), ==, "fault");
    g_assert_cmpstr(qdict_get_str(lease, "cache"), ==, "wb");
    qobject_unref(rsp);

    info = qtest_hmp(qts, "info xen-lend");
    g_assert(strstr(info, "lending: on"));
    g_assert(strstr(info, "gfn 0x1000000 size 0x100000 rw"));
    stop_plain();
}

/* As the toolstack gives it. */
static void test_machine_option(void)
{
    standin_create();
    start_plain("-machine xen-lend=off");
    check_emulated("lend=off");
    stop_plain();
}

/* The name that the property has with -accel. */
static void test_machine_option_wrong(void)
{
    g_autofree char *err = NULL;

    standin_create();
    err = standin_refused_start("-machine lend=off");
    g_assert(strstr(err, "use 'xen-lend'"));
    g_clear_pointer(&err, g_free);

    standin_create();
    err = standin_refused_start("-machine xen-lend=maybe");
    g_assert(strstr(err, "lend") && strstr(err, "maybe"));
}

static void test_failure_option(void)
{
    QDict *rsp, *lease;

    start_plain("-machine xen-lend-failure=zero");
    rsp = query();
    lease = qobject_to(QDict, qlist_peek(qdict_get_qlist(rsp, "leases")));
    g_assert_cmpstr(qdict_get_str(lease, "policy"), ==, "zero");
    qobject_unref(rsp);
    stop_plain();
}

/* The kernel is told whose fault it is, if it wants to know. */
static void test_stream(void)
{
    uint64_t value;

    start_plain("");
    vcpu_read(1, BAR, &value);
    g_assert_cmpint(standin->stream, ==, 1);
    vcpu_read(0, BAR + 0x80000, &value);
    g_assert_cmpint(standin->stream, ==, 0);
    g_assert(!(standin->leases[0].flags & XEN_LEND_NO_AHEAD));
    stop_plain();
}

/* An older one takes neither a stream nor the flag. */
static void test_stream_old(void)
{
    uint64_t value;

    standin_create();
    standin->features &= ~XEN_LEND_FEAT_STREAM;
    start_plain("-machine xen-lend-ahead=off");
    g_assert_cmpint(standin_leases(), ==, 1);
    g_assert_cmpint(vcpu_read(1, BAR, &value), ==, TOUCH_FAULTED);
    g_assert(!(standin->leases[0].flags & XEN_LEND_NO_AHEAD));
    stop_plain();
}

static void test_ahead_option(void)
{
    start_plain("-machine xen-lend-ahead=off");
    g_assert(standin->leases[0].flags & XEN_LEND_NO_AHEAD);
    stop_plain();
}

#define ADD_ERRNO(path, fn, err) \
    qtest_add_data_func(path "/" #err, GINT_TO_POINTER(err), fn)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_func("xen-lend/plain", test_plain);
    qtest_add_func("xen-lend/stream", test_stream);
    qtest_add_func("xen-lend/stream/old", test_stream_old);
    qtest_add_func("xen-lend/ahead-option", test_ahead_option);
    qtest_add_func("xen-lend/emulated", test_emulated);
    qtest_add_func("xen-lend/emulated-rep", test_emulated_rep);
    qtest_add_func("xen-lend/bar-moves", test_bar_moves);
    qtest_add_func("xen-lend/bad-places", test_bad_places);
    qtest_add_func("xen-lend/overlap", test_overlap);
    qtest_add_func("xen-lend/readonly", test_readonly);
    qtest_add_func("xen-lend/private-file", test_private_file);
    qtest_add_func("xen-lend/guest-memory", test_guest_memory);
    qtest_add_func("xen-lend/pmem", test_pmem);
    qtest_add_func("xen-lend/many", test_many);
    qtest_add_func("xen-lend/hotplug", test_hotplug);
    qtest_add_data_func("xen-lend/backend/ram-shared",
                        "memory-backend-ram,share=on", test_backend);
    qtest_add_data_func("xen-lend/backend/ram-private",
                        "memory-backend-ram,share=off", test_backend);
    qtest_add_data_func("xen-lend/backend/memfd",
                        "memory-backend-memfd", test_backend);
    qtest_add_data_func("xen-lend/backend/memfd-private",
                        "memory-backend-memfd,share=off", test_backend);
    qtest_add_data_func("xen-lend/backend/shm",
                        "memory-backend-shm", test_backend);

    qtest_add_data_func("xen-lend/type/ptr", "ptr", test_type_kinds);
    qtest_add_data_func("xen-lend/type/fd", "fd", test_type_kinds);
    qtest_add_data_func("xen-lend/type/plain-ptr", "plain-ptr",
                        test_type_kinds);
    qtest_add_data_func("xen-lend/type/plain-device", "plain-device",
                        test_type_kinds);
    qtest_add_data_func("xen-lend/type/plain-fd", "plain-fd", test_type_kinds);
    qtest_add_data_func("xen-lend/type/fd-offset", "fd",
                        test_type_fd_offset);
    qtest_add_data_func("xen-lend/type/plain-fd-offset", "plain-fd",
                        test_type_fd_offset);
    qtest_add_func("xen-lend/type/options", test_type_options);
    qtest_add_func("xen-lend/type/slow-prefault", test_type_slow_prefault);
    qtest_add_func("xen-lend/type/overlay", test_type_overlay);
    qtest_add_func("xen-lend/type/alias", test_type_alias);
    qtest_add_func("xen-lend/type/priority", test_type_priority);
    qtest_add_func("xen-lend/type/inside", test_type_inside);
    qtest_add_func("xen-lend/type/clipped", test_type_clipped);
    qtest_add_data_func("xen-lend/type/covered/io", &cover_io,
                        test_type_covered);
    qtest_add_data_func("xen-lend/type/covered/ram", &cover_ram,
                        test_type_covered);
    qtest_add_data_func("xen-lend/type/covered/inside", &cover_inside,
                        test_type_covered);
    qtest_add_func("xen-lend/type/vram", test_type_vram);
    qtest_add_func("xen-lend/type/logged", test_type_logged);
    qtest_add_func("xen-lend/type/mapped", test_type_mapped);
    qtest_add_func("xen-lend/type/control", test_type_control);
    qtest_add_func("xen-lend/type/skewed", test_type_skewed);
    qtest_add_func("xen-lend/type/no-readonly", test_type_no_readonly);
    qtest_add_data_func("xen-lend/type/refused/around",
                        "-device xen-lend-testdev,around=12345",
                        test_type_refused);
    qtest_add_data_func("xen-lend/type/refused/size",
                        "-device xen-lend-testdev,size=0x1800",
                        test_type_refused);
    qtest_add_data_func("xen-lend/type/refused/fd-size",
                        "-device xen-lend-testdev,kind=fd,size=0x1800",
                        test_type_refused);
    qtest_add_data_func("xen-lend/type/refused/fd-offset",
                        "-device xen-lend-testdev,kind=fd,fd-offset=0x800",
                        test_type_refused);

    qtest_add_func("xen-lend/mode/off", test_off);
    qtest_add_func("xen-lend/mode/auto-without", test_auto_without);
    qtest_add_func("xen-lend/mode/on-without", test_on_without);
    qtest_add_func("xen-lend/mode/listen", test_listen);
    qtest_add_func("xen-lend/mode/restricted", test_restricted);
    qtest_add_func("xen-lend/mode/machine-option", test_machine_option);
    qtest_add_func("xen-lend/mode/machine-option-wrong",
                   test_machine_option_wrong);
    qtest_add_func("xen-lend/mode/failure-option", test_failure_option);

    ADD_ERRNO("xen-lend/refused", test_lease_refused, ENOMEM);
    ADD_ERRNO("xen-lend/refused", test_lease_refused, ENOSPC);
    ADD_ERRNO("xen-lend/refused", test_lease_refused, EOPNOTSUPP);
    ADD_ERRNO("xen-lend/refused", test_lease_refused, EPERM);
    ADD_ERRNO("xen-lend/refused", test_lease_refused, ESRCH);

    ADD_ERRNO("xen-lend/refused/later", test_lease_later, ENOMEM);
    ADD_ERRNO("xen-lend/refused/later", test_lease_later, ENOSPC);
    ADD_ERRNO("xen-lend/refused/later", test_lease_later, EOPNOTSUPP);

    ADD_ERRNO("xen-lend/resolve/retried", test_resolve_retried, EINTR);
    ADD_ERRNO("xen-lend/resolve/retried", test_resolve_retried, EAGAIN);
    ADD_ERRNO("xen-lend/resolve/retried", test_resolve_retried, ENOMEM);
    ADD_ERRNO("xen-lend/resolve/retried", test_resolve_retried, ENOSPC);
    ADD_ERRNO("xen-lend/resolve/retried", test_resolve_retried, ENOENT);
    ADD_ERRNO("xen-lend/resolve/retried", test_resolve_retried, ESRCH);
    ADD_ERRNO("xen-lend/resolve/error", test_resolve_error, EINVAL);
    ADD_ERRNO("xen-lend/resolve/error", test_resolve_error, EIO);
    ADD_ERRNO("xen-lend/resolve/error", test_resolve_error, ENOTCONN);
    qtest_add_func("xen-lend/resolve/failed", test_resolve_failed);

    qtest_add_func("xen-lend/own/gone", test_own_access);
    qtest_add_func("xen-lend/own/mapped", test_own_mapping);
    qtest_add_func("xen-lend/own/written", test_own_written);
    qtest_add_func("xen-lend/own/reported", test_own_reported);
    qtest_add_func("xen-lend/own/huge", test_own_huge);
    qtest_add_func("xen-lend/own/threads", test_own_threads);
    qtest_add_func("xen-lend/own/migrated", test_migrate_refused);
    qtest_add_func("xen-lend/own/readonly", test_own_access_readonly);
    qtest_add_func("xen-lend/own/saved", test_save);

    qtest_add_func("xen-lend/slow/page", test_slow_page);
    qtest_add_func("xen-lend/slow/all-vcpus", test_all_vcpus);

    qtest_add_func("xen-lend/race/bar", test_race_bar);
    qtest_add_func("xen-lend/race/failed", test_race_failed);
    qtest_add_func("xen-lend/race/kept", test_race_kept);
    qtest_add_func("xen-lend/race/threads", test_race_threads);
    qtest_add_func("xen-lend/race/unplug", test_race_unplug);
    qtest_add_func("xen-lend/race/mapped", test_race_mapped);
    qtest_add_func("xen-lend/race/stop", test_race_stop);
    qtest_add_func("xen-lend/race/reset", test_race_reset);
    qtest_add_func("xen-lend/race/quit", test_race_quit);
    qtest_add_func("xen-lend/race/quit-monitor", test_race_quit_monitor);
    qtest_add_func("xen-lend/race/quit-busy", test_race_quit_busy);
    qtest_add_func("xen-lend/race/storm", test_race_storm);

    qtest_add_func("xen-lend/malformed", test_malformed);
    qtest_add_func("xen-lend/malformed-random", test_malformed_random);
    qtest_add_func("xen-lend/repeated", test_repeated);
    qtest_add_func("xen-lend/query", test_query);

    return g_test_run();
}
