// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs one instruction after the other on the BAR of an ivshmem device and on memory of its own, and compares.
 *
 *   insn list                the instructions, one a line: name, and "w" if it is one that only makes sense where writes stay
 *   insn run SLOT NAME...    each on 8 KiB of its own in the BAR, the first from 8 KiB * SLOT on, which has to be untouched;
 *                            see words()
 *   insn time NAME BYTES     how long one rep movsb, rep stosb or rep stosq of so many bytes takes, or as many stores of one byte
 *
 * Says of each "same" (registers and memory as on memory of its own), "dropped" (registers the same, the memory as before),
 * "differs:" and the first difference, the name of the exception that ended it, or "none" (the processor does not have it).
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>
#include <ucontext.h>

#include "ivshmem.h"

#define SLOT 8192
#define CODE 512                /* where each slot has code: mov $0x1234, %eax; ret */

static uint8_t *bar;
static uint8_t *code;           /* the same by /dev/mem: nothing in sysfs can be mapped executable */
static size_t size;
static sigjmp_buf env;
static uint8_t other[SLOT] __attribute__((aligned(4096)));

/* An instruction on the slot b; what registers have to say goes to o, which has zeros. */
typedef void op(uint8_t *b, uint64_t *o);

#define X(text, ...) asm volatile(text : __VA_ARGS__)
#define OP(name) static void op_##name(uint8_t *b __attribute__((unused)), uint64_t *o __attribute__((unused)))
#define MEM(p) "r"(p)

OP(load8) { X("movzbl (%1), %k0", "=r"(*o) : MEM(b + 9)); }
OP(load16) { X("movzwl (%1), %k0", "=r"(*o) : MEM(b + 10)); }
OP(load32) { X("movslq (%1), %0", "=r"(*o) : MEM(b + 12)); }
OP(load64) { X("mov (%1), %0", "=r"(*o) : MEM(b + 64)); }
OP(load_odd) { X("mov (%1), %0", "=r"(*o) : MEM(b + 67)); }
OP(load_cross) { X("mov (%1), %0", "=r"(*o) : MEM(b + 4093)); }
OP(store8) { X("movb $0x5a, (%0)", : MEM(b + 9) : "memory"); }
OP(store16) { X("movw $0x5a5b, (%0)", : MEM(b + 10) : "memory"); }
OP(store32) { X("movl $0x5a5b5c5d, (%0)", : MEM(b + 12) : "memory"); }
OP(store64) { X("mov %1, (%0)", : MEM(b + 64), "r"(0x123456789abcdefULL) : "memory"); }
OP(store_odd) { X("mov %1, (%0)", : MEM(b + 67), "r"(0x123456789abcdefULL) : "memory"); }
OP(store_cross) { X("mov %1, (%0)", : MEM(b + 4093), "r"(0x123456789abcdefULL) : "memory"); }

OP(add) { X("add %1, (%0); setc %b2", : MEM(b + 64), "r"(~5ULL), "r"(o) : "memory", "cc"); }
OP(not) { X("notq (%0)", : MEM(b + 64) : "memory"); }
OP(shl) { X("shlq $3, (%0)", : MEM(b + 64) : "memory", "cc"); }
OP(bt) { X("bt %2, (%1); sbb %0, %0", "=r"(*o) : MEM(b + 64), "r"(200LL) : "cc"); }
OP(btc) { X("btc %2, (%1); sbb %0, %0", "=&r"(*o) : MEM(b + 64), "r"(201LL) : "memory", "cc"); }
OP(bsf) { X("bsf (%1), %0", "=r"(*o) : MEM(b + 64) : "cc"); }
OP(lock_add) { X("lock addq $7, (%0)", : MEM(b + 64) : "memory", "cc"); }
OP(lock_add_cross) { X("lock addq $7, (%0)", : MEM(b + 4092) : "memory", "cc"); }
OP(lock_btc) { X("lock btcq $62, (%1); sbb %0, %0", "=&r"(*o) : MEM(b + 64) : "memory", "cc"); }
OP(lock_xadd) { *o = 9; X("lock xadd %0, (%1)", "+r"(*o) : MEM(b + 64) : "memory", "cc"); }
OP(xchg) { *o = 9; X("xchg %0, (%1)", "+r"(*o) : MEM(b + 64) : "memory"); }

