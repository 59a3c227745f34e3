// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vbe: puts the graphics card of Bochs into a mode of 640 by 480 pixels of 8 bits, which is all that a display on a terminal bears.
 * Without a graphics mode the BAR that should have its memory has nothing.
 */
#include <stdio.h>
#include <sys/io.h>

int main(void)
{
    static const unsigned short registers[][2] = { { 4, 0 }, { 1, 640 }, { 2, 480 }, { 3, 8 }, { 4, 0x41 } };

    if (iopl(3)) {
        perror("iopl");
        return 1;
    }
    for (unsigned i = 0; i < sizeof(registers) / sizeof(*registers); i++) {
        outw(registers[i][0], 0x1ce);
        outw(registers[i][1], 0x1cf);
    }
    return 0;
}
