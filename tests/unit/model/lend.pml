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
 *     F1  read Xen's generation, then the notifier's sequence (which waits for
 *         an invalidation in progress), in this order
 *     F2  fault the backing page in; no lock held, may sleep for ever
 *     F3  take the lease lock; sequence changed: unlock, back to F1
 *     F4  install hypercall, I1 to I4; lease unlock; EAGAIN: back to F1
 *     F5  answer: INPROCESS -> RESP_READY
 *   install (Xen)
 *     I1  take references to the frames, no lock held
 *     I2  p2m lock; lease alive? generation current?  Else put I1's back
 *     I3  write entries; who finds his entry there already puts I1's back
 *     I4  R3 and R4 for frames replaced; p2m unlock
 *   notifier (Linux in the lender)
 *     N1  MM is going to move, free or write back pages; takes the lease lock
 *     N2  advance the sequence
 *     N3  revoke hypercall, R1 to R4 for each chunk; not if nothing of the
 *         range was installed
 *     N4  remember the generation, lease unlock, return
 *     N5  MM changes the PTE, reuses the frame
 *     N6  MM ends the invalidation: F1 no longer waits for it
 *   revoke (Xen), a chunk at a time, all under the p2m lock
 *     R1  advance the generation
 *     R2  make entries absent; a superpage as a whole
 *     R3  flush the TLB of every vCPU
 *     R4  drop the references of what R2 took out
 *   end of the lender, or of the lease
 *     D1  SIGKILL: its threads go no further than where they hold no lock
 *     D2  notifier's release: N1 to N4 for everything
 *     D3  MM frees every page
 *     D4  last close, or UNLEASE (then without D1 to D3): lease lock, destroy
 *         hypercall: no install from now on, then R2 to R4 for everything
 *     D5  remove the notifier: after D4, never before
 *   end of the borrower
 *     X1  domain dying, its vCPUs stopped for good
 *     X2  no install from now on, then R2 to R4 for everything
 *
 * Properties
 *   law 1  TOUCH: whatever a vCPU can reach, by an entry of now or a TLB's of
 *          before, is the page's present frame, MM has not been told that it
 *          may reuse it, Xen holds a reference to it; and it is writable only
 *          while Linux' PTE is (law 6).  REVOKED: when the notifier returns
 *          there is no entry, no TLB entry and no reference.
 *   law 2  No end state with notifier, D or X under way.  vCPUs may halt, and
 *          resolvers stay for ever wherever they hold no lock, in any state
 *          (see init): if something waits for them, it waits for good, and
 *          that is an end state.  None of the three has a loop but the chunks.
 *   law 3  In every end state all faults are answered, except by a resolver
 *          that stays for ever, a dead lender, or to a dead borrower: one slow
 *          fault delays no other.  ANSWER: one who is told to retry has
 *          his page, unless revoked since: answers are progress.  And, with
 *          LIVENESS, as a formula: each fault is finally answered.
 *   refs   In every end state each frame has as many references as entries,
 *          and none of either once the lease is over.
 *
 * Bounds: two vCPUs with a resolver each; two pages, which become a superpage
 * if their frames are 1 and 2; NF frames; NREV notifier calls besides D2.
 * RIGHTS: reading and writing told apart, write-back, but one page.  Nothing
 * else is: vCPUs touch, fault, and get retried without limit.
 */

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
 * Two walls keep a late install out: the lender's lock and sequence, and Xen's
 * generation.  Each has to do without the other.
 */
#ifdef MUTANT_NO_SEQUENCE		/* F3 checks nothing, I2 neither */
#define NO_SEQUENCE
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
#define NO_SEQUENCE
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
byte xref[NF + 1];		/* references to frames */
byte gen;
bit  p2m_lock;
bit  gone;			/* lease being destroyed, or no more */
bit  dying;			/* borrower */
byte slot[2];			/* ioreq slots ... */
bit  rpage[2], rwrite[2];	/* ... and what is asked for in them */

/* Linux in the lender */
byte pte[2];			/* frame of backing page, 0: not present */
bit  pw[2];			/* writable and dirty */
byte seq, inval;		/* the sequence; invalidations after N2 */
byte lgen;			/* generation as the lender knows it */
bit  tally[2];			/* pages that may be installed */
bit  lease_lock;
bit  notifier = 1;		/* registered */
bit  mm_busy;			/* MM is between N1 and N6 */
bit  mm_gone;			/* lender killed, no thread in its mm */

/* Ghosts: in no code */
byte taken[2];			/* the notifier has returned: the frame is MM's */
bit  hit[2];			/* revoked what vCPU v asks for, since F1 */
bit  quiet;			/* vCPUs halt, nobody begins anything */
bit  frozen[2];			/* resolver v goes no further */

#define FREE(f)		(pte[0] != (f) && pte[1] != (f))
#define REFS_EQ(f)	(xref[f] == (FRAME(ent[0]) == (f)) + (FRAME(ent[1]) == (f)))