static uint64_t word_at(const uint8_t *b, unsigned int offset)
{
    uint64_t word;

    X("mov (%1), %0", "=r"(word) : MEM(b + offset) : "memory");
    return word;
}

OP(cmpxchg)
{
    o[0] = word_at(b, 64);
    X("lock cmpxchg %2, (%1); setz 8(%3)", "+a"(o[0]) : MEM(b + 64), "r"(77ULL), "r"(o) : "memory", "cc");
}
OP(cmpxchg_not) { o[0] = 1; X("lock cmpxchg %2, (%1); setz 8(%3)", "+a"(o[0]) : MEM(b + 64), "r"(77ULL), "r"(o) : "memory", "cc"); }
static void wide(uint8_t *b, uint64_t *o, uint64_t low, uint64_t high)
{
    X("lock cmpxchg16b (%2); setz (%3)", "+a"(low), "+d"(high) : MEM(b + 64), "r"(o), "b"(5ULL), "c"(6ULL) : "memory", "cc");
    o[1] = low;
    o[2] = high;
}
OP(cmpxchg16b) { wide(b, o, word_at(b, 64), word_at(b, 72)); }
OP(cmpxchg16b_not) { wide(b, o, 1, 2); }
OP(cmpxchg8b)
{
    uint64_t word = word_at(b, 64), low = (uint32_t)word, high = word >> 32;

    X("lock cmpxchg8b (%2); setz (%3)", "+a"(low), "+d"(high) : MEM(b + 64), "r"(o), "b"(5ULL), "c"(6ULL) : "memory", "cc");
}

OP(movaps_load) { X("movaps (%0), %%xmm0; movups %%xmm0, (%1)", : MEM(b + 64), "r"(o) : "xmm0", "memory"); }
OP(movups_load_cross) { X("movups (%0), %%xmm0; movups %%xmm0, (%1)", : MEM(b + 4091), "r"(o) : "xmm0", "memory"); }
#define XMM1 "mov $0x1122334455667788, %%rax; movq %%rax, %%xmm1; pshufd $0x14, %%xmm1, %%xmm1; "
OP(movaps_store) { X(XMM1 "movaps %%xmm1, (%0)", : MEM(b + 64) : "rax", "xmm1", "memory"); }
OP(movups_store) { X(XMM1 "movups %%xmm1, (%0)", : MEM(b + 69) : "rax", "xmm1", "memory"); }
OP(movups_store_cross) { X(XMM1 "movups %%xmm1, (%0)", : MEM(b + 4091) : "rax", "xmm1", "memory"); }
OP(movhps_store) { X(XMM1 "movhps %%xmm1, (%0)", : MEM(b + 64) : "rax", "xmm1", "memory"); }
OP(paddd) { X(XMM1 "paddd (%0), %%xmm1; movups %%xmm1, (%1)", : MEM(b + 64), "r"(o) : "rax", "xmm1", "memory"); }
OP(movnti) { X("movnti %1, (%0); sfence", : MEM(b + 64), "r"(0x123456789abcdefULL) : "memory"); }
OP(movntdq) { X(XMM1 "movntdq %%xmm1, (%0); sfence", : MEM(b + 64) : "rax", "xmm1", "memory"); }
OP(maskmovdqu)
{
    X(XMM1 "movdqa %%xmm1, %%xmm0; mov $0x80008000ff7f8001, %%rax; movq %%rax, %%xmm2; "
      "pshufd $0x44, %%xmm2, %%xmm2; maskmovdqu %%xmm2, %%xmm0",
      : "D"(b + 69) : "rax", "xmm0", "xmm1", "xmm2", "memory");
}
OP(avx_load) { X("vmovdqu (%0), %%ymm0; vmovdqu %%ymm0, (%1); vzeroupper", : MEM(b + 65), "r"(o) : "xmm0", "memory"); }
OP(avx_store)
{
    X(XMM1 "vinsertf128 $1, %%xmm1, %%ymm1, %%ymm1; vmovdqu %%ymm1, (%0); vzeroupper", : MEM(b + 65) : "rax", "xmm1", "memory");
}
OP(avx_store_cross)
{
    X(XMM1 "vinsertf128 $1, %%xmm1, %%ymm1, %%ymm1; vmovdqu %%ymm1, (%0); vzeroupper", : MEM(b + 4085) : "rax", "xmm1", "memory");
}

