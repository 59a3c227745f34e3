// SPDX-License-Identifier: GPL-2.0-or-later
/* touch GFN PAGES STRIDE [VALUE]: read the first word of every STRIDEth page, or write VALUE there.
   Prints the sum of what was read. */
#include "ring0.h"

int touch(int argc, char **argv)
{
    unsigned long gfn, pages, stride, sum = 0;

    if (argc < 4)
        return 2;
    gfn = number(argv[1]);
    pages = number(argv[2]);
    stride = number(argv[3]);
    for (unsigned long page = 0; page < pages; page += stride) {
        volatile uint64_t *word = AT(gfn + page);

        if (argc > 4)
            *word = number(argv[4]);
        else
            sum += *word;
    }
    print("%lu\n", sum);
    return 0;
}
