/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lending protocol, for spin.  docs/model.md tells what is left out, how to
 * run this by hand and how to read what comes out.  Comments in the Xen and
 * Linux code name these steps:
 *
 *   borrower's vCPU
 *     V1  walk the p2m entry into the TLB; touch memory through the TLB
 *     V2  no entry, or no right to write: exit, look again under the p2m lock
 *     V3  send the LEND fault: slot NONE -> READY; this vCPU alone stops
 *     V4  slot RESP_READY -> NONE: run the instruction again
 *   resolve (lender; a thread per fault)
 *     F0  ioreq loop takes the request: READY -> INPROCESS
 *     F1  join: from now on N2 tells of changes.  If the page may be changing
 *         already, wait for the end of that first
 *     F2  fault the backing page in; no lock held, may sleep for ever
 *     F3  take the lease lock; told of the page: unlock, back to F1; of its
 *         neighbour: leave that out.  Read Xen's generation
 *     F4  install hypercall, I1 to I4; lease unlock; EAGAIN: back to F1
 *     F5  answer: INPROCESS -> RESP_READY; retry, or failed if the page cannot
 *         be had (F1, F2: the lender's mm is gone, the backing has a hole)
 *   install (Xen)
 *     I1  take references to the frames, no lock held
 *     I2  p2m lock; lease alive? generation current?  Else put I1's back
 *     I3  write entries; who finds his entry there already puts I1's back
 *     I4  R3 and R4 for frames replaced; p2m unlock.  RECLAIM: for want of a
 *         page table, I3 first does R2 for another page's, without R1
 *   zeros (ZERO: policy "zero", for reads), in place of F3
 *     Z1  note the page, no lock held
 *     Z2  take the lease lock; told of the page, note gone, or a real page
 *         installed since F1: unlock, back to F1; else F4 with the zero page
 *     Z3  delayed work, a second later: lease lock, R1 to R4 for what is noted
 *   notifier (Linux in the lender)
 *     N0  MM is going to move, free or write back pages.  All that is under way
 *         at the same time has one number, and what comes after it another
 *     N1  take the lease lock
 *     N2  another number than the last: what was noted as changing is over.
 *         Note the range as changing, and tell those who have joined
 *     N3  revoke hypercall, R1 to R4 for each chunk; not if nothing of the
 *         range was installed
 *     N4  remember the generation, lease unlock, return
 *     N5  MM changes the PTE, reuses the frame
 *     N6  MM ends the invalidation, F1 no longer waits for it
 *   revoke (Xen), a chunk at a time, all under the p2m lock
 *     R1  advance the generation
 *     R2  make entries absent; a superpage as a whole
 *     R3  flush the TLB of every vCPU
 *     R4  drop the references of what R2 took out
 *   downgrade (RIGHTS: write-back), in place of the revoke in N3
 *     N3  not if nothing of the range was installed writable
 *     R2  make entries read-only
 *     R4  drop the references for writing only
 *   end of the lender, or of the lease
 *     D1  SIGKILL: its threads go no further than where they hold no lock
 *     D2  notifier's release: N1 to N4 for everything
 *     D3  MM frees every page
 *     D4  last close, or UNLEASE (then without D1 to D3): lease lock, dead, N3
 *         and N4 for everything, unlock.  Without the lock, destroy hypercall: no
 *         install from now on (nor is anything installed, but without locks)
 *     D5  remove the notifier: after D4, never before
 *   end of the borrower
 *     X1  domain dying, its vCPUs stopped for good
 *     X2  no install from now on, then R2 to R4 for everything
 *     X3  REUSE: a new guest, with a number of its own, gets the domain's id,
 *         and its first lease the id of the old one
 *
 * Properties
 *   law 1  TOUCH: whatever a vCPU can reach, by an entry of now or a TLB's of
 *          before, is the page's present frame, MM has not been told that it
 *          may reuse it, Xen holds a reference to it; and it is writable only
 *          while Linux' PTE is (law 6).  REVOKED: when the notifier returns
 *          there is no entry, no TLB entry and no reference.  DOWNGRADED: none
 *          for writing.
 *   law 2  No end state with notifier, D or X under way.  vCPUs may halt, and
 *          resolvers stay for ever wherever they hold no lock, in any state
 *          (see init): if something waits for them, it waits for good, and
 *          that is an end state.  None of the three has a loop but the chunks.
 *   law 3  In every end state all faults are answered, except by a resolver
 *          that stays for ever, or to a dead borrower: one slow fault delays no
 *          other, and a lender without mm says failed.  ANSWER: one who is told to retry has
 *          his page, unless revoked since: answers are progress.  And, with
 *          LIVENESS, as a formula: each fault is finally answered.
 *   zeros  Read-only, never in place of a real page, and ended: none is left in
 *          an end state.
 *   number An old descriptor never gets at the lease of a new guest.
 *   refs   In every end state each frame has as many references as entries,
 *          and none of either once the lease is over.
 *
 * Bounds: two vCPUs with a resolver each; two pages, which become a superpage
 * if their frames are 1 and 2; NF frames; NREV notifier calls besides D2, with
 * TWO_MM so many twice, at the same time.
 * RIGHTS: reading and writing told apart, write-back, but one page; and so with
 * ZERO.  REUSE: one more guest, one more page frame for it.  Nothing else is: vCPUs touch, fault, and get retried without limit.
 */

#ifdef ZERO
#define RIGHTS
#endif
#ifndef NREV
#define NREV	1
#endif
#ifndef NF
#define NF	2
#endif
#ifdef RIGHTS
#define ALL	1
#else
#define ALL	3
#endif

/*
 * Two walls keep a late install out: the lender's lock and what N2 tells, and
 * Xen's generation.  Each has to do without the other.
 */
#ifdef MUTANT_NO_CHECK			/* F3 checks nothing, I2 neither */
#define NO_CHECK
#define NO_GENERATION
#endif
#ifdef MUTANT_NO_GENERATION		/* no lock, and I2 checks nothing */
#define VARIANT_LOCKLESS
#define NO_GENERATION
#endif
#ifdef MUTANT_GENERATION_LAST		/* R1 after the last chunk */
#define VARIANT_LOCKLESS
#endif
#ifdef MUTANT_GENERATION_LATE		/* F1 in the wrong order */
#define VARIANT_LOCKLESS
#endif
#ifdef VARIANT_LOCKLESS			/* Xen on its own */
#define NO_LOCK
#define NO_CHECK
#endif
#ifdef VARIANT_NO_GENERATION		/* the lender on its own */
#define NO_GENERATION
#endif

#define S_NONE		0
#define S_READY		1
#define S_INPROCESS	2
#define S_RESP_READY	3

/* An entry, in p2m or TLB: 0 absent, else frame * 2 + may-write. */
#define FRAME(e)	((e) >> 1)
#define PERMITS(e, w)	((e) != 0 && (((e) & 1) || !(w)))

/* Xen */
byte ent[2];			/* p2m entries */
bit  super;			/* both are one */
byte tlb[4];			/* [vCPU * 2 + page] */
byte xref[NF + 2];		/* references to frames */
#ifdef RIGHTS
byte wref[NF + 2];		/* those of them that are for writing */
#endif
byte gen;
bit  p2m_lock;
bit  gone;			/* lease being destroyed, or no more */
bit  dying;			/* borrower */
byte slot[2];			/* ioreq slots ... */
bit  rpage[2], rwrite[2];	/* ... and what is asked for in them */
#ifdef REUSE
byte number = 1;		/* of the domain that has the id */
byte newtlb;			/* of the new guest's vCPU */
#endif

/* Linux in the lender */
byte pte[2];			/* frame of backing page, 0: not present */
bit  pw[2];			/* writable and dirty */
byte going;			/* between N0 and N6; all with one number */
bit  newest;			/* N2 has seen that number, or it has been seen last */
byte changing;			/* pages of the calls with the number seen last, as bits */
byte waits[2];			/* for the number seen last; 2: another was seen since */
bit  joined[2];			/* resolver v is between F1 and its install */
byte told[2];			/* what N2 has told it, as bits */
byte lgen;			/* generation as the lender knows it */
bit  tally[2];			/* pages that may be installed */
#ifdef RIGHTS
bit  granted;			/* page 0 may be installed writable */
#endif
bit  lease_lock;
bit  notifier = 1;		/* registered */
bit  mm_busy;			/* MM is between N1 and N6 */
bit  mm_gone;			/* lender killed, no thread in its mm */
bit  dead;			/* D4 has begun */
#ifdef ZERO
bit  whole;			/* the backing has the page */
bit  noted;			/* zeros stand in for it, or are about to */
bit  due;			/* Z3 is queued */
bit  real[2];			/* a real page was installed since F1 */
#endif

/* Ghosts: in no code */
byte taken[2];			/* the notifier has returned: the frame is MM's */
#ifdef RIGHTS
byte wtaken;			/* likewise, of a downgrade */
#endif
bit  hit[2];			/* revoked what vCPU v asks for, since F1 */
bit  quiet;			/* vCPUs halt, nobody begins anything */
bit  frozen[2];			/* resolver v goes no further */

#define FREE(f)		(pte[0] != (f) && pte[1] != (f))
#define REFS_EQ(f)	(xref[f] == (FRAME(ent[0]) == (f)) + (FRAME(ent[1]) == (f)))

/* The frame after Linux' own: the zero page, or the new guest's. */
#define EXTRA	(NF + 1)

#ifndef ZERO
#define OF_PAGE(p, e)	(pte[p] == FRAME(e))
#else
#define OF_PAGE(p, e)	(pte[p] == FRAME(e) || (e) == EXTRA * 2)
#endif

#define TOUCH(v, p)							\
	assert(OF_PAGE(p, tlb[(v) * 2 + p]));				\
	assert(!taken[p]);						\
	assert(xref[FRAME(tlb[(v) * 2 + p])] > 0);			\
	assert(pw[p] || !(tlb[(v) * 2 + p] & 1));			\
	WTOUCH(tlb[(v) * 2 + p])

#ifdef RIGHTS
#define WTOUCH(t)							\
	assert(!wtaken || !((t) & 1));					\
	assert(!((t) & 1) || wref[FRAME(t)] > 0)
#define WREF(e, op, n)	wref[FRAME(e)] = wref[FRAME(e)] op (n)
#else
#define WTOUCH(t)	skip
#define WREF(e, op, n)	skip
#endif

/* A call names the number of the first guest: is that another one's by now? */
#if !defined(REUSE) || defined(MUTANT_NO_NUMBER)
#define STRANGER	false
#else
#define STRANGER	(number != 1)
#endif
#ifdef REUSE
#define IF_SAME_GUEST(x)	if :: number == 1 -> x :: else fi
#define UNTOUCHED	assert(number == 1 || (!gone && gen == 0))
#else
#define IF_SAME_GUEST(x)	x
#endif

#ifndef NO_LOCK
#define LEASE_LOCK(when, x)	atomic { when && !lease_lock -> lease_lock = 1; x }
#define LEASE_UNLOCK		lease_lock = 0
#define NO_REF(p)		(!pte[p] || !xref[pte[p]])
#define EMPTY(r)		(!((r) & 1 && tally[0]) && !((r) & 2 && tally[1]))
#else
#define LEASE_LOCK(when, x)	atomic { when -> x }
#define LEASE_UNLOCK		skip
#define NO_REF(p)		true	/* I1 may have one, for the moment */
#define EMPTY(r)		false	/* a tally takes a lock */
#endif

/* ---- borrower's vCPUs ---- */

#define RUNS	(!dying && !quiet)

/* Whatever V2 sees before it has the p2m lock makes no difference. */
#define V2(v, p, w)							\
	atomic { RUNS && !gone && !p2m_lock &&				\
		!PERMITS(tlb[(v) * 2 + p], w) && !PERMITS(ent[p], w) ->	\
		rpage[v] = p; rwrite[v] = w; break }

proctype vcpu(bit v)
{
end_run:
	do
	/* V1: touching changes nothing. */
	:: atomic { RUNS && tlb[v * 2] -> TOUCH(v, 0) }
	:: atomic { RUNS && tlb[v * 2 + 1] -> TOUCH(v, 1) }
	/*
	 * V1: the walker, also of its own accord.  Reading the entry and filling
	 * the TLB are one step: no flush is done in the middle of a walk.
	 */
	:: atomic { RUNS && ent[0] && tlb[v * 2] != ent[0] ->
		tlb[v * 2] = ent[0] }
	:: atomic { RUNS && ent[1] && tlb[v * 2 + 1] != ent[1] ->
		tlb[v * 2 + 1] = ent[1] }
	:: V2(v, 0, 1)
#ifdef RIGHTS
	:: V2(v, 0, 0)
#else
	:: V2(v, 1, 1)
#endif
	od;
end_send:
	atomic { RUNS -> slot[v] = S_READY };			/* V3 */
end_wait:
	atomic { slot[v] == S_RESP_READY && !dying ->		/* V4 */
		slot[v] = S_NONE; rpage[v] = 0; rwrite[v] = 0; goto end_run }
}

/* ---- lender: resolve ---- */

/*
 * A thread that sleeps for ever, is stopped or killed does not go on: there is
 * no more to it than that.  What needs GOES_ON may be its last step.
 */
#define GOES_ON		(!frozen[v])

#define ANSWER								\
	if								\
	:: fail -> fail = 0						\
	:: else -> IF_SAME_GUEST(assert(gone || dead || hit[v] ||	\
			PERMITS(ent[rpage[v]], rwrite[v])))		\
	fi;								\
	slot[v] = S_RESP_READY

#ifndef MUTANT_DEAD_MM_RETRY
#define FAILED	fail = 1; goto f5
#else
#define FAILED	goto f5
#endif

/* No page to be had: zeros, if that is the policy and nobody is to write. */
#ifndef ZERO
#define CANNOT	FAILED
#else
#ifdef MUTANT_ZERO_WRITABLE
#define ZEROS	(EXTRA * 2 + 1)
#define CANNOT	goto z1
#else
#define ZEROS	(EXTRA * 2)
#define CANNOT	if :: rwrite[v] -> FAILED :: else -> goto z1 fi
#endif
#ifdef MUTANT_ZERO_OVER_PAGE
#define OVERTAKEN	false
#else
#define OVERTAKEN	real[v]
#endif
#endif

#ifdef ZERO
#define IS_NEW		(FRAME(e) != EXTRA)
#define HAS_PAGE	whole
#else
#define IS_NEW		true
#define HAS_PAGE	true
#endif

/* References, which I1 has taken for nothing. */
#define PUT								\
	xref[FRAME(e)] = xref[FRAME(e)] - 1;				\
	WREF(e, -, e & 1);						\
	xref[FRAME(e2)] = xref[FRAME(e2)] - (e2 != 0)

#ifndef MUTANT_RETRY_FORGOTTEN
#define AGAIN	f1
#else
#define AGAIN	end_f0
#endif

#define FORGET	FORGET1; mygen = 0; joined[v] = 0; told[v] = 0
#define FORGET1	e = 0; e2 = 0

/* The pages that resolver v was asked for, and may bring along. */
#define TARGET		(1 << rpage[v])
#define NEIGHBOUR	(2 >> rpage[v])

#ifndef MUTANT_CHANGING_IGNORED
#define MAY_CHANGE	(changing & TARGET)
#define TOLD	changing
#else
#define MAY_CHANGE	false
#define TOLD	0
#endif
#ifndef MUTANT_JOIN_LATE
#define JOIN	joined[v] = 1; told[v] = TOLD
#else
#define JOIN	skip
#endif

#ifndef MUTANT_ELSEWHERE_AGAIN
#define RACED	(told[v] & TARGET)
#else
#define RACED	told[v]
#endif

#ifdef MUTANT_GENERATION_LATE
#define TO_F2	late
#else
#define TO_F2	end_f2
#endif

#ifndef RIGHTS
#define GRANT	skip
#elif defined(MUTANT_GRANT_UNNOTED)	/* only what was not there at all */
#define GRANT	granted = granted | (e & !tally[0])
#else
#define GRANT	granted = granted | (e & 1)
#endif

#define FLUSH(v)	tlb[(v) * 2] = 0; tlb[(v) * 2 + 1] = 0

proctype resolver(bit v)
{
	byte e, e2;		/* to install; e2 if it is to be a superpage */
	byte mygen;		/* read by F3; without a lock by F1 */
	byte z;			/* frame whose reference I4 is to drop */
	bit fail;		/* answer: failed */

end_f0:	do
	:: atomic { slot[v] == S_READY && GOES_ON ->		/* F0 */
		slot[v] = S_INPROCESS;
f1:		hit[v] = 0;
#ifdef ZERO
		real[v] = 0;
#endif
#if (defined(NO_LOCK) && !defined(MUTANT_GENERATION_LATE)) || defined(MUTANT_GENERATION_EARLY)
		mygen = lgen
#endif
	};
end_f1:	atomic {
		GOES_ON ->
		if
		:: gone || dead -> goto f5			/* ENOENT */
		:: !gone && !dead && MAY_CHANGE -> waits[v] = 1
		:: !gone && !dead && !MAY_CHANGE -> JOIN;	/* F1 */
			if :: mm_gone -> CANNOT :: else -> goto TO_F2 fi	/* ESRCH */
		fi
	};
end_f1w: atomic {						/* F1 */
		/* mmu_interval_read_begin() returns. */
		GOES_ON && !(going && newest && waits[v] == 1) ->
#ifndef MUTANT_OVER_UNCHECKED
		changing = (waits[v] == 1 -> 0 : changing);
#else
		changing = 0;
#endif
		waits[v] = 0;
		if
		:: MAY_CHANGE -> goto end_f1
		:: else -> JOIN;
			if :: mm_gone -> CANNOT :: else fi
		fi
	};
#ifdef MUTANT_GENERATION_LATE
late:	mygen = lgen;
#endif
end_f2:	atomic {						/* F2 */
		GOES_ON ->
		if
		:: mm_gone -> CANNOT
#ifdef ZERO
		:: !mm_gone && !whole -> CANNOT
#endif
		:: !mm_gone && HAS_PAGE && pte[rpage[v]]
		:: !mm_gone && HAS_PAGE && !pte[rpage[v]] && FREE(1) ->
			pte[rpage[v]] = 1
		:: !mm_gone && HAS_PAGE && !pte[rpage[v]] && FREE(2) ->
			pte[rpage[v]] = 2
#if NF > 2
		:: !mm_gone && HAS_PAGE && !pte[rpage[v]] && FREE(3) ->
			pte[rpage[v]] = 3
#endif
		fi;
		pw[rpage[v]] = pw[rpage[v]] | rwrite[v];
		e = pte[rpage[v]] * 2 + pw[rpage[v]];
		/* The neighbour comes along if both make a superpage. */
		if
		:: pte[0] == 1 && pte[1] == 2 && pw[0] && pw[1] &&
		   !(told[v] & NEIGHBOUR) ->
			e2 = pte[1 - rpage[v]] * 2 + 1
		:: else
		fi
	};
#ifdef MUTANT_ANSWER_BEFORE_INSTALL
	atomic { ANSWER };
#endif
#ifdef MUTANT_JOIN_LATE
end_late: atomic { GOES_ON -> joined[v] = 1; told[v] = TOLD };
#endif
end_f3:	LEASE_LOCK(GOES_ON,					/* F3 */
		if
#ifndef NO_LOCK
		:: dead -> FORGET; LEASE_UNLOCK; goto f5	/* ENOENT */
#endif
#ifndef NO_CHECK
		:: !dead && RACED -> assert(told[v] & TARGET);
			FORGET; LEASE_UNLOCK; goto AGAIN
#endif
		:: else
		fi;
#if !defined(NO_CHECK) && !defined(MUTANT_TARGET_ONLY)
		e2 = (told[v] & NEIGHBOUR -> 0 : e2);
#endif
		joined[v] = 0; told[v] = 0;	/* nobody tells without the lock */
#if !defined(NO_LOCK) && !defined(MUTANT_GENERATION_EARLY)
		mygen = lgen;
#endif
		GRANT;
		tally[rpage[v]] = 1;
		tally[1 - rpage[v]] = tally[1 - rpage[v]] | (e2 != 0)
	);
i1:	atomic {						/* I1 */
		xref[FRAME(e)] = xref[FRAME(e)] + 1;
		WREF(e, +, e & 1);
		xref[FRAME(e2)] = xref[FRAME(e2)] + (e2 != 0)
	};
	atomic {
		!p2m_lock ->					/* I2 */
		if
#ifdef REUSE
		:: STRANGER -> PUT; LEASE_UNLOCK; FORGET; goto f5	/* ESRCH */
#endif
#ifndef MUTANT_INSTALL_AFTER_DESTROY
		:: !STRANGER && gone -> PUT; LEASE_UNLOCK; FORGET; goto f5	/* ENOENT, ESRCH */
#endif
#if !defined(NO_GENERATION) && (defined(NO_LOCK) || defined(MUTANT_GENERATION_NOT_LEARNT))
		:: !STRANGER && !gone && gen != mygen ->	/* EAGAIN */
			PUT; LEASE_UNLOCK; FORGET; goto AGAIN
#endif
		:: else
		fi;
#if !defined(NO_GENERATION) && !defined(NO_LOCK) && !defined(MUTANT_GENERATION_NOT_LEARNT) && \
    !defined(MUTANT_INSTALL_AFTER_DESTROY)
		/* Not for a revoke elsewhere, nor for any other of this lender's. */
		assert(gen == mygen);
#endif
		/*
		 * I3.  A resolve finds no other frame but, with ZERO, that of
		 * zeros.  Rights only grow here, it takes a revoke to lose them.
		 */
#ifdef ZERO
		if
		:: ent[rpage[v]] && FRAME(ent[rpage[v]]) != FRAME(e) ->
			assert(IS_NEW);
			z = FRAME(ent[rpage[v]]);
			ent[rpage[v]] = 0
		:: else
		fi;
		noted = noted && !IS_NEW;
		real[1 - v] = real[1 - v] | (IS_NEW && slot[1 - v] == S_INPROCESS);
#endif
#ifdef RECLAIM
		if
		:: ent[1 - rpage[v]] && !super && !ent[rpage[v]] && !e2 ->
			z = FRAME(ent[1 - rpage[v]]);
			ent[1 - rpage[v]] = 0;
			hit[1 - v] = hit[1 - v] | (slot[1 - v] == S_INPROCESS &&
						   rpage[1 - v] != rpage[v])
		:: true
		fi;
#endif
		assert(!ent[rpage[v]] || FRAME(ent[rpage[v]]) == FRAME(e));
		xref[FRAME(e)] = xref[FRAME(e)] - (ent[rpage[v]] != 0);
		WREF(e, -, e & ent[rpage[v]] & 1);
#ifndef MUTANT_DOWNGRADE
		ent[rpage[v]] = ent[rpage[v]] | e;
#else
		ent[rpage[v]] = e;
#endif
		if
		:: e2 ->
			assert(!ent[1 - rpage[v]] ||
			       FRAME(ent[1 - rpage[v]]) == FRAME(e2));
			xref[FRAME(e2)] = xref[FRAME(e2)] - (ent[1 - rpage[v]] != 0);
			ent[1 - rpage[v]] = e2; super = 1
		:: else
		fi;
#if defined(ZERO) || defined(RECLAIM)
		if
		:: z -> p2m_lock = 1; FORGET
		:: else -> LEASE_UNLOCK; FORGET; goto f5
		fi
	};
#ifndef MUTANT_RECLAIM_NO_FLUSH
	atomic { FLUSH(0) };					/* I4 */
	atomic { FLUSH(1) };
#endif
	atomic {
		assert(xref[z]);
		xref[z] = xref[z] - 1;
		z = 0;
		p2m_lock = 0;
		LEASE_UNLOCK;
		goto f5
	};
#else
		LEASE_UNLOCK;
		FORGET;
		goto f5
	};
#endif
#ifdef ZERO
z1:
end_z1:	atomic { GOES_ON -> FORGET1; noted = 1 };		/* Z1 */
end_z2:	LEASE_LOCK(GOES_ON,					/* Z2 */
		if
		:: dead -> FORGET; LEASE_UNLOCK; goto f5	/* ENOENT */
		:: !dead && (RACED || !noted || OVERTAKEN) ->
			FORGET; LEASE_UNLOCK; goto AGAIN
		:: else
		fi;
		tally[0] = 1;
		mygen = lgen;
#ifndef MUTANT_ZERO_STAYS
		due = 1;
#endif
		e = ZEROS
	);
	goto i1;
#endif
f5:
end_f5:	atomic {						/* F5 */
		GOES_ON;
		FORGET;
#ifndef MUTANT_ANSWER_BEFORE_INSTALL
		ANSWER;
#endif
		hit[v] = 0
	}
	od
}

