/*
 * A PCI device to test memory lending with
 *
 * BAR 0 is a container of 1 MiB ("bar-size").  A RAM region is mapped in it,
 * made in one of the ways there are.  Others can be added: a small device
 * region on top, a second RAM region at any priority or inside the first, an
 * alias of part of the first.  "mapped", "covered" (by what is on top),
 * "address" and "logged" (as a frame buffer is) can be changed at run time
 * with qom-set.  With "control", there is BAR 2, a register of which is
 * "mapped", for the guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/memalign.h"
#include "qemu/memfd.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "hw/pci/pci_device.h"
#include "hw/qdev-properties.h"
#include "hw/xen/lend-region.h"

#define TYPE_XEN_LEND_TESTDEV "xen-lend-testdev"
OBJECT_DECLARE_SIMPLE_TYPE(XenLendTestDev, XEN_LEND_TESTDEV)

#define CONTROL_SIZE (4 * KiB)

struct XenLendTestDev {
    PCIDevice parent_obj;

    MemoryRegion bar;
    MemoryRegion control_bar;
    XenLentMemoryRegion lent;
    MemoryRegion plain;
    MemoryRegion overlay;
    MemoryRegion rival;
    MemoryRegion alias;
    MemoryRegion *region;   /* &lent or &plain */
    void *memory, *rival_memory;
    uint64_t peeked;
    bool mapped, covered, logged;

    /* Properties */
    char *kind;             /* see make_region() */
    bool readonly, zero;
    char *cache;
    uint64_t prefault;
    uint32_t around;
    uint64_t bar_size;
    bool control;
    uint64_t size;          /* of the region */
    uint64_t offset;        /* of the region in the BAR */
    uint64_t fd_offset;     /* of the region in its file */
    uint64_t overlay_offset, overlay_size;
    uint64_t rival_offset, rival_size;
    int32_t rival_priority;
    bool rival_inside;      /* a subregion of the region, not of the BAR */
    uint64_t alias_offset, alias_size;
    uint64_t alias_of;      /* offset in the region */
};

static bool get_options(XenLendTestDev *dev, XenLentOptions *options,
                        Error **errp)
{
    int cache = qapi_enum_parse(&XenLendCache_lookup, dev->cache,
                                XEN_LEND_CACHE_WB, errp);

    *options = (XenLentOptions) {
        .readonly = dev->readonly,
        .policy = dev->zero ? XEN_LEND_FAILURE_ZERO : XEN_LEND_FAILURE_FAULT,
        .cache = cache,
        .prefault = dev->prefault,
        .around = dev->around,
    };
    return cache >= 0;
}

/* A file of 64-bit words, each of which is its offset. */
static int make_file(uint64_t size, Error **errp)
{
    int fd = qemu_memfd_create("lend-testdev", size, false, 0, 0, errp);
    uint64_t words[512], offset, n;

    for (offset = 0; fd >= 0 && offset < size; offset += n) {
        n = MIN(sizeof(words), size - offset);
        for (int i = 0; i < ARRAY_SIZE(words); i++) {
            words[i] = offset + i * sizeof(words[0]);
        }
        if (pwrite(fd, words, n, offset) != n) {
            error_setg_errno(errp, errno, "cannot fill the file");
            close(fd);
            return -1;
        }
    }
    return fd;
}

