/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffers of a DRM device with video memory: made as "dumb" buffers, brought into video memory by showing them, and pushed out
 * of it by showing so many others that there is no room.  For drivers that use TTM, such as bochs.
 */
#ifndef DRMBUF_H
#define DRMBUF_H

#include <drm/drm.h>
#include <drm/drm_mode.h>

#include "lendtest.h"

#define DRM_BUFS 64

struct drmbuf {
    uint32_t handle, fb;
    uint64_t offset;            /* for mmap */
};

struct drm {
    int fd;
    uint32_t crtc, connector;
    struct drm_mode_modeinfo mode;
    uint32_t height;            /* of the buffers; they are as wide as 1024 pixels of 4 bytes */
    unsigned n;
    struct drmbuf buf[DRM_BUFS];
};

/* The first connector that has a mode of at most 1024 pixels a line. */
static int drm_find(struct drm *d)
{
    uint32_t crtcs[8], connectors[8];
    struct drm_mode_card_res res = {
        .crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 8, .connector_id_ptr = (uintptr_t)connectors, .count_connectors = 8,
    };

    if (ioctl(d->fd, DRM_IOCTL_MODE_GETRESOURCES, &res))
        return errno;
    for (unsigned i = 0; i < res.count_connectors && i < 8; i++) {
        struct drm_mode_get_connector c = { .connector_id = connectors[i] };
        static struct drm_mode_modeinfo modes[128];

        if (ioctl(d->fd, DRM_IOCTL_MODE_GETCONNECTOR, &c))
            return errno;
        c = (struct drm_mode_get_connector){
            .connector_id = connectors[i], .modes_ptr = (uintptr_t)modes, .count_modes = c.count_modes > 128 ? 128 : c.count_modes,
        };
        if (ioctl(d->fd, DRM_IOCTL_MODE_GETCONNECTOR, &c))
            return errno;
        for (unsigned m = 0; m < c.count_modes && m < 128; m++)
            if (modes[m].hdisplay <= 1024 && modes[m].vdisplay <= d->height) {
                d->crtc = crtcs[0];
                d->connector = connectors[i];
                d->mode = modes[m];
                return 0;
            }
    }
    return ENODEV;
}

/* One more buffer; it is in system memory until it is shown. */
static int drm_more(struct drm *d)
{
    struct drm_mode_create_dumb c = { .width = 1024, .height = d->height, .bpp = 32 };
    struct drm_mode_map_dumb m = {};
    struct drm_mode_fb_cmd f = {};

    if (d->n == DRM_BUFS || ioctl(d->fd, DRM_IOCTL_MODE_CREATE_DUMB, &c))
        return d->n == DRM_BUFS ? ENOSPC : errno;
    m.handle = c.handle;
    f = (struct drm_mode_fb_cmd){
        .width = 1024, .height = d->height, .pitch = c.pitch, .bpp = 32, .depth = 24, .handle = c.handle,
    };
    if (ioctl(d->fd, DRM_IOCTL_MODE_MAP_DUMB, &m) || ioctl(d->fd, DRM_IOCTL_MODE_ADDFB, &f))
        return errno;
    d->buf[d->n++] = (struct drmbuf){ .handle = c.handle, .fb = f.fb_id, .offset = m.offset };
    return 0;
}

/* On the screen: pinned in video memory until another one is. */
static inline int drm_show(struct drm *d, unsigned i)
{
    struct drm_mode_crtc c = {
        .set_connectors_ptr = (uintptr_t)&d->connector, .count_connectors = 1, .crtc_id = d->crtc, .mode_valid = 1,
        .mode = d->mode,
    };

    if (i >= d->n)
        return ERANGE;
    c.fb_id = d->buf[i].fb;
    return ioctl(d->fd, DRM_IOCTL_MODE_SETCRTC, &c) ? errno : 0;
}

/* The card at @path, with one buffer of so many bytes. */
static int drm_open(struct drm *d, const char *path, size_t len)
{
    int err;

    *d = (struct drm){ .height = len / 4096 };
    d->fd = open(path, O_RDWR | O_CLOEXEC);
    if (d->fd < 0)
        return errno;
    /* The one who opens it first is master; a console may have been there before. */
    ioctl(d->fd, DRM_IOCTL_SET_MASTER, 0);
    err = drm_find(d);
    return err ?: drm_more(d);
}

/*
 * How many of @n numbers from @value on begin a page of the file, a BAR of @pages pages: what is in video memory shows there, too.
 * (The page map does not tell of such pages.)
 */
static inline int drm_find_words(const char *path, unsigned long pages, uint64_t value, unsigned long n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), found = 0;
    char *bar = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);

    if (fd < 0 || bar == MAP_FAILED)
        return -1;
    for (unsigned long i = 0; i < pages; i++)
        found += *(volatile uint64_t *)(bar + i * PAGE) - value < n;
    munmap(bar, pages * PAGE);
    close(fd);
    return found;
}

#endif