/* ---- Xen: R1 to R4 ---- */

#ifndef RIGHTS
#define DOWN	false
#define HAS_ENT	((c & 1 && ent[0]) || (c & 2 && ent[1]))
#define CLEAR	/* the chunk c; z0, z1: whose references R4 is to drop */ \
	z0 = (c & 1 -> FRAME(ent[0]) : 0);				\
	z1 = (c & 2 -> FRAME(ent[1]) : 0);				\
	ent[0] = (c & 1 -> 0 : ent[0]);					\
	ent[1] = (c & 2 -> 0 : ent[1]);					\
	super = 0
#define WDROP	skip
#else
/* y0: whose reference for writing R4 is to drop */
#define DOWN	down
#define HAS_ENT	(c && ent[0] && (!down || ent[0] & 1))
#define CLEAR								\
	y0 = (ent[0] & 1 -> FRAME(ent[0]) : 0);				\
	z0 = (DROPS_ALL -> FRAME(ent[0]) : 0);				\
	ent[0] = (down -> FRAME(ent[0]) * 2 : 0)
#ifndef MUTANT_DOWNGRADE_DROPS_ALL
#define DROPS_ALL	!down
#else
#define DROPS_ALL	true
#endif
#ifndef MUTANT_DOWNGRADE_KEEPS_TYPE
#define WDROP	assert(!y0 || wref[y0]); wref[y0] = wref[y0] - (y0 != 0); y0 = 0
#else
#define WDROP	wref[y0] = wref[y0] - (y0 && !down); y0 = 0
#endif
#endif

