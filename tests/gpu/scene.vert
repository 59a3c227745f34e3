#version 450
// SPDX-License-Identifier: GPL-2.0-or-later
// one triangle that covers the picture
layout(location = 0) out vec3 colour;

void main()
{
    vec2 at = vec2(gl_VertexIndex == 1 ? 3 : -1, gl_VertexIndex == 2 ? 3 : -1);

    gl_Position = vec4(at, 0, 1);
    colour = vec3(at, 0);
}
