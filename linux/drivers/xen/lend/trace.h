/* SPDX-License-Identifier: GPL-2.0 */
/* Memory lending: tracepoints.  Pages are numbered within the lease. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xen_lend

#if !defined(_XEN_LEND_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _XEN_LEND_TRACE_H

#include <linux/tracepoint.h>

#include "lend.h"

DECLARE_EVENT_CLASS(lend_life,
	TP_PROTO(const struct lend_lease *l),
	TP_ARGS(l),
	TP_STRUCT__entry(
		__field(u16, domid)
		__field(u32, id)
		__field(u32, flags)
		__field(u64, gfn)
		__field(unsigned long, addr)
		__field(unsigned long, nr)
	),
	TP_fast_assign(
		__entry->domid = l->domid;
		__entry->id = l->id;
		__entry->flags = l->flags;
		__entry->gfn = l->gfn;
		__entry->addr = l->addr;
		__entry->nr = l->nr;
	),
	TP_printk("dom %u lease %u gfn %#llx va %#lx pages %lu flags %#x",
		  __entry->domid, __entry->id, __entry->gfn, __entry->addr,
		  __entry->nr, __entry->flags)
);

DEFINE_EVENT(lend_life, xen_lend_lease,
	TP_PROTO(const struct lend_lease *l),
	TP_ARGS(l)
);

DEFINE_EVENT(lend_life, xen_lend_unlease,
	TP_PROTO(const struct lend_lease *l),
	TP_ARGS(l)
);

TRACE_EVENT(xen_lend_resolve,
	TP_PROTO(const struct lend_lease *l, unsigned long page, bool write,
		 u32 installed, int err, u64 us),
	TP_ARGS(l, page, write, installed, err, us),
	TP_STRUCT__entry(
		__field(u16, domid)
		__field(u32, id)
		__field(unsigned long, page)
		__field(bool, write)
		__field(u32, installed)
		__field(int, err)
		__field(u64, us)
	),
	TP_fast_assign(
		__entry->domid = l->domid;
		__entry->id = l->id;
		__entry->page = page;
		__entry->write = write;
		__entry->installed = installed;
		__entry->err = err;
		__entry->us = us;
	),
	TP_printk("dom %u lease %u page %lu %s: %u installed, err %d, %llu us",
		  __entry->domid, __entry->id, __entry->page,
		  __entry->write ? "write" : "read", __entry->installed,
		  __entry->err, __entry->us)
);

TRACE_EVENT(xen_lend_install,
	TP_PROTO(const struct lend_lease *l, unsigned long first,
		 unsigned int nr, unsigned int done, int rc),
	TP_ARGS(l, first, nr, done, rc),
	TP_STRUCT__entry(
		__field(u16, domid)
		__field(u32, id)
		__field(unsigned long, first)
		__field(unsigned int, nr)
		__field(unsigned int, done)
		__field(int, rc)
	),
	TP_fast_assign(
		__entry->domid = l->domid;
		__entry->id = l->id;
		__entry->first = first;
		__entry->nr = nr;
		__entry->done = done;
		__entry->rc = rc;
	),
	TP_printk("dom %u lease %u pages %lu+%u: %u done, rc %d",
		  __entry->domid, __entry->id, __entry->first, __entry->nr,
		  __entry->done, __entry->rc)
);

/* @along: with the install */
TRACE_EVENT(xen_lend_answer,
	TP_PROTO(const struct lend_lease *l, u32 vcpu, u64 token, bool along,
		 bool failed),
	TP_ARGS(l, vcpu, token, along, failed),
	TP_STRUCT__entry(
		__field(u16, domid)
		__field(u32, id)
		__field(u32, vcpu)
		__field(u64, token)
		__field(bool, along)
		__field(bool, failed)
	),
	TP_fast_assign(
		__entry->domid = l->domid;
		__entry->id = l->id;
		__entry->vcpu = vcpu;
		__entry->token = token;
		__entry->along = along;
		__entry->failed = failed;
	),
	TP_printk("dom %u lease %u vcpu %u token %llu: %s%s", __entry->domid,
		  __entry->id, __entry->vcpu, __entry->token,
		  __entry->failed ? "failed" : "retry",
		  __entry->along ? " with the install" : "")
);

/* @event: enum mmu_notifier_event */
TRACE_EVENT(xen_lend_revoke,
	TP_PROTO(const struct lend_lease *l, int event, bool blockable,
		 unsigned long first, unsigned long nr, bool installed),
	TP_ARGS(l, event, blockable, first, nr, installed),
	TP_STRUCT__entry(
		__field(u16, domid)
		__field(u32, id)
		__field(int, event)
		__field(bool, blockable)
		__field(unsigned long, first)
		__field(unsigned long, nr)
		__field(bool, installed)
	),
	TP_fast_assign(
		__entry->domid = l->domid;
		__entry->id = l->id;
		__entry->event = event;
		__entry->blockable = blockable;
		__entry->first = first;
		__entry->nr = nr;
		__entry->installed = installed;
	),
	TP_printk("dom %u lease %u pages %lu+%lu %s%s%s",
		  __entry->domid, __entry->id, __entry->first, __entry->nr,
		  __print_symbolic(__entry->event,
				   { MMU_NOTIFY_UNMAP, "unmap" },
				   { MMU_NOTIFY_CLEAR, "clear" },
				   { MMU_NOTIFY_PROTECTION_VMA, "protect-vma" },
				   { MMU_NOTIFY_PROTECTION_PAGE, "protect-page" },
				   { MMU_NOTIFY_SOFT_DIRTY, "soft-dirty" },
				   { MMU_NOTIFY_RELEASE, "release" },
				   { MMU_NOTIFY_MIGRATE, "migrate" },
				   { MMU_NOTIFY_EXCLUSIVE, "exclusive" }),
		  __entry->blockable ? "" : " nonblocking",
		  __entry->installed ? "" : " (nothing installed)")
);

#endif /* _XEN_LEND_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