#define HIT(v)								\
	hit[v] = hit[v] | (slot[v] == S_INPROCESS && ((c >> rpage[v]) & 1))

#define DROP1(z)	assert(!z || xref[z]); xref[z] = xref[z] - (z != 0)
#ifndef MUTANT_SUPERPAGE_ONE_DROP
#define DROP	DROP1(z0); DROP1(z1); z0 = 0; z1 = 0; WDROP
#else
#define DROP	if :: z0 -> DROP1(z0) :: else -> DROP1(z1) fi; z0 = 0; z1 = 0
#endif

/* The first step is one with taking the lock: nobody could tell them apart. */
#if defined(MUTANT_FLUSH_BEFORE_CLEAR)
#define STEP1	FLUSH(0)
#define STEP2	FLUSH(1)
#define STEP3	CLEAR
#define STEP4	DROP; p2m_lock = 0
#elif defined(MUTANT_DROP_BEFORE_FLUSH)
#define STEP1	CLEAR
#define STEP2	DROP
#define STEP3	FLUSH(0)
#define STEP4	FLUSH(1); p2m_lock = 0
#elif defined(MUTANT_NO_FLUSH)
#define STEP1	CLEAR
#define STEP2	skip
#define STEP3	skip
#define STEP4	DROP; p2m_lock = 0
#elif defined(MUTANT_UNLOCK_BEFORE_FLUSH)
#define STEP1	CLEAR; p2m_lock = 0
#define STEP2	FLUSH(0)
#define STEP3	FLUSH(1)
#define STEP4	DROP
#else
#define STEP1	CLEAR				/* R2 */
#ifndef MUTANT_DOWNGRADE_NO_FLUSH
#define STEP2	FLUSH(0)			/* R3 */
#define STEP3	FLUSH(1)			/* R3 */
#else
#define STEP2	if :: DOWN :: else -> FLUSH(0) fi
#define STEP3	if :: DOWN :: else -> FLUSH(1) fi
#endif
#define STEP4	DROP; p2m_lock = 0		/* R4 */
#endif

