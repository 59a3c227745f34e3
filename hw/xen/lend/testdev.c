/*
 * A PCI device to test memory lending with
 *
 * BAR 0 is a container of 1 MiB.  A RAM region is mapped in it, made in one of
 * the ways there are, and optionally a small device region on top of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/memalign.h"
#include "qemu/memfd.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/pci/pci_device.h"
#include "hw/qdev-properties.h"
#include "hw/xen/lend-region.h"

#define TYPE_XEN_LEND_TESTDEV "xen-lend-testdev"
OBJECT_DECLARE_SIMPLE_TYPE(XenLendTestDev, XEN_LEND_TESTDEV)

#define BAR_SIZE (1 * MiB)

struct XenLendTestDev {
    PCIDevice parent_obj;

    MemoryRegion bar;
    XenLentMemoryRegion lent;
    MemoryRegion plain;
    MemoryRegion overlay;
    void *memory;

    /* Properties */
    char *kind;             /* see make_region() */
    bool readonly, zero;
    char *cache;
    uint64_t prefault;
    uint32_t around;
    uint64_t size;          /* of the region */
    uint64_t offset;        /* of the region in the BAR */
    uint64_t overlay_offset, overlay_size;
};

static bool get_options(XenLendTestDev *dev, XenLentOptions *options,
                        Error **errp)
{
    *options = (XenLentOptions) {
        .readonly = dev->readonly,
        .policy = dev->zero ? XEN_LENT_POLICY_ZERO : XEN_LENT_POLICY_FAULT,
        .prefault = dev->prefault,
        .around = dev->around,
    };
    if (!dev->cache || !strcmp(dev->cache, "wb")) {
        options->cache = XEN_LENT_CACHE_WB;
    } else if (!strcmp(dev->cache, "wc")) {
        options->cache = XEN_LENT_CACHE_WC;
    } else if (!strcmp(dev->cache, "uc")) {
        options->cache = XEN_LENT_CACHE_UC;
    } else {
        error_setg(errp, "no cache type '%s'", dev->cache);
        return false;
    }
    return true;
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
        fd = qemu_memfd_create("lend-testdev", dev->size, false, 0, 0, errp);
        if (fd < 0) {
            return NULL;
        }
        if (!strcmp(kind, "fd")) {
            return xen_lent_memory_region_init_fd(&dev->lent, owner, "lent",
                                                  dev->size, fd, 0, &options,
                                                  errp)
                ? MEMORY_REGION(&dev->lent) : NULL;
        }
        return memory_region_init_ram_from_fd(&dev->plain, owner, "lent",
                                              dev->size, RAM_SHARED, fd, 0,
                                              errp)
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

static void testdev_realize(PCIDevice *pci, Error **errp)
{
    XenLendTestDev *dev = XEN_LEND_TESTDEV(pci);
    MemoryRegion *region;

    memory_region_init(&dev->bar, OBJECT(dev), "bar", BAR_SIZE);
    region = make_region(dev, errp);
    if (!region) {
        return;
    }
    memory_region_add_subregion(&dev->bar, dev->offset, region);
    if (dev->overlay_size) {
        memory_region_init_io(&dev->overlay, OBJECT(dev), &overlay_ops, dev,
                              "overlay", dev->overlay_size);
        memory_region_add_subregion_overlap(&dev->bar, dev->overlay_offset,
                                            &dev->overlay, 1);
    }
    pci_register_bar(pci, 0, PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &dev->bar);
}

static void testdev_finalize(Object *obj)
{
    qemu_vfree(XEN_LEND_TESTDEV(obj)->memory);
}

static const Property testdev_properties[] = {
    DEFINE_PROP_STRING("kind", XenLendTestDev, kind),
    DEFINE_PROP_BOOL("readonly", XenLendTestDev, readonly, false),
    DEFINE_PROP_BOOL("zero", XenLendTestDev, zero, false),
    DEFINE_PROP_STRING("cache", XenLendTestDev, cache),
    DEFINE_PROP_SIZE("prefault", XenLendTestDev, prefault, 0),
    DEFINE_PROP_UINT32("around", XenLendTestDev, around, 0),
    DEFINE_PROP_SIZE("size", XenLendTestDev, size, 64 * KiB),
    DEFINE_PROP_SIZE("offset", XenLendTestDev, offset, 0),
    DEFINE_PROP_SIZE("overlay-offset", XenLendTestDev, overlay_offset, 0),
    DEFINE_PROP_SIZE("overlay-size", XenLendTestDev, overlay_size, 0),
};

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
}

static const TypeInfo testdev_info = {
    .name = TYPE_XEN_LEND_TESTDEV,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(XenLendTestDev),
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
