// SPDX-License-Identifier: GPL-2.0-or-later
/* touch GFN PAGES STRIDE [VALUE]: read the first word of every STRIDEth page, or write VALUE there. STRIDE -N: the same, but from
   the last to the first; STRIDE random: every page in some order, of a number of pages that is a power of two.
   Prints the sum of what was read. */
#include "ring0.h"

/* The page after this one, in any order: a full cycle for powers of two. */
static unsigned long other(unsigned long page, unsigned long pages)
{
    page = (page * 1664525 + 1013904223) & 0xffffffff;
    return page & (pages - 1);
}

int touch(int argc, char **argv)
{
    unsigned long gfn, pages, stride, count, page, sum = 0;
    bool back, random;

    if (argc < 4)
        return 2;
    gfn = number(argv[1]);
    pages = number(argv[2]);
    random = argv[3][0] == 'r';
    back = argv[3][0] == '-';
    stride = random ? 1 : number(argv[3] + back);
    count = (pages + stride - 1) / stride;
    page = back ? (count - 1) * stride : 0;
    while (count--) {
        volatile uint64_t *word = AT(gfn + page);

        if (argc > 4)
            *word = number(argv[4]);
        else
            sum += *word;
        page = random ? other(page, pages) : back ? page - stride : page + stride;
    }
    print("%lu\n", sum);
    return 0;
}