/* The region, or NULL with @errp set. */
static MemoryRegion *make_region(XenLendTestDev *dev, Error **errp)
{
    const char *kind = dev->kind ?: "ptr";
    Object *owner = OBJECT(dev);
    XenLentOptions options;
    int fd;

    if (!get_options(dev, &options, errp)) {
        return NULL;
    }

    if (!strcmp(kind, "fd") || !strcmp(kind, "plain-fd")) {
        fd = make_file(dev->fd_offset + dev->size, errp);
        if (fd < 0) {
            return NULL;
        }
        if (!strcmp(kind, "fd")) {
            return xen_lent_memory_region_init_fd(&dev->lent, owner, "lent",
                                                  dev->size, fd,
                                                  dev->fd_offset, &options,
                                                  errp)
                ? MEMORY_REGION(&dev->lent) : NULL;
        }
        return memory_region_init_ram_from_fd(&dev->plain, owner, "lent",
                                              dev->size, RAM_SHARED, fd,
                                              dev->fd_offset, errp)
            ? &dev->plain : NULL;
    }

    dev->memory = qemu_memalign(qemu_real_host_page_size(), dev->size);
    memset(dev->memory, 0, dev->size);
    if (!strcmp(kind, "plain-ptr")) {
        memory_region_init_ram_ptr(&dev->plain, owner, "lent", dev->size,
                                   dev->memory);
        return &dev->plain;
    }
    if (!strcmp(kind, "plain-device")) {
        memory_region_init_ram_device_ptr(&dev->plain, owner, "lent",
                                          dev->size, dev->memory);
        return &dev->plain;
    }
    if (!strcmp(kind, "ptr")) {
        return xen_lent_memory_region_init_ptr(&dev->lent, owner, "lent",
                                               dev->size, dev->memory,
                                               &options, errp)
            ? MEMORY_REGION(&dev->lent) : NULL;
    }
    error_setg(errp, "no kind '%s'", kind);
    return NULL;
}

static uint64_t overlay_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0xa5a5a5a5a5a5a5a5ull;
}

static void overlay_write(void *opaque, hwaddr addr, uint64_t value,
                          unsigned size)
{
}

static const MemoryRegionOps overlay_ops = {
    .read = overlay_read,
    .write = overlay_write,
    .valid.max_access_size = 8,
    .impl.max_access_size = 8,
    .endianness = DEVICE_LITTLE_ENDIAN,
};

static void set_mapped(XenLendTestDev *dev, bool value)
{
    dev->mapped = value;
    if (dev->region) {
        memory_region_set_enabled(dev->region, value);
    }
}

static uint64_t control_read(void *opaque, hwaddr addr, unsigned size)
{
    XenLendTestDev *dev = opaque;

    return dev->mapped;
}

static void control_write(void *opaque, hwaddr addr, uint64_t value,
                          unsigned size)
{
    set_mapped(opaque, value);
}

static const MemoryRegionOps control_ops = {
    .read = control_read,
    .write = control_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
};

static void add_rival(XenLendTestDev *dev)
{
    MemoryRegion *parent = dev->rival_inside ? dev->region : &dev->bar;

    dev->rival_memory = qemu_memalign(qemu_real_host_page_size(),
                                      dev->rival_size);
    memset(dev->rival_memory, 0x5a, dev->rival_size);
    memory_region_init_ram_ptr(&dev->rival, OBJECT(dev), "rival",
                               dev->rival_size, dev->rival_memory);
    memory_region_set_enabled(&dev->rival, dev->covered);
    memory_region_add_subregion_overlap(parent, dev->rival_offset,
                                        &dev->rival, dev->rival_priority);
}

static void testdev_realize(PCIDevice *pci, Error **errp)
{
    XenLendTestDev *dev = XEN_LEND_TESTDEV(pci);

    if (!is_power_of_2(dev->bar_size)) {
        error_setg(errp, "bar-size is no power of 2");
        return;
    }
    memory_region_init(&dev->bar, OBJECT(dev), "bar", dev->bar_size);
    dev->region = make_region(dev, errp);
    if (!dev->region) {
        return;
    }
    memory_region_add_subregion_overlap(&dev->bar, dev->offset,
                                        dev->region, 0);
    dev->mapped = true;
    if (dev->overlay_size) {
        memory_region_init_io(&dev->overlay, OBJECT(dev), &overlay_ops, dev,
                              "overlay", dev->overlay_size);
        memory_region_set_enabled(&dev->overlay, dev->covered);
        memory_region_add_subregion_overlap(&dev->bar, dev->overlay_offset,
                                            &dev->overlay, 1);
    }
    if (dev->rival_size) {
        add_rival(dev);
    }
    if (dev->alias_size) {
        memory_region_init_alias(&dev->alias, OBJECT(dev), "alias",
                                 dev->region, dev->alias_of, dev->alias_size);
        memory_region_add_subregion_overlap(&dev->bar, dev->alias_offset,
                                            &dev->alias, 0);
    }
    pci_register_bar(pci, 0, PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &dev->bar);
    if (dev->control) {
        memory_region_init_io(&dev->control_bar, OBJECT(dev), &control_ops,
                              dev, "control", CONTROL_SIZE);
        pci_register_bar(pci, 2, PCI_BASE_ADDRESS_SPACE_MEMORY,
                         &dev->control_bar);
    }
}