/*
 * m: pages to take out, used up; c: the chunk, a page or the superpage; each:
 * what goes with it, R1 or the end of installs.  With nothing to take out a
 * chunk is over at once: whoever took it out has done R4 before he unlocked.
 */
#define ZAP(each)							\
	do								\
	:: atomic { !c && m && STRANGER -> m = 0 }	/* ESRCH */	\
	:: atomic { !c && m && !p2m_lock && !STRANGER ->		\
		each;							\
		c = (super -> 3 : (m & 1 -> 1 : 2));			\
		m = m & (3 - c);					\
		HIT(0); HIT(1);						\
		if							\
		:: HAS_ENT ->						\
			p2m_lock = 1; STEP1				\
		:: else -> c = 0					\
		fi }							\
	:: atomic { c -> STEP2 }; atomic { STEP3 }; atomic { STEP4; c = 0 } \
	:: atomic { !c && !m -> break }					\
	od

/* ---- Linux in the lender: the notifier ---- */

#define REVOKED(p)							\
	IF_SAME_GUEST(assert(!ent[p]));					\
	assert(!tlb[p] && !tlb[2 + p]);					\
	assert(NO_REF(p))

#define DOWNGRADED							\
	assert(!(ent[0] & 1));						\
	assert(!(tlb[0] & 1) && !(tlb[2] & 1));				\
	assert(!pte[0] || !wref[pte[0]])