#define TOUCH(v, p)							\
	assert(pte[p] == FRAME(tlb[(v) * 2 + p]));			\
	assert(!taken[p]);						\
	assert(xref[FRAME(tlb[(v) * 2 + p])] > 0);			\
	assert(pw[p] || !(tlb[(v) * 2 + p] & 1))

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
	assert(gone || hit[v] || PERMITS(ent[rpage[v]], rwrite[v]));	\
	slot[v] = S_RESP_READY

/* References, which I1 has taken for nothing. */
#define PUT								\
	xref[FRAME(e)] = xref[FRAME(e)] - 1;				\
	xref[FRAME(e2)] = xref[FRAME(e2)] - (e2 != 0)

#ifndef MUTANT_RETRY_FORGOTTEN
#define AGAIN	f1
#else
#define AGAIN	end_f0
#endif

#define FORGET	e = 0; e2 = 0; mygen = 0; myseq = 0

proctype resolver(bit v)
{
	byte e, e2;		/* to install; e2 if it is to be a superpage */
	byte mygen, myseq;	/* read by F1 */

end_f0:	do
	:: atomic { slot[v] == S_READY && GOES_ON ->		/* F0 */
		slot[v] = S_INPROCESS;
f1:		hit[v] = 0;
#ifndef MUTANT_GENERATION_LATE
		mygen = lgen					/* F1 */
#endif
	};
end_f1:	atomic {
		GOES_ON && !mm_gone && inval == 0 ->	/* mm gone: ESRCH */
		if
		:: gone -> goto f5				/* ENOENT */
		:: else -> myseq = seq
		fi
	};
#ifdef MUTANT_GENERATION_LATE
	mygen = lgen;
#endif
end_f2:	atomic {						/* F2 */
		GOES_ON && !mm_gone ->
		if
		:: pte[rpage[v]]
		:: !pte[rpage[v]] && FREE(1) -> pte[rpage[v]] = 1
		:: !pte[rpage[v]] && FREE(2) -> pte[rpage[v]] = 2
#if NF > 2
		:: !pte[rpage[v]] && FREE(3) -> pte[rpage[v]] = 3
#endif
		fi;
		pw[rpage[v]] = pw[rpage[v]] | rwrite[v];
		e = pte[rpage[v]] * 2 + pw[rpage[v]];
		/* The neighbour comes along if both make a superpage. */
		if
		:: pte[0] == 1 && pte[1] == 2 && pw[0] && pw[1] ->
			e2 = pte[1 - rpage[v]] * 2 + 1
		:: else
		fi
	};
#ifdef MUTANT_ANSWER_BEFORE_INSTALL
	atomic { ANSWER };
#endif
end_f3:	LEASE_LOCK(GOES_ON,					/* F3 */
		if
#ifndef NO_SEQUENCE
		:: seq != myseq -> FORGET; LEASE_UNLOCK; goto AGAIN
#endif
		:: else
		fi;
		tally[rpage[v]] = 1;
		tally[1 - rpage[v]] = tally[1 - rpage[v]] | (e2 != 0)
	);
	atomic {						/* I1 */
		xref[FRAME(e)] = xref[FRAME(e)] + 1;
		xref[FRAME(e2)] = xref[FRAME(e2)] + (e2 != 0)
	};
	atomic {
		!p2m_lock ->					/* I2 */
		if
#ifndef MUTANT_INSTALL_AFTER_DESTROY
		:: gone -> PUT; LEASE_UNLOCK; FORGET; goto f5	/* ENOENT, ESRCH */
#endif
#ifndef NO_GENERATION
		:: !gone && gen != mygen ->			/* EAGAIN */
			PUT; LEASE_UNLOCK; FORGET; goto AGAIN
#endif
		:: else
		fi;
		/*
		 * I3, and no I4: a resolve never finds another frame.  Rights
		 * only grow here, it takes a revoke to lose them.
		 */
		assert(!ent[rpage[v]] || FRAME(ent[rpage[v]]) == FRAME(e));
		xref[FRAME(e)] = xref[FRAME(e)] - (ent[rpage[v]] != 0);
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
		LEASE_UNLOCK;
		FORGET
	};
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

#define CLEAR	/* the chunk c; z0, z1: whose references R4 is to drop */ \
	z0 = (c & 1 -> FRAME(ent[0]) : 0);				\
	z1 = (c & 2 -> FRAME(ent[1]) : 0);				\
	ent[0] = (c & 1 -> 0 : ent[0]);					\
	ent[1] = (c & 2 -> 0 : ent[1]);					\
	super = 0

#define HIT(v)								\
	hit[v] = hit[v] | (slot[v] == S_INPROCESS && ((c >> rpage[v]) & 1))

#define FLUSH(v)	tlb[(v) * 2] = 0; tlb[(v) * 2 + 1] = 0

#define DROP1(z)	assert(!z || xref[z]); xref[z] = xref[z] - (z != 0)
#ifndef MUTANT_SUPERPAGE_ONE_DROP
#define DROP	DROP1(z0); DROP1(z1); z0 = 0; z1 = 0
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
#define STEP2	FLUSH(0)			/* R3 */
#define STEP3	FLUSH(1)			/* R3 */
#define STEP4	DROP; p2m_lock = 0		/* R4 */
#endif

/*
 * m: pages to take out, used up; c: the chunk, a page or the superpage; each:
 * what goes with it, R1 or the end of installs.  With nothing to take out a
 * chunk is over at once: whoever took it out has done R4 before he unlocked.
 */
#define ZAP(each)							\
	do								\
	:: atomic { !c && m && !p2m_lock ->				\
		each;							\
		c = (super -> 3 : (m & 1 -> 1 : 2));			\
		m = m & (3 - c);					\
		HIT(0); HIT(1);						\
		if							\
		:: (c & 1 && ent[0]) || (c & 2 && ent[1]) ->		\
			p2m_lock = 1; STEP1				\
		:: else -> c = 0					\
		fi }							\
	:: atomic { c -> STEP2 }; atomic { STEP3 }; atomic { STEP4; c = 0 } \
	:: atomic { !c && !m -> break }					\
	od

/* ---- Linux in the lender: the notifier ---- */

#define REVOKED(p)							\
	assert(!ent[p]);						\
	assert(!tlb[p] && !tlb[2 + p]);					\
	assert(NO_REF(p))

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

#ifdef MUTANT_REVOKE_SKIPS_DYING
#define SKIPS(r)	(gone || EMPTY(r))
#else
#define SKIPS(r)	EMPTY(r)
#endif

/* N1 to N4 for the pages in r */
#define NOTIFY(r)							\
	LEASE_LOCK(true,				/* N1 */	\
		seq++; inval++;				/* N2 */	\
		m = (SKIPS(r) -> 0 : r)					\
	);								\
	ZAP(R1);					/* N3 */	\
	WAIT;								\
	atomic {					/* N4 */	\
		R1_LAST;						\
		LEARN;							\
		if							\
		:: r & 1 -> taken[0]++; tally[0] = 0; REVOKED(0)	\
		:: else							\
		fi;							\
		if							\
		:: r & 2 -> taken[1]++; tally[1] = 0; REVOKED(1)	\
		:: else							\
		fi;							\
		LEASE_UNLOCK						\
	}

proctype mm()
{
	byte n, m, c, z0, z1, r;	/* r: the range, pages as bits */
	bit clean;			/* write-back, the frame stays */

end_mm:	do
	:: n < NREV && !quiet ->
		atomic {
			n++;
#ifdef RIGHTS
			r = 1;
			if :: clean = 0 :: clean = 1 fi
#else
			if :: r = 1 :: r = 2 :: r = 3 fi
#endif
		};
		if
		:: atomic { notifier -> mm_busy = 1 };
			NOTIFY(r)
		:: atomic { !notifier -> inval++;
			taken[0] = taken[0] + (r & 1);
			taken[1] = taken[1] + (r >> 1) }
		fi;
		atomic {					/* N5 */
			if
			:: clean -> pw[0] = 0
			:: else ->
				if :: r & 1 -> pte[0] = 0; pw[0] = 0 :: else fi;
				if :: r & 2 -> pte[1] = 0; pw[1] = 0 :: else fi
			fi;
			taken[0] = taken[0] - (r & 1);
			taken[1] = taken[1] - (r >> 1)
		};
		atomic { inval--; mm_busy = 0; r = 0; clean = 0 } /* N6 */
	od
}

/* ---- the ends ---- */

#define D4								\
	LEASE_LOCK(true, m = ALL);					\
	ZAP(gone = 1);							\
	LEASE_UNLOCK
#define D5	atomic { !mm_busy -> notifier = 0 }

proctype end_of_lease()
{
	byte m, c, z0, z1;

end_alive:
	if
	:: atomic { !quiet -> mm_gone = 1 };			/* D1, D2 */
#ifndef MUTANT_DEATH_WITHOUT_REVOKE
		NOTIFY(ALL);
		atomic {
			inval--;
			taken[0]--; taken[1] = taken[1] - (ALL >> 1);
#else
		atomic {
#endif
			pte[0] = 0; pte[1] = 0;			/* D3 */
			pw[0] = 0; pw[1] = 0
		}
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
	byte m, c, z0, z1;

end_alive:
	if
	:: atomic { !quiet -> dying = 1; FLUSH(0); FLUSH(1); m = ALL } /* X1 */
#ifdef LIVENESS
	:: goto end_gone
#endif
	fi;
	ZAP(gone = 1);						/* X2 */
end_gone: false
}

/* Nobody owes these an answer. */
#define EXCUSED(v)	(mm_gone || dying || frozen[v])

init {
	atomic {
		run vcpu(0); run resolver(0);
#ifndef ONE_VCPU
		run vcpu(1); run resolver(1);
#endif
		run mm();
#ifndef WITHOUT_D
		run end_of_lease();
#endif
#ifndef WITHOUT_X
		run end_of_borrower();
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
		assert(!gone || (!ent[0] && !ent[1]))
	}
#endif
}

#ifdef LIVENESS
ltl answered { [] (slot[0] != S_NONE -> <> (slot[0] == S_NONE || EXCUSED(0))) }
#endif