static void testdev_finalize(Object *obj)
{
    XenLendTestDev *dev = XEN_LEND_TESTDEV(obj);

    qemu_vfree(dev->memory);
    qemu_vfree(dev->rival_memory);
}

static bool testdev_get_mapped(Object *obj, Error **errp)
{
    return XEN_LEND_TESTDEV(obj)->mapped;
}

static void testdev_set_mapped(Object *obj, bool value, Error **errp)
{
    set_mapped(XEN_LEND_TESTDEV(obj), value);
}

static bool testdev_get_covered(Object *obj, Error **errp)
{
    return XEN_LEND_TESTDEV(obj)->covered;
}

static void testdev_set_covered(Object *obj, bool value, Error **errp)
{
    XenLendTestDev *dev = XEN_LEND_TESTDEV(obj);

    dev->covered = value;
    if (dev->region && dev->overlay_size) {
        memory_region_set_enabled(&dev->overlay, value);
    }
    if (dev->region && dev->rival_size) {
        memory_region_set_enabled(&dev->rival, value);
    }
}

static bool testdev_get_logged(Object *obj, Error **errp)
{
    return XEN_LEND_TESTDEV(obj)->logged;
}

static void testdev_set_logged(Object *obj, bool value, Error **errp)
{
    XenLendTestDev *dev = XEN_LEND_TESTDEV(obj);

    if (dev->region && value != dev->logged) {
        dev->logged = value;
        memory_region_set_log(dev->region, value, DIRTY_MEMORY_VGA);
    }
}

/* How many pages of the region were written to since the last time. */
static void testdev_get_dirty(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    XenLendTestDev *dev = XEN_LEND_TESTDEV(obj);
    g_autofree DirtyBitmapSnapshot *snapshot =
        memory_region_snapshot_and_clear_dirty(dev->region, 0, dev->size,
                                               DIRTY_MEMORY_VGA);
    hwaddr page = 4 * KiB;
    uint64_t n = 0;
    hwaddr addr;

    for (addr = 0; addr < dev->size; addr += page) {
        n += memory_region_snapshot_get_dirty(dev->region, snapshot, addr,
                                              page);
    }
    visit_type_uint64(v, name, &n, errp);
}

static void testdev_get_address(Object *obj, Visitor *v, const char *name,
                                void *opaque, Error **errp)
{
    visit_type_uint64(v, name, &XEN_LEND_TESTDEV(obj)->offset, errp);
}

static void testdev_set_address(Object *obj, Visitor *v, const char *name,
                                void *opaque, Error **errp)
{
    XenLendTestDev *dev = XEN_LEND_TESTDEV(obj);

    if (visit_type_uint64(v, name, &dev->offset, errp) && dev->region) {
        memory_region_set_address(dev->region, dev->offset);
    }
}

/*
 * What a device does that maps memory and accesses it by itself.  The address
 * is what @v has.  NULL with @errp set if not all of it can be mapped.
 */
static void *map_memory(Visitor *v, const char *name, hwaddr len,
                        bool is_write, Error **errp)
{
    hwaddr mapped = len;
    uint64_t addr;
    void *host;

    if (!visit_type_uint64(v, name, &addr, errp)) {
        return NULL;
    }
    host = address_space_map(&address_space_memory, addr, &mapped, is_write,
                             MEMTXATTRS_UNSPECIFIED);
    if (host && mapped < len) {
        address_space_unmap(&address_space_memory, host, mapped, is_write, 0);
        host = NULL;
    }
    if (!host) {
        error_setg(errp, "cannot map 0x%" PRIx64, addr);
    }
    return host;
}

static void testdev_set_peek(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    XenLendTestDev *dev = XEN_LEND_TESTDEV(obj);
    hwaddr len = sizeof(dev->peeked);
    void *host = map_memory(v, name, len, false, errp);

    if (host) {
        dev->peeked = ldq_he_p(host);
        address_space_unmap(&address_space_memory, host, len, false, len);
    }
}