/* A downgrade leaves zeros where they are. */
#if defined(ZERO) && !defined(MUTANT_DOWNGRADE_UNNOTES)
#define UNNOTE	noted = noted && (down || !tally[0])
#elif defined(ZERO)
#define UNNOTE	noted = noted && !tally[0]
#else
#define UNNOTE	skip
#endif

#ifdef MUTANT_REVOKE_WAITS_ANSWER
#define WAIT	slot[0] != S_INPROCESS && slot[1] != S_INPROCESS
#else
#define WAIT	skip
#endif

#ifdef MUTANT_GENERATION_LAST
#define R1	skip
#define R1_LAST	gen++
#else
#define R1	gen++				/* R1 */
#define R1_LAST	skip
#endif

#ifndef MUTANT_GENERATION_NOT_LEARNT
#define LEARN	lgen = gen
#else
#define LEARN	skip
#endif

#ifdef RIGHTS
#define SKIPS(r)	(EMPTY(r) || (down && !granted))
#elif defined(MUTANT_REVOKE_SKIPS_DYING)
#define SKIPS(r)	(gone || EMPTY(r))
#else
#define SKIPS(r)	EMPTY(r)
#endif

#define BEGIN	newest = newest && going; going++
#define END	going--

#define SEEN(v)		waits[v] = (waits[v] && !newest -> 2 : waits[v])

