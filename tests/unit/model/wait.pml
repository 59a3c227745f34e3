/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU that waits for a page takes interrupts, for spin: what becomes of the
 * request in its slot.  lend.pml is the protocol around it, docs/model.md tells
 * about both.  Names are those of Xen's common/ioreq.c:
 *
 *   borrower's vCPU
 *     W1  touch an absent page.  The slot is free, or was answered while away:
 *         that answer is dropped.  Then send: slot NONE -> READY
 *     W2  the same with a request that is still under way: wait for it, but
 *         void its answer if it is about something else
 *     W3  on the way to the guest interrupts get injected (intr_assist)
 *     W4  hvm_do_resume: an interrupt to take, injected or not: leave the
 *         request where it is, run the guest
 *     W5  block: say so, /then/ look again at slot and interrupts
 *     W6  the answer: slot RESP_READY -> NONE; a machine check if it is failed
 *         and not void
 *     W7  who emulates an access, or a broadcast, finds the slot taken: wait for
 *         the answer, void, without interrupts, then repeat
 *   lender (a server and its slot)
 *     L1  READY -> INPROCESS
 *     L2  can the page be had?
 *     L3  install, unless the lease is another one or the page has gone: L2
 *     L4  answer: INPROCESS -> RESP_READY
 *     L5  ioreq_notify()
 *   others
 *     interrupts and timers: set, then kick; the page: lost, found, revoked; the
 *     lease: ends, a new one in its place; the server: ends, with the domain
 *     paused; another domain: asks for a broadcast
 *
 * Properties
 *   access  whoever reads an entry finds the page there
 *   failed  a machine check is for an answer that was given while the vCPU
 *           waited for it: this page, the lease as of when it began to wait
 *   slot    a request is only sent in a free slot; only what is pending is left
 *   lost    who asks for a broadcast gets it
 *   stuck   at any time everything but the lenders comes to rest, and each of
 *           those may go no further.  Then the vCPU is in the guest; else it
 *           waits for a lender that went no further, and has no interrupt that
 *           it could take
 *
 * Bounds: one vCPU; two pages, one of which can always be had, of one server (TWO:
 * of two servers, a lost page stays lost, and without what they emulate, events,
 * the end of the lease, the guest's broadcasts); the lease ends once, the server,
 * too; one broadcast by another domain.
 */

#ifdef TWO
#define NS		2
#define SRV(p)		(p)
#define ALL(x)		(x[0] || x[1])
#else
#define NS		1
#define SRV(p)		0
#define ALL(x)		(x[0])
#endif

/* Broadcasts: who asks for them? */
#ifdef TWO
#define OWN		false
#else
#define OWN		true
#endif

#define S_NONE		0
#define S_READY		1
#define S_INPROCESS	2
#define S_RESP_READY	3

#define RETRY		0
#define FAILED		1

#define C_NONE		0	/* completion */
#define C_LEND		1
#define C_IO		2

#define ANOTHER		2	/* a request, but for no page */

/* The slot: shared */
byte slot[NS], data[NS];
byte rpage[NS];
bit  rlease[NS];

/* struct ioreq_vcpu */
bit  pending[NS], lend[NS], left[NS], nulled[NS];

/* struct vcpu */
byte completion;
bit  answer;
byte want = ANOTHER;		/* what is waited for by C_LEND */
bit  blocked, in_xen;		/* VPF_blocked, VPF_blocked_in_xen */
bit  lend_blocked;
bit  inval;			/* mapcache_invalidate */
bit  irq, tick;			/* interrupt, or expired timer, to be delivered */
bit  inj;			/* ... or in the VMCS already */
bit  lend_event;		/* faulted when delivering one */
bit  off = 1;			/* can be paused */

/* Memory */
bit  ent[2], has[2] = 1;
bit  lease, sgone[NS];

/* Ghosts */
bit  heard[NS];			/* answered to a vCPU that waited for it */
bit  owed[NS];			/* INVALIDATE, to this server */
bit  guest = 1;			/* the vCPU runs */
bit  wlease;			/* the lease, when it began to wait */
bit  quiet, frozen[NS];

inline intr_check(yes)		/* lend_interrupted() */
{
#ifndef MUTANT_NO_TIMERS
	d_step { irq = irq | tick; tick = 0 };
#endif
#ifndef MUTANT_INJECTED
	yes = !lend_event && (inj || irq)
#else
	yes = !lend_event && !inj && irq
#endif
}

/* ioreq_lend_over(), at most: is the slot free now? */
#ifdef MUTANT_NOT_VOID
#define VOID(s, p)
#else
#ifdef MUTANT_SAME_PAGE_OTHER_LEASE
#define VOID(s, p)	nulled[s] = nulled[s] || rpage[s] != p
#else
#define VOID(s, p)	nulled[s] = nulled[s] || rpage[s] != p || rlease[s] != lease
#endif
#endif

#define SEND(s, p)							\
	assert(slot[s] == S_NONE);					\
	rpage[s] = p; rlease[s] = lease; nulled[s] = 0;			\
	lend[s] = (p != ANOTHER); pending[s] = 1; heard[s] = 0;		\
	slot[s] = S_READY

/* The slot is free again.  What is of no meaning is 0: fewer states. */
#define FREE(s)								\
	slot[s] = S_NONE; pending[s] = 0; lend[s] = 0; nulled[s] = 0;	\
	rpage[s] = 0; rlease[s] = 0; data[s] = RETRY; heard[s] = 0

#define WAITS_NOT							\
	answer = RETRY; want = ANOTHER; wlease = 0; lend_event = 0;	\
	completion = C_NONE

inline lend_over(s, p, free)
{
	free = 1;
	if
	:: left[s] ->
		assert(pending[s] && lend[s]);
		left[s] = 0;
		if
#ifndef MUTANT_OLD_ANSWER
		:: slot[s] == S_RESP_READY -> FREE(s)
#else
		:: slot[s] == S_RESP_READY && rpage[s] != p -> FREE(s)
		:: slot[s] == S_RESP_READY && rpage[s] == p -> free = 0
#endif
		:: slot[s] != S_RESP_READY -> VOID(s, p); free = 0
		fi
	:: else
	fi
}

inline broadcast()
{
	inval = 0;
	s = 0;
	do
	:: s < NS && sgone[s] -> s++
	:: s < NS && !sgone[s] ->
		lend_over(s, ANOTHER, free);
		if
		:: free -> SEND(s, ANOTHER); owed[s] = 0
#ifndef MUTANT_BROADCAST_LOST
		:: !free -> inval = 1
#else
		:: !free
#endif
		fi;
		s++
	:: s == NS -> break
	od;
	s = 0
}

proctype vcpu()
{
	byte p, s, state;
	bit free, yes, ev;

end_guest:
	atomic {
		off = 0; guest = 1; yes = 0; free = 0; state = 0; p = 0; ev = 0;
		assert(!left[0] || pending[0]);
		if :: inj -> inj = 0 :: else fi;	/* delivered on entry */
		off = 1
	};
end_run:
	atomic {
		if
		:: irq -> irq = 0; goto end_run
		:: tick -> irq = 1; tick = 0; goto end_run
		:: !quiet -> p = 0
		:: !quiet -> p = 1
#ifndef TWO
		:: !quiet -> p = 0; ev = 1	/* delivering an event */
		:: !quiet && !sgone[0] -> goto emulated
#endif
		:: !quiet && !ALL(owed) && !ALL(sgone) && OWN -> goto hypercall
		fi;
		guest = 0; off = 0;
		if
		:: ent[p] -> assert(has[p]); goto end_guest
		:: !ent[p] && sgone[SRV(p)] -> goto end_guest	/* told so */
		:: else
		fi;
		s = SRV(p);
		lend_over(s, p, free);				/* W1, W2 */
		if :: free -> SEND(s, p) :: else fi;
		s = 0; free = 0;
		answer = RETRY; completion = C_LEND; want = p; wlease = lease;
		inj = ev; lend_event = ev; ev = 0; p = 0;
		goto assist
	};
emulated:
	atomic {
		guest = 0; off = 0;
		lend_over(0, ANOTHER, free);			/* W7 */
		if
		:: free -> SEND(0, ANOTHER); completion = C_IO
		:: !free
		fi;
		free = 0;
		goto assist
	};
hypercall:
	atomic {
		guest = 0; off = 0;
		owed[0] = 1;
#ifdef TWO
		owed[1] = 1;
#endif
		broadcast(); free = 0
	};

assist:
	atomic {						/* W3 */
		if
		:: irq && !inj -> irq = 0; inj = 1
		:: tick && !irq && !inj -> tick = 0; inj = 1
		:: else
		fi;
		off = 1
	};
end_off:
	atomic { (!blocked && !in_xen) ->			/* hvm_do_resume() */
		off = 0; lend_blocked = 0;
		if
		:: inval ->
			s = 0;
			do
			:: s < NS ->
#ifndef MUTANT_AWAIT_NOT_VOID
				nulled[s] = nulled[s] || left[s];
#endif
				left[s] = 0; s++
			:: s == NS -> break
			od;
			s = 0
		:: else
		fi };
next:
	atomic {
		s = 0;
		do
		:: s < NS && pending[s] && !left[s] -> break
		:: s < NS && !(pending[s] && !left[s]) -> s++
		:: s == NS -> goto completed
		od;
		state = slot[s]
	};
again:
	if
	:: atomic { state == S_NONE || state == S_RESP_READY ->	/* W6 */
		if
		:: lend[s] && !nulled[s] && state == S_RESP_READY ->
			answer = data[s];
			yes = heard[s] && rpage[s] == want
		:: else
		fi;
		FREE(s); state = 0;
		goto next }
	:: atomic { else ->
		if
		:: lend[s] && !inval && completion == C_LEND -> skip
		:: else -> goto deaf
		fi };
		intr_check(free);
		if
		:: atomic { free ->				/* W4 */
			free = 0; left[s] = 1; WAITS_NOT; state = 0;
			goto next }
		:: else
		fi;
#ifndef MUTANT_BLOCK_LAST
		lend_blocked = 1;				/* W5 */
		blocked = 1;
#endif
		intr_check(free);
		if
		:: atomic { slot[s] != state || free ->
			free = 0; blocked = 0; lend_blocked = 0;
			state = slot[s];
			goto again }
		:: atomic { else ->
#ifdef MUTANT_BLOCK_LAST
			skip };
			atomic { lend_blocked = 1; blocked = 1;
#endif
			off = 1; state = 0; s = 0; goto end_off }
		fi
	fi;
deaf:
	in_xen = 1;						/* W7 */
	atomic {
		if
		:: slot[s] != state -> in_xen = 0; state = slot[s]; goto again
		:: else -> off = 1; state = 0; s = 0; goto end_off
		fi
	};
completed:
	atomic {
		assert(completion != C_LEND || answer != FAILED || yes);
		s = 0; yes = 0; WAITS_NOT;
		if
		:: inval -> broadcast(); free = 0; goto assist
		:: else -> goto end_guest
		fi
	}
}

#define GOES_ON		(!frozen[s] && !sgone[s])

proctype lender(byte s)
{
	byte q;
	bit ql, d;

end_l1:	atomic { slot[s] == S_READY && GOES_ON ->		/* L1 */
		slot[s] = S_INPROCESS; q = rpage[s]; ql = rlease[s];
		if :: q == ANOTHER -> goto end_l4 :: else fi };
end_l2:	atomic { GOES_ON -> d = (has[q] -> RETRY : FAILED) };	/* L2 */
end_l3:	atomic { GOES_ON ->					/* L3 */
		if
		:: d == RETRY && ql == lease && has[q] -> ent[q] = 1
		:: d == RETRY && ql == lease && !has[q] -> goto end_l2
		:: else
		fi };
end_l4:	atomic { GOES_ON ->					/* L4 */
		heard[s] = pending[s] && !left[s] && want == q && ql == wlease;
		data[s] = d; slot[s] = S_RESP_READY;
		q = 0; ql = 0; d = 0 };
end_l5:	atomic { GOES_ON -> in_xen = 0 };			/* L5 */
end_l6:	atomic { GOES_ON ->
#ifndef MUTANT_NOT_NOTIFIED
		if :: lend_blocked -> blocked = 0 :: else fi;
#endif
		goto end_l1 }
}

/* Sources of interrupts */
proctype interrupts()
{
end_i:	do
	:: !quiet -> irq = 1; blocked = 0
#ifdef TIMERS
	:: !quiet -> tick = 1; blocked = 0
#endif
	od
}

/* Linux, and who holds the lease */
proctype mm()
{
end_m:	do
#ifdef TWO
	:: atomic { !quiet && ent[0] -> ent[0] = 0 }
	:: atomic { !quiet && has[1] -> has[1] = 0; ent[1] = 0 }
#else
	:: atomic { !quiet && ent[0] -> ent[0] = 0 }
	:: atomic { !quiet && ent[1] -> ent[1] = 0 }
	:: atomic { !quiet && has[0] -> has[0] = 0; ent[0] = 0 }
	:: atomic { !quiet && !has[0] -> has[0] = 1 }
	:: atomic { !quiet && !lease -> lease = 1; ent[0] = 0; ent[1] = 0 }
#endif
	od
}

/* ioreq_abort_lend() of the first server, the domain being paused */
proctype end_of_server()
{
end_e:	atomic { !quiet && off ->
		sgone[0] = 1;
		if
		:: pending[0] && lend[0] ->
			FREE(0);
#ifndef MUTANT_LEFT_STAYS
			left[0] = 0;
#endif
#ifdef MUTANT_ABORT_SILENT
			skip
#else
			in_xen = 0;
			if :: lend_blocked -> blocked = 0 :: else fi
#endif
		:: else
		fi }
}

/* Another domain changes the guest's memory. */
proctype broadcaster()
{
end_b:	atomic { !quiet && !ALL(owed) && !ALL(sgone) -> inval = 1; owed[0] = 1;
#ifdef TWO
		owed[1] = 1;
#endif
	}
}

init {
	atomic {
		run vcpu();
		run lender(0);
#ifdef TWO
		run lender(1);
#endif
		run interrupts();
		run mm();
#ifndef WITHOUT_E
		run end_of_server();
#endif
#ifndef WITHOUT_B
		run broadcaster();
#endif
	};
	atomic {
		quiet = 1;
		if :: frozen[0] = 1 :: true fi;
#ifdef TWO
		if :: frozen[1] = 1 :: true fi
#endif
	};
	timeout;
	d_step {
#ifdef TWO
		assert(guest || frozen[0] || frozen[1]);
		assert(!owed[0] || inval || frozen[0] || frozen[1]);
		assert(!owed[1] || inval || frozen[0] || frozen[1]);
#else
		/* What a server was to emulate has no answer without it. */
		assert(guest || frozen[0] ||
		       (sgone[0] && pending[0] && !lend[0]));
		assert(!owed[0] || inval || frozen[0] || sgone[0]);
#endif
		assert(guest || completion != C_LEND || inval || lend_event ||
		       (!irq && !tick && !inj))
	}
}
