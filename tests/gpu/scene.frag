#version 450
// SPDX-License-Identifier: GPL-2.0-or-later
// three balls on a chequered floor, by one ray and one shadow ray per pixel
layout(location = 0) in vec3 colour;
layout(location = 0) out vec4 pixel;

const vec4 balls[3] = vec4[](vec4(-1.3, 0.0, 4.6, 1.0), vec4(1.0, -0.35, 3.8, 0.65), vec4(0.5, 0.3, 6.4, 1.3));
const vec3 hue[3] = vec3[](vec3(0.9, 0.25, 0.2), vec3(0.2, 0.5, 0.95), vec3(0.95, 0.8, 0.3));
const vec3 sun = vec3(0.50709255, 0.76063883, -0.40567404);

float hit(vec4 ball, vec3 from, vec3 way)
{
    vec3 off = from - ball.xyz;
    float b = dot(off, way);
    float root = b * b - dot(off, off) + ball.w * ball.w;

    return root < 0.0 ? -1.0 : -b - sqrt(root);
}

void main()
{
    vec3 way = normalize(vec3(colour.x, -colour.y, 1.6));
    vec3 from = vec3(0, 0.3, 0);
    vec3 light = mix(vec3(0.75, 0.85, 1.0), vec3(0.25, 0.45, 0.85), clamp(way.y * 1.5, 0.0, 1.0));
    float best = 1e9;
    vec3 normal = vec3(0, 1, 0);

    if (way.y < 0.0) {
        best = (-1.0 - from.y) / way.y;
        vec3 at = from + way * best;
        bool odd = mod(floor(at.x) + floor(at.z), 2.0) > 0.5;
        light = mix(odd ? vec3(0.85) : vec3(0.2), light, clamp(best / 30.0, 0.0, 1.0));
    }
    for (int i = 0; i < 3; i++) {
        float far = hit(balls[i], from, way);
        if (far > 0.0 && far < best) {
            best = far;
            normal = normalize(from + way * far - balls[i].xyz);
            light = hue[i];
        }
    }
    if (best < 1e8) {
        vec3 at = from + way * best + normal * 0.001;
        float lit = max(dot(normal, sun), 0.0);

        for (int i = 0; i < 3; i++)
            if (hit(balls[i], at, sun) > 0.0)
                lit = 0.0;
        light *= 0.25 + 0.75 * lit;
        light += pow(max(dot(reflect(way, normal), sun), 0.0), 40.0) * step(0.001, lit);
    }
    pixel = vec4(light, 1);
}