/* With TWO_MM both can begin before either has the lock. */
#ifdef TWO_MM
#define BEGIN1	BEGIN
#define BEGIN2	skip
#else
#define BEGIN1	skip
#define BEGIN2	BEGIN
#endif

#ifndef MUTANT_NUMBER_IGNORED
#define UNDER_WAY	(newest -> changing : 0)
#else
#define UNDER_WAY	0
#endif

#ifdef MUTANT_DOWNGRADE_NOT_TOLD
#define TELL(v, r)	told[v] = told[v] | (joined[v] && !down -> r : 0)
#elif !defined(MUTANT_NOT_TOLD)
#define TELL(v, r)	told[v] = told[v] | (joined[v] -> r : 0)
#else
#define TELL(v, r)	skip
#endif

#ifdef RIGHTS
#define UNGRANT		granted = 0
#ifndef MUTANT_DOWNGRADE_FORGETS
#define DOWNGRADE	wtaken++; UNGRANT; DOWNGRADED
#else
#define DOWNGRADE	wtaken++; UNGRANT; DOWNGRADED; tally[0] = 0
#endif
#else
#define UNGRANT		skip
#define DOWNGRADE	skip
#endif

/* N1 to N4 for the pages in r */
#define NOTIFY(r)							\
	LEASE_LOCK(true,				/* N1 */	\
		BEGIN2;							\
		changing = UNDER_WAY | r;		/* N2 */	\
		SEEN(0); SEEN(1); newest = 1;				\
		TELL(0, r); TELL(1, r);					\
		m = (SKIPS(r) -> 0 : r)					\
	);								\
	ZAP(R1);					/* N3 */	\
	WAIT;								\
	atomic {					/* N4 */	\
		R1_LAST;						\
		UNNOTE;							\
		LEARN;							\
		if							\
		:: r & 1 && DOWN -> DOWNGRADE				\
		:: r & 1 && !DOWN -> taken[0]++; tally[0] = 0;		\
			UNGRANT; REVOKED(0)				\
		:: else							\
		fi;							\
		if							\
		:: r & 2 -> taken[1]++; tally[1] = 0; REVOKED(1)	\
		:: else							\
		fi;							\
		LEASE_UNLOCK						\
	}