/* Writes 1, as a device does to a status byte. */
static void testdev_set_poke(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    void *host = map_memory(v, name, 1, true, errp);

    if (host) {
        stb_p(host, 1);
        address_space_unmap(&address_space_memory, host, 1, true, 1);
    }
}

static void testdev_get_peek(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    visit_type_uint64(v, name, &XEN_LEND_TESTDEV(obj)->peeked, errp);
}

static const Property testdev_properties[] = {
    DEFINE_PROP_STRING("kind", XenLendTestDev, kind),
    DEFINE_PROP_BOOL("readonly", XenLendTestDev, readonly, false),
    DEFINE_PROP_BOOL("zero", XenLendTestDev, zero, false),
    DEFINE_PROP_STRING("cache", XenLendTestDev, cache),
    DEFINE_PROP_SIZE("prefault", XenLendTestDev, prefault, 0),
    DEFINE_PROP_UINT32("around", XenLendTestDev, around, 0),
    DEFINE_PROP_SIZE("bar-size", XenLendTestDev, bar_size, 1 * MiB),
    DEFINE_PROP_BOOL("control", XenLendTestDev, control, false),
    DEFINE_PROP_SIZE("size", XenLendTestDev, size, 64 * KiB),
    DEFINE_PROP_SIZE("offset", XenLendTestDev, offset, 0),
    DEFINE_PROP_SIZE("fd-offset", XenLendTestDev, fd_offset, 0),
    DEFINE_PROP_SIZE("overlay-offset", XenLendTestDev, overlay_offset, 0),
    DEFINE_PROP_SIZE("overlay-size", XenLendTestDev, overlay_size, 0),
    DEFINE_PROP_SIZE("rival-offset", XenLendTestDev, rival_offset, 0),
    DEFINE_PROP_SIZE("rival-size", XenLendTestDev, rival_size, 0),
    DEFINE_PROP_INT32("rival-priority", XenLendTestDev, rival_priority, 0),
    DEFINE_PROP_BOOL("rival-inside", XenLendTestDev, rival_inside, false),
    DEFINE_PROP_SIZE("alias-offset", XenLendTestDev, alias_offset, 0),
    DEFINE_PROP_SIZE("alias-size", XenLendTestDev, alias_size, 0),
    DEFINE_PROP_SIZE("alias-of", XenLendTestDev, alias_of, 0),
};

static void testdev_init(Object *obj)
{
    XEN_LEND_TESTDEV(obj)->covered = true;
}

static void testdev_class_init(ObjectClass *klass, void *data)
{
    PCIDeviceClass *pci = PCI_DEVICE_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);

    pci->realize = testdev_realize;
    pci->vendor_id = PCI_VENDOR_ID_REDHAT;
    pci->device_id = PCI_DEVICE_ID_REDHAT_TEST;
    pci->class_id = PCI_CLASS_OTHERS;
    dc->desc = "Test device for memory lent to a Xen guest";
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, testdev_properties);
    object_class_property_add_bool(klass, "mapped", testdev_get_mapped,
                                   testdev_set_mapped);
    object_class_property_add_bool(klass, "covered", testdev_get_covered,
                                   testdev_set_covered);
    object_class_property_add_bool(klass, "logged", testdev_get_logged,
                                   testdev_set_logged);
    object_class_property_add(klass, "dirty", "size", testdev_get_dirty,
                              NULL, NULL, NULL);
    object_class_property_add(klass, "address", "size", testdev_get_address,
                              testdev_set_address, NULL, NULL);
    /* Written: where to read; read: what was there. */
    object_class_property_add(klass, "peek", "size", testdev_get_peek,
                              testdev_set_peek, NULL, NULL);
    object_class_property_add(klass, "poke", "size", NULL,
                              testdev_set_poke, NULL, NULL);
}

static const TypeInfo testdev_info = {
    .name = TYPE_XEN_LEND_TESTDEV,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(XenLendTestDev),
    .instance_init = testdev_init,
    .instance_finalize = testdev_finalize,
    .class_init = testdev_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void testdev_register(void)
{
    type_register_static(&testdev_info);
}

type_init(testdev_register)
