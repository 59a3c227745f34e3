/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults that the lender's kernel answers, for spin: what becomes of a wait that
 * has a token.  lend.pml is the protocol around it, wait.pml the same for the
 * slots of an ioreq server; docs/model.md tells about all of them.  Names are
 * those of Xen's mm/lend/port.c and of Linux' drivers/xen/lend/port.c:
 *
 *   borrower's vCPU
 *     P1  touch an absent page: lend_check_fault(), under the p2m lock
 *     P2  lend_port_send(), under the wait's lock: repeat if a lease or port has
 *         ended since; go on waiting if it is the same; else a new token, the
 *         slot (0, the rest, the token), the event
 *     P3  lend_port_wait(): an interrupt to take: run the guest
 *     P4  block: say so, /then/ look again at the wait and interrupts
 *     P5  the answer; a machine check if it is failed
 *   lender's threads (the vCPU's own one, and a spare one)
 *     T1  look at the slot, claim the token
 *     T2  can the page be had?
 *     T3  install along with the token, if the lease is the same and the page has
 *         not gone: T2
 *     T4  or answer with the token
 *   with ORPHAN, the process of that thread ends (K)
 *     K1  the thread gives back what it has claimed, and is no more
 *     K2  lend_orphan_work(), after that and perhaps before: events are for a
 *         work from now on, which looks once
 *   others
 *     interrupts; the page: lost, found, revoked; the lease: ends, a new one in
 *     its place; the port: ends
 *
 * Properties
 *   failed  a machine check is for an answer to what the vCPU waits for: this
 *           page, the lease as of when it began to wait
 *   stuck   at any time everything but the threads comes to rest, and either of
 *           them may go no further.  Then the vCPU is in the guest; else it waits
 *           for the page that a thread which went no further has in hand, and has
 *           no interrupt that it could take
 *   once    one fault is claimed by one thread
 *
 * Bounds: one vCPU, two pages, one of which is never lost again; lease and port end
 * once; tokens up to MAX_TOKEN, after which the guest touches nothing absent; one
 * thread, with SPARE a second one, with ORPHAN the work besides.
 */

#ifndef MAX_TOKEN
#define MAX_TOKEN	2
#endif

#define W_NONE		0
#define W_SENT		1
#define W_RETRY		2
#define W_FAILED	3

/* struct lend_wait, and what the vCPU does */
byte wstate, wtoken, wpage;
bit  wlease, wlocked;
bit  awaited, blocked, lend_blocked, guest = 1;
bit  irq;
byte ends;

/* The slot, the event, and what the driver has */
byte stoken, spage;
bit  slease;
byte seen;
bit  woken[2];
bit  killed, dead, orphan;

#ifdef SPARE
#define WAKE		atomic { woken[0] = 1; woken[1] = 1 }
#elif defined(ORPHAN)
/* lend_event() */
#define WAKE		atomic { woken[orphan] = 1 }
#else
#define WAKE		woken[0] = 1
#endif

/* Memory */
bit  ent[2], has[2];
bit  lease, port = 1;

/* Ghosts */
byte claimed;
bit  apage, alease;			/* what the answer is about */
bit  quiet, frozen[2];

#define LOCK		atomic { !wlocked -> wlocked = 1 }
#define UNLOCK		wlocked = 0

inline end_wait(result)
{
	wstate = result;
#ifndef MUTANT_NOT_NOTIFIED
	if :: lend_blocked -> blocked = 0 :: else fi
#endif
}

proctype vcpu()
{
	byte p, mine;
	bit l;

end_guest:
	atomic { guest = 1; mine = 0; p = 0; l = 0 };
end_run:
	atomic {
		if
		:: irq -> irq = 0; goto end_run
		:: !quiet && (wtoken < MAX_TOKEN || ent[0]) -> p = 0
		:: !quiet && (wtoken < MAX_TOKEN || ent[1]) -> p = 1
		fi;
		guest = 0;
		if
		:: ent[p] -> goto end_guest
		:: else -> l = lease; mine = ends		/* P1 */
		fi
	};
	LOCK;							/* P2 */
	atomic {
		if
#ifndef MUTANT_ENDS_UNCHECKED
		:: mine != ends -> UNLOCK; goto end_guest
#endif
		:: else -> skip
		fi;
		if
		:: !port -> UNLOCK; goto end_guest		/* told so */
		:: port && wstate == W_SENT && wpage == p && wlease == l -> goto sent
		:: else
		fi;
#ifndef MUTANT_TOKEN_STAYS
		wtoken++;
#else
		if :: wtoken == 0 -> wtoken++ :: else fi;
#endif
		wstate = W_SENT; wpage = p; wlease = l
	};
#ifdef MUTANT_TOKEN_FIRST
	stoken = wtoken; spage = p; slease = l;
#else
#ifdef MUTANT_EVENT_FIRST
	WAKE;
#endif
	stoken = 0; spage = p; slease = l; stoken = wtoken;
#endif
#ifndef MUTANT_EVENT_FIRST
	WAKE;
#endif
sent:
	atomic { awaited = 1; UNLOCK };
again:
	do
	:: atomic { wstate != W_SENT -> break }
	:: atomic { wstate == W_SENT && irq -> awaited = 0; goto end_guest } /* P3 */
	:: atomic { wstate == W_SENT && !irq ->
#ifdef MUTANT_BLOCK_LAST
		skip };
		atomic { lend_blocked = 1; blocked = 1; goto end_off }
#else
		lend_blocked = 1; blocked = 1 };		/* P4 */
		if
		:: atomic { wstate != W_SENT || irq ->
			blocked = 0; lend_blocked = 0 }
		:: atomic { else -> goto end_off }
		fi