OP(fld80) { X("fninit; fldt (%0); fstpt (%1)", : MEM(b + 64), "r"(o) : "memory"); }
OP(fstp80) { X("fninit; fldpi; fstpt (%0)", : MEM(b + 64) : "memory"); }
/* With one of its halves across pages, TCG (QEMU 10.0, access_ptr()) writes to the page that is next in the
   emulated machine's memory. */
OP(fstp80_cross) { X("fninit; fldpi; fstpt (%0)", : MEM(b + 4088) : "memory"); }
/* The first has to be popped once. */
OP(fstp80_twice) { X("fninit; fldpi; fld1; fstpt (%0); fstpt 16(%0)", : MEM(b + 64) : "memory"); }
OP(fild) { X("fninit; fildll (%0); fistpll (%1)", : MEM(b + 64), "r"(o) : "memory"); }
OP(fst64) { X("fninit; fldpi; fstl (%0); fninit", : MEM(b + 64) : "memory"); }
OP(fnstcw) { X("fninit; fnstcw (%0)", : MEM(b + 64) : "memory"); }
OP(fnstenv) { X("fninit; fnstenv (%0)", : MEM(b + 64) : "memory"); }
OP(fnsave) { X("fninit; fldpi; fnsave (%0); fninit", : MEM(b + 64) : "memory"); }
OP(stmxcsr) { X("stmxcsr (%0)", : MEM(b + 64) : "memory"); }
/* What is loaded has been made by the same instructions before: by dom0 in the files, see instructions.py. */
#define STATE 1024
OP(fldenv) { X("fldenv (%0); fnstcw (%1); fninit", : MEM(b + STATE), "r"(o) : "memory"); }
OP(ldmxcsr)
{
    uint32_t old;

    X("stmxcsr %0", "=m"(old) :);
    X("ldmxcsr (%0); stmxcsr (%1)", : MEM(b + STATE + 24), "r"(o) : "memory");
    X("ldmxcsr %0", : "m"(old));
}
OP(fxsave) { X("fninit; fldpi; " XMM1 "fxsave64 (%0); fninit", : MEM(b + 1536) : "rax", "xmm1", "memory"); }
OP(fxsave_cross) { X("fninit; fldpi; " XMM1 "fxsave64 (%0); fninit", : MEM(b + 4096 - 48) : "rax", "xmm1", "memory"); }
OP(fxrstor)
{
    X("fxrstor64 (%0); movups %%xmm3, (%1); fstpt 16(%1); fnstcw 32(%1); fninit", : MEM(b + STATE), "r"(o)
      : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
OP(xsave)
{
    X("fninit; fldpi; " XMM1 "mov $3, %%eax; xor %%edx, %%edx; xsave64 (%0); fninit", : MEM(b + 1536)
      : "rax", "rdx", "xmm1", "memory");
}
OP(xrstor)
{
    X("mov $3, %%eax; xor %%edx, %%edx; xrstor64 (%0); movups %%xmm3, (%1); fninit", : MEM(b + STATE), "r"(o)
      : "rax", "rdx", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static void string(const char *what, uint8_t *to, const void *from, size_t n, uint64_t *o)
{
    uint64_t a = 0x1122334455667788;

#define STRING(name, text) if (!strcmp(what, name)) X(text "; cld", "+D"(to), "+S"(from), "+c"(n), "+a"(a) : : "memory", "cc")
    STRING("movsb", "cld; rep movsb");
    STRING("movsq", "cld; rep movsq");
    STRING("movsb_back", "std; rep movsb");
    STRING("movsq_back", "std; rep movsq");
    STRING("stosb", "cld; rep stosb");
    STRING("stosq", "cld; rep stosq");
    STRING("stosq_back", "std; rep stosq");
    STRING("lodsb", "cld; rep lodsb");
    STRING("scasb", "cld; repne scasb");
    STRING("cmpsb", "cld; repe cmpsb");
    o[0] = n;
    o[1] = a;
}

static const uint8_t text[SLOT] =
    "a text to be copied, which goes on for a while, so that each of its bytes is another one: 0123456789 ABCDEFGHIJKLM";
static uint8_t into[SLOT];

static void from_there(const char *what, const uint8_t *from, size_t n, uint64_t *o, size_t at)
{
    memset(into, 0, sizeof(into));
    string(what, into + at, from, n, o);
    for (size_t i = 0; i < sizeof(into); i++)
        o[2] = o[2] * 31 + into[i];
}

OP(movsb) { string("movsb", b + 65, text, 100, o); }
OP(movsb_cross) { string("movsb", b + 3000, text, 3000, o); }
OP(movsb_back) { string("movsb_back", b + 4200, text + 199, 200, o); }
OP(movsq) { string("movsq", b + 64, text, 12, o); }
OP(movsq_cross) { string("movsq", b + 4003, text, 20, o); }
OP(movsq_back) { string("movsq_back", b + 4164, text + 88, 12, o); }
OP(stosb) { string("stosb", b + 65, text, 100, o); }
OP(stosb_cross) { string("stosb", b + 3000, text, 3000, o); }
OP(stosq) { string("stosq", b + 64, text, 12, o); }
OP(stosq_back) { string("stosq_back", b + 4164, text, 12, o); }
OP(movsb_from) { from_there("movsb", b + 3000, 3000, o, 1); }
OP(movsq_from) { from_there("movsq", b + 64, 12, o, 3); }
OP(movsb_from_back) { from_there("movsb_back", b + 4200, 200, o, 500); }
OP(movsb_within) { string("movsb", b + 2048, b + 64, 100, o); }
OP(movsb_overlap) { string("movsb", b + 67, b + 64, 100, o); }
OP(lodsb) { string("lodsb", NULL, b + 64, 10, o); }
OP(scasb) { string("scasb", b + 64, NULL, 30, o); }
OP(cmpsb) { string("cmpsb", b + 64, text, 10, o); }

#define STACK(text, ...) X("mov %%rsp, %%r15; mov %1, %%rsp; " text "; mov %%rsp, %%r14; " \
    "mov %%r15, %%rsp; sub %1, %%r14; mov %%r14, %0", \
    "=&r"(*o) : "r"(b + 4096 + 16), "r"(o), ##__VA_ARGS__ : "r12", "r13", "r14", "r15", "memory", "cc")
OP(push) { STACK("push $0x1234567; push %%rbx"); }
OP(pop) { STACK("pop %%r12; mov %%r12, 8(%2)"); }
OP(pop_there) { STACK("sub $64, %%rsp; pop 16(%%rsp)"); }
OP(push_pop) { STACK("push %3; push %%r15; pop %%r13; pop %%r12; mov %%r12, 8(%2)", "r"(0x5a5a5a5aLL)); o[0] = 0; }
OP(pushf) { STACK("xor %%r12, %%r12; pushf"); }
OP(call) { STACK("call 1f; 1:"); }
OP(call_ret) { STACK("call 1f; jmp 2f; 1: movq $77, 8(%2); ret; 2:"); }
OP(enter) { STACK("mov %%rbp, %%r12; enter $32, $0; mov %%r12, %%rbp"); }
OP(enter_leave) { STACK("enter $32, $0; push $5; leave"); }
OP(exec) { X("call *%1", "=a"(*o) : "r"((b == other ? other : code + (b - bar)) + CODE) : "memory", "cc"); }

#define W 1     /* makes no sense where writes are dropped */
#define AVX 2
#define XSAVE 4

static const struct {
    const char *name;
    op *op;
    int flags;
} ops[] = {
#define _(name, ...) { #name, op_##name, 0 __VA_ARGS__ }
    _(load8), _(load16), _(load32), _(load64), _(load_odd), _(load_cross),
    _(store8), _(store16), _(store32), _(store64), _(store_odd), _(store_cross),
    _(add), _(not), _(shl), _(bt), _(btc), _(bsf),
    _(lock_add), _(lock_add_cross), _(lock_btc), _(lock_xadd), _(xchg), _(cmpxchg), _(cmpxchg_not), _(cmpxchg8b),
    _(cmpxchg16b), _(cmpxchg16b_not),
    _(movaps_load), _(movups_load_cross), _(movaps_store), _(movups_store), _(movups_store_cross), _(movhps_store), _(paddd),
    _(movnti), _(movntdq), _(maskmovdqu), _(avx_load, | AVX), _(avx_store, | AVX), _(avx_store_cross, | AVX),
    _(fld80), _(fstp80), _(fstp80_cross), _(fstp80_twice), _(fild), _(fst64), _(fnstcw),
    _(fnstenv), _(fnsave), _(fldenv), _(stmxcsr), _(ldmxcsr),
    _(fxsave), _(fxsave_cross), _(fxrstor), _(xsave, | XSAVE), _(xrstor, | XSAVE),
    _(movsb), _(movsb_cross), _(movsb_back), _(movsq), _(movsq_cross), _(movsq_back),
    _(stosb), _(stosb_cross), _(stosq), _(stosq_back),
    _(movsb_from), _(movsq_from), _(movsb_from_back), _(movsb_within), _(movsb_overlap, | W), _(lodsb), _(scasb), _(cmpsb),
    _(push), _(pop), _(pop_there), _(push_pop, | W), _(pushf), _(call), _(call_ret, | W), _(enter), _(enter_leave, | W), _(exec),
};
#define OPS (sizeof(ops) / sizeof(*ops))

/* What each slot has in the beginning; dom0 writes the same into the file. */
static void words(uint8_t *slot, size_t offset)
{
    static const uint8_t code[] = { 0xb8, 0x34, 0x12, 0, 0, 0xc3 };
    uint8_t *state = slot + STATE;

    for (size_t i = 0; i < SLOT; i += 8) {
        uint64_t word = (offset + i) * 0x9e3779b97f4a7c15ULL + 0x123456789abcdefULL;

        memcpy(slot + i, &word, 8);
    }
    memcpy(slot + CODE, code, sizeof(code));
    /* for FXRSTOR, XRSTOR, FLDENV: FCW, no exceptions pending, MXCSR, and a header that says that there is x87 and SSE state */
    memset(state, 0, 32);
    state[0] = 0x7f, state[1] = 2;
    state[24] = 0x80, state[25] = 0x3f;
    memset(state + 512, 0, 64);
    state[512] = 3;
}

static void caught(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    /* 0 would be taken for 1 */
    siglongjmp(env, 1 + ((ucontext_t *)context)->uc_mcontext.gregs[REG_TRAPNO]);
}

/* What it was ended by, NULL if by nothing. */
static const char *attempt(op *run, uint8_t *slot, uint64_t *o)
{
    static char number[16];
    int trap = sigsetjmp(env, 1) - 1;

    if (trap < 0)
        run(slot, o);
    asm volatile("cld; fninit; ldmxcsr %0" : : "m"((uint32_t){ 0x1f80 }));
    switch (trap) {
    case -1: return NULL;
    case 6: return "#UD";
    case 13: return "#GP";
    case 14: return "#PF";
    case 17: return "#AC";
    case 18: return "#MC";
    }
    snprintf(number, sizeof(number), "#%d", trap);
    return number;
}

static int have(int flags)
{
    unsigned int a, b, c = 0, d;

    __get_cpuid(1, &a, &b, &c, &d);
    return (!(flags & AVX) || (c & (1U << 28))) && (!(flags & XSAVE) || (c & (1U << 27)));
}

/*
 * What may or may not have been written: where the last x87 instruction and its operand were, which AMD's processors do not restore
 * when the state is switched, and what is reserved, or software's.
 */
static void forgive(const char *name, const uint8_t *before, uint8_t *after)
{
    size_t at = strstr(name, "cross") ? 4096 - 48 : 1536;

    if (!strcmp(name, "fnstenv") || !strcmp(name, "fnsave")) {
        memcpy(after + 64 + 12, before + 64 + 12, 16);
    } else if (strstr(name, "xsave")) {
        memcpy(after + at + 6, before + at + 6, 18);
        memcpy(after + at + 416, before + at + 416, 96);
    }
}

static const char *difference(const char *what, size_t number, uint64_t expected, uint64_t found)
{
    static char text[99];

    snprintf(text, sizeof(text), "differs:%s-%zu-%#llx-not-%#llx", what, number,
             (unsigned long long)found, (unsigned long long)expected);
    return text;
}

static const char *judge(size_t n, size_t offset)
{
    static uint8_t before[SLOT], there[SLOT];
    static uint64_t expected[512], registers[512];
    const char *end;

    if (!have(ops[n].flags) || (ops[n].op == op_exec && code == MAP_FAILED))
        return "none";
    memset(expected, 0, sizeof(expected));
    memset(registers, 0, sizeof(registers));
    words(before, offset);
    words(other, offset);
    if (attempt(ops[n].op, other, expected))
        return "broken";
    end = attempt(ops[n].op, bar + offset, registers);
    if (end)
        return end;
    string("movsq", there, bar + offset, SLOT / 8, registers + 500);
    registers[500] = registers[501] = 0;
    forgive(ops[n].name, before, other);
    forgive(ops[n].name, before, there);
    for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
        if (expected[i] != registers[i])
            return difference("register", i, expected[i], registers[i]);
    if (!memcmp(there, other, SLOT))
        return "same";
    if (!memcmp(there, before, SLOT))
        return "dropped";
    for (size_t i = 0; ; i++)
        if (there[i] != other[i])
            return difference("byte", i, other[i], there[i]);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static int measure(const char *what, size_t n)
{
    static uint8_t from[1 << 20];
    uint64_t o[2], start;

    if (n > sizeof(from) || n > size)
        return 2;
    memset(from, 1, sizeof(from));
    start = now_us();
    if (!strcmp(what, "bytes"))
        for (size_t i = 0; i < n; i++)
            ((volatile uint8_t *)bar)[i] = 5;
    else
        string(what, bar, from, strchr(what, 'q') ? n / 8 : n, o);
    printf("%llu\n", (unsigned long long)(now_us() - start));
    return 0;
}

int main(int argc, char **argv)
{
    static uint8_t alternate[65536];
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
    struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    uint64_t address;
    size_t offset;

    if (argc == 2 && !strcmp(argv[1], "list")) {
        for (size_t n = 0; n < OPS; n++)
            printf("%s%s\n", ops[n].name, ops[n].flags & W ? " w" : "");
        return 0;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: insn list | run SLOT NAME... | time NAME BYTES\n");
        return 2;
    }
    bar = ivshmem_map(0, &size, &address);
    code = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, open("/dev/mem", O_RDWR | O_SYNC), address);
    if (!strcmp(argv[1], "time"))
        return measure(argv[2], strtoul(argv[3], NULL, 0));
    mprotect(other, sizeof(other), PROT_READ | PROT_WRITE | PROT_EXEC);
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    offset = strtoul(argv[2], NULL, 0) * SLOT;
    for (int i = 3; i < argc; i++, offset += SLOT) {
        size_t n;

        for (n = 0; n < OPS && strcmp(ops[n].name, argv[i]); n++)
            ;
        if (n == OPS || offset + SLOT > size)
            errx(2, "no '%s', or no room for it", argv[i]);
        printf("%s %s\n", argv[i], judge(n, offset));
        fflush(stdout);
    }
    return 0;
}
