/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A picture by OpenGL ES without a window, in a guest by virgl and in dom0 by what virglrenderer draws with.
 *
 *   gl W H F     draws it into the file F, as a PPM; prints the driver's name and a hash
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <epoxy/egl.h>
#include <epoxy/gl.h>

static void die(const char *what, int error)
{
    printf("failed: %s: 0x%x\n", what, error);
    exit(1);
}

static GLuint shader(GLenum kind, const char *text)
{
    GLuint it = glCreateShader(kind);
    GLint good;

    glShaderSource(it, 1, &text, NULL);
    glCompileShader(it);
    glGetShaderiv(it, GL_COMPILE_STATUS, &good);
    if (!good)
        die("shader", kind);
    return it;
}

int main(int argc, char **argv)
{
    static const EGLint wanted[] = { EGL_SURFACE_TYPE, 0, EGL_RENDERABLE_TYPE, EGL_OPENGL_ES2_BIT, EGL_NONE };
    static const EGLint version[] = { EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE };
    static const GLfloat corners[] = { 0, 0.8, 0.8, -0.7, -0.8, -0.7 };
    static const GLfloat colours[] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 };
    static const uint8_t board[16] = { 255, 255, 255, 255, 96, 96, 96, 255, 96, 96, 96, 255, 255, 255, 255, 255 };
    int width = argc == 4 ? atoi(argv[1]) : 0, height = argc == 4 ? atoi(argv[2]) : 0;
    EGLDisplay display = eglGetPlatformDisplayEXT(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
    uint8_t *pixel = malloc((size_t)width * height * 4 + 1);
    uint64_t sum = 0xcbf29ce484222325;
    GLuint program, frame, texture[2];
    EGLContext context;
    EGLConfig config;
    EGLint count;
    FILE *ppm;

    if (!width || !height || !pixel)
        return 64;
    if (!eglInitialize(display, NULL, NULL) || !eglChooseConfig(display, wanted, &config, 1, &count) || !count)
        die("EGL", eglGetError());
    eglBindAPI(EGL_OPENGL_ES_API);
    context = eglCreateContext(display, config, EGL_NO_CONTEXT, version);
    if (!context || !eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context))
        die("context", eglGetError());
    printf("driver %s\n", glGetString(GL_RENDERER));

    program = glCreateProgram();
    glAttachShader(program, shader(GL_VERTEX_SHADER,
        "attribute vec2 corner; attribute vec3 colour; varying vec3 hue; varying vec2 place;"
        "void main() { gl_Position = vec4(corner, 0.0, 1.0); hue = colour; place = corner; }"));
    glAttachShader(program, shader(GL_FRAGMENT_SHADER,
        "precision highp float; varying vec3 hue; varying vec2 place; uniform sampler2D board;"
        "void main() { gl_FragColor = vec4(hue, 1.0) * texture2D(board, place * 4.0); }"));
    glBindAttribLocation(program, 0, "corner");
    glBindAttribLocation(program, 1, "colour");
    glLinkProgram(program);
    glUseProgram(program);

    glGenTextures(2, texture);
    glGenFramebuffers(1, &frame);
    glBindTexture(GL_TEXTURE_2D, texture[0]);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, NULL);
    glBindFramebuffer(GL_FRAMEBUFFER, frame);
    glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture[0], 0);
    if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE)
        die("framebuffer", glGetError());
    glBindTexture(GL_TEXTURE_2D, texture[1]);
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 2, 2, 0, GL_RGBA, GL_UNSIGNED_BYTE, board);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);

    glViewport(0, 0, width, height);
    glClearColor(0.2, 0.2, 0.4, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, corners);
    glVertexAttribPointer(1, 3, GL_FLOAT, GL_FALSE, 0, colours);
    glEnableVertexAttribArray(0);
    glEnableVertexAttribArray(1);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, pixel);
    if (glGetError())
        die("drawing", glGetError());

    for (int i = 0; i < width * height * 4; i++)
        sum = (sum ^ pixel[i]) * 0x100000001b3;
    ppm = fopen(argv[3], "w");
    if (!ppm)
        die(argv[3], 0);
    fprintf(ppm, "P6\n%u %u\n255\n", width, height);
    for (int i = 0; i < width * height; i++)
        fwrite(pixel + i * 4, 3, 1, ppm);
    if (fclose(ppm))
        die(argv[3], 0);
    printf("gl %dx%d hash %016lx\n", width, height, sum);
    return 0;
}
