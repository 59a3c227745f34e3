#version 450
// SPDX-License-Identifier: GPL-2.0-or-later
// each word becomes another, which depends on its place
layout(local_size_x = 64) in;
layout(binding = 0) buffer Words { uint word[]; };

void main()
{
    uint at = gl_GlobalInvocationID.x;

    word[at] = (word[at] * 1664525u + 1013904223u) ^ at;
}