#endif
	od;
	atomic {						/* P5 */
		awaited = 0;
		assert(wstate != W_FAILED || (apage == wpage && alease == wlease));
		goto end_guest
	};
end_off:
	atomic { !blocked -> lend_blocked = 0; goto again }
}

#define GOES_ON		(!frozen[n])
#ifdef ORPHAN
#define KILLED		(n == 0 && killed)
#else
#define KILLED		false
#endif

proctype thread(byte n)
{
	byte token, old, q;
	bit ql, d;

end_t0:	if
	:: atomic { GOES_ON && !KILLED && woken[n] -> woken[n] = 0 } /* T1 */
#ifdef ORPHAN
	:: atomic { GOES_ON && KILLED -> goto end_dead }	/* K1 */
#endif
	fi;
end_look:	atomic { GOES_ON -> old = seen; token = stoken };
	if
	:: atomic { token == 0 || token == old -> goto idle }
	:: else
	fi;
	q = spage; ql = slease;
	atomic {
		if
		:: stoken != token -> goto idle
		:: else
		fi;
#ifndef MUTANT_CLAIM_UNCHECKED
		if :: seen != old -> goto end_look :: else fi;
#endif
		assert(token > claimed);
		claimed = token; seen = token
	};
end_t2:	if
	:: atomic { GOES_ON && !KILLED -> d = !has[q] }		/* T2 */
#ifdef ORPHAN
	:: atomic { GOES_ON && KILLED ->			/* K1 */
#ifndef MUTANT_CLAIM_KEPT
		if
		:: seen == token -> seen = token - 1; claimed = seen
		:: else
		fi;
#endif
		goto end_dead }
#endif
	fi;
end_t3:	atomic { GOES_ON && !wlocked ->
		if
		:: ql == lease && !d && !has[q] -> goto end_t2
		:: ql == lease && !d && has[q] ->		/* T3 */
			ent[q] = 1; d = 0
		:: ql != lease -> d = 0
		:: else
		fi;
		if						/* T4 */
#ifndef MUTANT_TOKEN_IGNORED
		:: wstate == W_SENT && wtoken == token && port ->
#else
		:: wstate == W_SENT && port ->
#endif
			apage = q; alease = ql; end_wait(W_RETRY + d)
		:: else
		fi;
		goto end_look };
idle:	atomic { token = 0; old = 0; q = 0; ql = 0; d = 0; goto end_t0 };
#ifdef ORPHAN
end_dead:
	dead = 1
#endif
}

#ifdef ORPHAN
inline orphan_work()
{
#ifdef MUTANT_ORPHAN_LATE
	woken[1] = 1;
	orphan = 1
#else
	orphan = 1;						/* K2 */
#ifndef MUTANT_ORPHAN_SILENT
	woken[1] = 1
#endif
#endif
}

/* Others may be quicker to end than the thread. */
proctype end_of_process()
{
end_k:	atomic { !quiet -> killed = 1 };
#ifndef MUTANT_ORPHAN_ONCE
	if
	:: orphan_work()
	:: true
	fi;
	dead;
#endif
	orphan_work()
}
#endif

proctype interrupts()
{
end_i:	do
	:: atomic { !quiet && !irq -> irq = 1; blocked = 0 }
	od
}

/* Linux */
proctype mm()
{
end_m:	do
	:: atomic { !quiet && ent[0] -> ent[0] = 0 }
	:: atomic { !quiet && ent[1] -> ent[1] = 0 }
	:: atomic { !quiet && has[0] -> has[0] = 0; ent[0] = 0 }
	:: atomic { !quiet && !has[0] -> has[0] = 1 }
	:: atomic { !quiet && !has[1] -> has[1] = 1 }
	od
}

/* lend_port_end_lease(), under the p2m lock */
proctype end_of_lease()
{
end_l:	atomic { !quiet -> ends++; lease = 1; ent[0] = 0; ent[1] = 0 };
#ifndef MUTANT_LEASE_SILENT
	LOCK;
	atomic {
		if
		:: wstate == W_SENT && wlease == 0 -> end_wait(W_RETRY)
		:: else
		fi;
		UNLOCK }
#endif
}

/* remove_port() */
proctype end_of_port()
{
end_p:	atomic { !quiet -> port = 0; ends++ };
#ifndef MUTANT_PORT_SILENT
	LOCK;
	atomic {
		if
		:: wstate == W_SENT -> end_wait(W_RETRY)
		:: else
		fi;
		UNLOCK }
#endif
}

init {
	atomic {
		run vcpu();
		run thread(0);
#if defined(SPARE) || defined(ORPHAN)
		run thread(1);
#endif
#ifdef ORPHAN
		run end_of_process();
#endif
		run interrupts();
		run mm();
#ifndef WITHOUT_L
		run end_of_lease();
#endif
#ifndef WITHOUT_P
		run end_of_port();
#endif
	};
	atomic {
		quiet = 1;
#ifndef ORPHAN
		if :: frozen[0] = 1 :: true fi;
#endif
#ifdef SPARE
		if :: frozen[1] = 1 :: true fi
#endif
	};
	timeout;
	d_step {
		assert(guest || frozen[0] || frozen[1]);
		assert(guest || !irq);
		/* What has ended is nothing to wait for. */
		assert(guest || (port && wlease == lease))
	}
}