#ifdef RIGHTS
#define TAKE(op)	wtaken = wtaken op (r & down); taken[0] = taken[0] op (r & !down)
#define UNDOWN		down = 0
#else
#define TAKE(op)	taken[0] = taken[0] op (r & 1)
#define UNDOWN		skip
#endif

proctype mm()
{
	byte n, m, c, z0, z1, r;	/* r: the range, pages as bits */
#ifdef RIGHTS
	byte y0;
	bit down;			/* write-back: the frame stays */
#endif

end_mm:	do
#ifdef ZERO
	:: atomic { !whole && !quiet -> whole = 1 }	/* nobody is told */
#endif
	:: n < NREV && !quiet ->
		atomic {
			n++;
#ifdef RIGHTS
			r = 1;
			if :: down = 0 :: down = 1 fi
#else
			if :: r = 1 :: r = 2 :: r = 3 fi
#endif
		};
		if
		:: atomic { notifier -> mm_busy = 1; BEGIN1 };	/* N0 */
			NOTIFY(r)
		:: atomic { !notifier -> BEGIN;
			TAKE(+);
			taken[1] = taken[1] + (r >> 1) }
		fi;
		atomic {					/* N5 */
			if
#ifdef RIGHTS
			:: DOWN -> pw[0] = 0
#endif
			:: !DOWN ->
#ifdef ZERO
				if :: whole = 0 :: true fi;
#endif
				if :: r & 1 -> pte[0] = 0; pw[0] = 0 :: else fi;
				if :: r & 2 -> pte[1] = 0; pw[1] = 0 :: else fi
			fi;
			TAKE(-);
			taken[1] = taken[1] - (r >> 1)
		};
		atomic { END; mm_busy = 0; r = 0; UNDOWN } /* N6 */
	od
}

/* ---- the ends ---- */

#ifdef ZERO
#define DIE	dead = 1; noted = 0
#else
#define DIE	dead = 1
#endif

/* Without the lock, and with nothing left to take out, if installs need the lock. */
#if defined(NO_LOCK) || defined(MUTANT_FORGOTTEN_FIRST) || defined(MUTANT_REVOKE_SKIPS_DYING)
#define DESTROY	ZAP(gone = 1)
#else
#define DESTROY	atomic { !p2m_lock -> m = 0;				\
			IF_SAME_GUEST(assert(!ent[0] && !ent[1]));	\
			if						\
			:: STRANGER		/* ESRCH */		\
			:: !STRANGER -> gone = 1			\
			fi }
#endif

