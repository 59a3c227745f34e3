/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Xen's counters (CONFIG_PERF_COUNTERS), of all processors together. The file that includes this has a die(). */
#ifndef PERFC_H
#define PERFC_H

#include <stdint.h>
#include <string.h>

#include <xenctrl.h>

static inline uint64_t perf_counter(xc_interface *xch, const char *name)
{
    DECLARE_HYPERCALL_BUFFER(xc_perfc_desc_t, desc);
    DECLARE_HYPERCALL_BUFFER(xc_perfc_val_t, val);
    int descs = 0, vals = 0;
    uint64_t sum = 0;

    if (xc_perfc_query_number(xch, &descs, &vals))
        die("Xen counts nothing (CONFIG_PERF_COUNTERS)");
    desc = xc_hypercall_buffer_alloc(xch, desc, sizeof(*desc) * descs);
    val = xc_hypercall_buffer_alloc(xch, val, sizeof(*val) * vals);
    if (!desc || !val || xc_perfc_query(xch, HYPERCALL_BUFFER(desc), HYPERCALL_BUFFER(val)))
        die("Xen's counters");
    for (int i = 0, at = 0; i < descs; at += desc[i++].nr_vals)
        if (!strcmp(desc[i].name, name))
            for (unsigned v = 0; v < desc[i].nr_vals; v++)
                sum += val[at + v];
    xc_hypercall_buffer_free(xch, desc);
    xc_hypercall_buffer_free(xch, val);
    return sum;
}

#endif
