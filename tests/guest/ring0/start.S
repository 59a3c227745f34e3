/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry from Xen (PVH: 32 bits, no paging), the way to 64 bits with the first 8 GiB mapped as they are, exceptions, and
 * attempt(): a call that an exception may end.
 */
#define CODE 0x08
#define DATA 0x10
#define TSS  0x18

        .section .note.Xen, "a", @note
        .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .long start

        .text
        .code32
        .globl start
start:  cld
        movl    $stack_end, %esp
        movl    $pd, %edi               /* 8192 entries of 2 MiB, in 16 tables */
        movl    $0x87, %eax
        xorl    %ebx, %ebx
1:      movl    %eax, (%edi)
        movl    %ebx, 4(%edi)
        addl    $8, %edi
        addl    $0x200000, %eax
        adcl    $0, %ebx
        cmpl    $pd + 0x10000, %edi
        jne     1b
        movl    $pdpt, %edi
        movl    $pd + 7, %eax
2:      movl    %eax, (%edi)
        addl    $8, %edi
        addl    $0x1000, %eax
        cmpl    $pdpt + 128, %edi
        jne     2b
        movl    $pdpt + 7, pml4
        movl    $pml4, %eax
        movl    %eax, %cr3
        movl    $0x6e0, %eax            /* PAE, MCE, PGE, OSFXSR, OSXMMEXCPT */
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx
        rdmsr
        orl     $0x100, %eax            /* LME */
        wrmsr
        movl    $0x80010033, %eax       /* PG, WP, NE, ET, MP, PE */
        movl    %eax, %cr0
        lgdt    gdtr
        ljmp    $CODE, $3f
        .code64
3:      movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movq    $stack_end, %rsp
        call    main
        ud2

        /* Where other vCPUs begin; %rdi and %rsi are as whoever started them wanted, and so is the stack. */
        .globl start_vcpu
start_vcpu:
        lgdt    gdtr
        lidt    idtr
        pushq   $CODE
        pushq   $4f
        lretq
4:      movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movq    %rdi, %rax
        movq    %rsi, %rdi
        call    *%rax
5:      hlt
        jmp     5b

        /* long attempt(long (*fn)(unsigned long), unsigned long arg): -1000 - vector if it took an exception */
        .globl attempt
attempt:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, attempt_sp
        movq    %rdi, %rax
        movq    %rsi, %rdi
        call    *%rax
6:      movq    $0, attempt_sp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret

        /* A stub of 16 bytes per vector; the error code is not looked at. */
        .balign 16
        .globl stubs
stubs:
        .set    vector, 0
        .rept   32
        .balign 16
        pushq   $vector
        jmp     exception
        .set    vector, vector + 1
        .endr

exception:
        cmpq    $3, (%rsp)              /* int3 is for trying whether exceptions arrive */
        jne     7f
        incq    breakpoints
        addq    $8, %rsp
        iretq
7:      popq    %rax
        movq    attempt_sp, %rcx
        testq   %rcx, %rcx
        jz      8f
        movq    %rcx, %rsp
        lgdt    gdtr
        lidt    idtr
        movl    $DATA, %ecx
        movl    %ecx, %ss
        movq    $pml4, %rcx
        movq    %rcx, %cr3
        negq    %rax
        subq    $1000, %rax
        pushq   $CODE
        pushq   $6b
        lretq
8:      movq    %rax, %rdi
        movq    (%rsp), %rsi
        movq    8(%rsp), %rdx
        jmp     lost

        .data
        .balign 8
        .globl  attempt_sp, breakpoints, gdt, gdtr, idtr
attempt_sp: .quad 0
breakpoints: .quad 0
gdt:    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0
gdt_end:
gdtr:   .word gdt_end - gdt - 1
        .quad gdt
idtr:   .word 256 * 16 - 1
        .quad idt

        .bss
        .balign 4096
        .globl pml4, idt, hypercall_page
pml4:   .skip 4096
pdpt:   .skip 4096
pd:     .skip 16 * 4096
idt:    .skip 4096
hypercall_page: .skip 4096
        .skip 16384
stack_end:
        .section .note.GNU-stack, "", @progbits