#ifndef MUTANT_FORGOTTEN_FIRST
#define D4								\
	LEASE_LOCK(true, m = (SKIPS(ALL) -> 0 : ALL); DIE);		\
	ZAP(R1);							\
	atomic {							\
		R1_LAST;						\
		LEARN;							\
		tally[0] = 0; tally[1] = 0; UNGRANT;			\
		m = ALL;						\
		LEASE_UNLOCK						\
	};								\
	DESTROY
#else		/* as if Xen had done already what it is asked for only now */
#define D4								\
	LEASE_LOCK(true, m = ALL; DIE; tally[0] = 0; tally[1] = 0;	\
		LEASE_UNLOCK);						\
	DESTROY
#endif
#define D5	atomic { !mm_busy -> notifier = 0 }

#ifdef RIGHTS
#define NEVER_DOWN	, y0; bit down
#else
#define NEVER_DOWN
#endif

proctype end_of_lease()
{
	byte m, c, z0, z1 NEVER_DOWN;

end_alive:
	if
	:: atomic { !quiet -> mm_gone = 1; BEGIN1 };		/* D1, D2 */
#ifndef MUTANT_DEATH_WITHOUT_REVOKE
		NOTIFY(ALL);
		atomic {
			taken[0]--; taken[1] = taken[1] - (ALL >> 1);
			END;
#else
		atomic {
#endif
			pte[0] = 0; pte[1] = 0;			/* D3 */
			pw[0] = 0; pw[1] = 0
		};
		/* Another process may keep the descriptor for ever. */
		if :: goto end_gone :: true fi
	:: !quiet						/* UNLEASE */
#ifdef LIVENESS
	:: goto end_gone					/* neither */
#endif
	fi;
#ifndef MUTANT_NOTIFIER_FIRST
	D4; D5;
#else
	D5; D4;
#endif
end_gone: false
}

proctype end_of_borrower()
{
	byte m, c, z0, z1 NEVER_DOWN;

end_alive:
	if
	:: atomic { !quiet -> dying = 1; FLUSH(0); FLUSH(1); m = ALL } /* X1 */
#ifdef LIVENESS
	:: goto end_gone
#endif
	fi;
	ZAP(gone = 1);						/* X2 */
#ifdef REUSE
	atomic { !p2m_lock -> number = 2; gone = 0; gen = 0; super = 0 } /* X3 */
#endif
end_gone: false
}

#ifdef REUSE
/* The new guest and its lender, who takes nothing back. */
proctype newcomer()
{
end_new: do
	:: atomic { number == 2 && !quiet -> UNTOUCHED }
	:: atomic { number == 2 && !quiet && !p2m_lock && !ent[0] ->
		xref[EXTRA] = xref[EXTRA] + 1; ent[0] = EXTRA * 2 + 1 }
	:: atomic { number == 2 && !quiet && newtlb != ent[0] && ent[0] ->
		newtlb = ent[0] }
	:: atomic { newtlb && !quiet -> assert(FRAME(newtlb) == EXTRA) }
	od
}
#endif

#ifdef ZERO
proctype zero_work()
{
	byte m, c, z0, z1 NEVER_DOWN;

end_zw:	do
	:: LEASE_LOCK(due, due = 0; m = noted);			/* Z3 */
		/* R1 is left out: nothing counts without end in a model. */
		ZAP(skip);
		atomic { noted = 0; LEASE_UNLOCK }
	od
}
#endif

/* Nobody owes these an answer. */
#define EXCUSED(v)	(dying || frozen[v])

init {
	atomic {
		run vcpu(0); run resolver(0);
#ifndef ONE_VCPU
		run vcpu(1); run resolver(1);
#endif
		run mm();
#ifdef TWO_MM
		run mm();
#endif
#ifndef WITHOUT_D
		run end_of_lease();
#endif
#ifndef WITHOUT_X
		run end_of_borrower();
#endif
#ifdef REUSE
		run newcomer();
#endif
#ifdef ZERO
		run zero_work();
#endif
	};
#ifndef LIVENESS
	/*
	 * At any time the vCPUs halt and each resolver may go no further.  What
	 * is under way then has to come to its end all the same.
	 */
	atomic {
		quiet = 1; FLUSH(0); FLUSH(1);
		if :: slot[0] != S_NONE -> frozen[0] = 1 :: true fi;
		if :: slot[1] != S_NONE -> frozen[1] = 1 :: true fi
	};
	timeout;	/* nothing moves: the end state */
	d_step {
		assert(slot[0] == S_NONE || EXCUSED(0));	/* law 3 */
		assert(slot[1] == S_NONE || EXCUSED(1));
		assert(!lease_lock && !p2m_lock);		/* law 2 */
		assert(REFS_EQ(1));				/* refs */
		assert(REFS_EQ(2));
#if NF > 2
		assert(REFS_EQ(3));
#endif
#ifdef RIGHTS
		assert(wref[1] == (ent[0] == 3) && wref[2] == (ent[0] == 5));	/* refs */
#endif
		assert(!gone || (!ent[0] && !ent[1]));
#ifdef REUSE
		UNTOUCHED;
#endif
#ifdef ZERO
		assert(FRAME(ent[0]) != EXTRA);
		assert(!xref[EXTRA])
#endif
	}
#endif
}

#ifdef LIVENESS
ltl answered { [] (slot[0] != S_NONE -> <> (slot[0] == S_NONE || EXCUSED(0))) }
#endif
