#version 450
// SPDX-License-Identifier: GPL-2.0-or-later
layout(location = 0) out vec3 colour;

void main()
{
    const vec2 at[3] = vec2[](vec2(0.0, -0.8), vec2(0.8, 0.7), vec2(-0.8, 0.7));
    const vec3 hue[3] = vec3[](vec3(1, 0, 0), vec3(0, 1, 0), vec3(0, 0, 1));

    gl_Position = vec4(at[gl_VertexIndex], 0, 1);
    colour = hue[gl_VertexIndex];
}
