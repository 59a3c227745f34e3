/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small cases of Vulkan, by subject: memory, buffers, images, drawing, computing, synchronization. Each prints "case NAME HASH" of
 * the bytes that it made, which are the same whichever driver does it; where it is known what they have to be, they are compared,
 * and "case NAME WRONG ..." is what comes out if they are others.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vk.h"
#include "compute_comp.h"
#include "triangle_frag.h"
#include "triangle_vert.h"

struct one;

/* what a case does; which of these count is up to it */
struct how {
    uint64_t size, offset, count;
    VkFormat format, other;
    VkFilter filter;
    VkImageType kind;
    uint32_t texel, layers, levels;
    VkSampleCountFlagBits samples;
    VkPrimitiveTopology topology;
    VkCullModeFlags cull;
    VkColorComponentFlags without;
    int blend, scissor, port, load;
};

static int wrongs;
static const char *name;

static void wrong(const char *why)
{
    printf("case %s WRONG %s\n", name, why);
    wrongs++;
}

static void made(const void *data, size_t size)
{
    printf("case %s %016lx\n", name, hash(data, size));
}

/* Bytes that differ from place to place and from seed to seed. */
static void fill_in(void *to, size_t size, uint32_t seed)
{
    uint8_t *byte = to;

    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        byte[i] = seed >> 24;
    }
}

static bool filled_in(const void *at, size_t size, uint32_t seed)
{
    uint8_t *same = malloc(size);
    bool yes;

    fill_in(same, size, seed);
    yes = !memcmp(same, at, size);
    free(same);
    return yes;
}

static void no_buffer(struct buffer b)
{
    vkDestroyBuffer(dev, b.it, NULL);
    vkFreeMemory(dev, b.memory, NULL);
}

static void between(VkCommandBuffer commands)
{
    VkMemoryBarrier all = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                            .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT };

    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1, &all, 0, NULL, 0,
                         NULL);
}

/* memory */

static void memory_mapped(const struct how *how)
{
    VkDeviceMemory memory;
    void *at;

    MUST(try_allocate(how->size, type_with(~0u, MAPPED), &memory));
    MUST(vkMapMemory(dev, memory, how->offset, VK_WHOLE_SIZE, 0, &at));
    fill_in(at, how->size - how->offset, how->size);
    vkUnmapMemory(dev, memory);
    MUST(vkMapMemory(dev, memory, 0, how->size, 0, &at));
    if (!filled_in((uint8_t *)at + how->offset, how->size - how->offset, how->size))
        wrong("other bytes when mapped again");
    made((uint8_t *)at + how->offset, how->size - how->offset);
    vkFreeMemory(dev, memory, NULL);
}

static void memory_cached(const struct how *how)
{
    uint32_t type = type_with(~0u, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
    VkMappedMemoryRange range = { .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, .size = VK_WHOLE_SIZE };
    void *at;

    MUST(try_allocate(how->size, type, &range.memory));
    MUST(vkMapMemory(dev, range.memory, 0, VK_WHOLE_SIZE, 0, &at));
    fill_in(at, how->size, 3);
    MUST(vkFlushMappedMemoryRanges(dev, 1, &range));
    MUST(vkInvalidateMappedMemoryRanges(dev, 1, &range));
    made(at, how->size);
    vkFreeMemory(dev, range.memory, NULL);
}

/* One piece of memory, several buffers in it. */
static void memory_shared(const struct how *how)
{
    VkBufferCreateInfo wanted = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = how->size,
                                  .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT };
    VkMemoryRequirements needs;
    VkDeviceMemory memory;
    VkBuffer part[4];
    uint64_t step;
    void *at;

    for (int i = 0; i < 4; i++)
        MUST(vkCreateBuffer(dev, &wanted, NULL, &part[i]));
    vkGetBufferMemoryRequirements(dev, part[0], &needs);
    step = (needs.size + needs.alignment - 1) / needs.alignment * needs.alignment;
    MUST(try_allocate(4 * step, type_with(needs.memoryTypeBits, MAPPED), &memory));
    MUST(vkMapMemory(dev, memory, 0, VK_WHOLE_SIZE, 0, &at));
    memset(at, 0, 4 * step);
    VkCommandBuffer commands = begin();
    for (int i = 0; i < 4; i++) {
        MUST(vkBindBufferMemory(dev, part[i], memory, i * step));
        vkCmdFillBuffer(commands, part[i], 0, how->size, 0x01010101 * (i + 1));
    }
    to_host(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    finish(commands);
    for (int i = 0; i < 4; i++) {
        for (uint64_t j = 0; j < how->size; j++)
            if (((uint8_t *)at)[i * step + j] != i + 1)
                return wrong("a neighbour's byte");
        vkDestroyBuffer(dev, part[i], NULL);
    }
    made(at, how->size);
    vkFreeMemory(dev, memory, NULL);
}

/* buffers */

static void buffer_fill(const struct how *how)
{
    struct buffer b = buffer(how->size, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    VkCommandBuffer commands = begin();
    uint64_t end = how->count ? how->offset + how->count : how->size / 4 * 4;

    memset(b.at, 0x11, how->size);
    vkCmdFillBuffer(commands, b.it, how->offset, how->count ? how->count : VK_WHOLE_SIZE, 0xa5a5a5a5);
    to_host(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    finish(commands);
    for (uint64_t i = 0; i < how->size; i++)
        if (((uint8_t *)b.at)[i] != (i >= how->offset && i < end ? 0xa5 : 0x11))
            return wrong("a byte");
    made(b.at, how->size);
    no_buffer(b);
}

static void buffer_update(const struct how *how)
{
    struct buffer b = buffer(how->size, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    VkCommandBuffer commands = begin();
    uint8_t data[65536];

    memset(b.at, 0x11, how->size);
    fill_in(data, how->count, 5);
    vkCmdUpdateBuffer(commands, b.it, how->offset, how->count, data);
    to_host(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    finish(commands);
    if (!filled_in((uint8_t *)b.at + how->offset, how->count, 5))
        wrong("other bytes");
    made(b.at, how->size);
    no_buffer(b);
}

static void buffer_copy(const struct how *how)
{
    struct buffer from = buffer(how->size, VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
    struct buffer to = buffer(how->size, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    uint64_t count = how->count ? how->count : 1, each = (how->size - how->offset) / count;
    VkBufferCopy part[16];
    VkCommandBuffer commands = begin();

    fill_in(from.at, how->size, 6);
    memset(to.at, 0, how->size);
    /* the last piece to the first place, and so on */
    for (uint64_t i = 0; i < count; i++)
        part[i] = (VkBufferCopy){ how->offset + i * each, how->offset + (count - 1 - i) * each, each };
    vkCmdCopyBuffer(commands, from.it, to.it, count, part);
    to_host(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    finish(commands);
    for (uint64_t i = 0; i < count; i++)
        if (memcmp((uint8_t *)from.at + part[i].srcOffset, (uint8_t *)to.at + part[i].dstOffset, each))
            return wrong("a piece");
    made(to.at, how->size);
    no_buffer(from);
    no_buffer(to);
}

/* images */

#define SIDE 64

struct image {
    VkImage it;
    VkDeviceMemory memory;
    VkFormat format;
    VkImageAspectFlags aspect;
    VkExtent3D extent;
    uint32_t layers, levels;
};

static VkExtent3D extent_of(VkImageType kind)
{
    return (VkExtent3D){ SIDE, kind == VK_IMAGE_TYPE_1D ? 1 : SIDE, kind == VK_IMAGE_TYPE_3D ? 8 : 1 };
}

static struct image image(const struct how *how, VkFormat format, VkSampleCountFlagBits samples, VkImageUsageFlags usage)
{
    struct image i = { .format = format, .extent = extent_of(how->kind), .layers = how->layers ? how->layers : 1,
                       .levels = how->levels ? how->levels : 1,
                       .aspect = format == VK_FORMAT_D32_SFLOAT || format == VK_FORMAT_D16_UNORM ? VK_IMAGE_ASPECT_DEPTH_BIT
                                                                                                 : VK_IMAGE_ASPECT_COLOR_BIT };
    VkImageCreateInfo wanted = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO, .imageType = how->kind, .format = format, .extent = i.extent,
        .mipLevels = i.levels, .arrayLayers = i.layers, .samples = samples,
        .usage = usage | VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT };
    VkMemoryRequirements needs;

    MUST(vkCreateImage(dev, &wanted, NULL, &i.it));
    vkGetImageMemoryRequirements(dev, i.it, &needs);
    MUST(try_allocate(needs.size, type_with(needs.memoryTypeBits, 0), &i.memory));
    MUST(vkBindImageMemory(dev, i.it, i.memory, 0));
    return i;
}

static void no_image(struct image i)
{
    vkDestroyImage(dev, i.it, NULL);
    vkFreeMemory(dev, i.memory, NULL);
}

static void to_layout(VkCommandBuffer commands, struct image i, VkImageLayout from, VkImageLayout to)
{
    VkImageMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER, .oldLayout = from, .newLayout = to, .image = i.it,
        .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT, .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
        .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED, .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
        .subresourceRange = { i.aspect, 0, i.levels, 0, i.layers } };

    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 0, NULL, 0, NULL, 1,
                         &barrier);
}

#define GENERAL VK_IMAGE_LAYOUT_GENERAL
#define UNDEFINED VK_IMAGE_LAYOUT_UNDEFINED

static uint64_t bytes_of(struct image i, uint32_t texel, uint32_t level)
{
    return (uint64_t)(i.extent.width >> level) * (i.extent.height >> level ? i.extent.height >> level : 1) * i.extent.depth *
           i.layers * texel;
}

static VkBufferImageCopy all_of(struct image i, uint32_t level)
{
    return (VkBufferImageCopy){
        .imageSubresource = { i.aspect, level, 0, i.layers },
        .imageExtent = { i.extent.width >> level, i.extent.height >> level ? i.extent.height >> level : 1, i.extent.depth } };
}

static void put_in(VkCommandBuffer commands, struct image i, struct buffer from)
{
    VkBufferImageCopy copy = all_of(i, 0);

    to_layout(commands, i, UNDEFINED, GENERAL);
    vkCmdCopyBufferToImage(commands, from.it, i.it, GENERAL, 1, &copy);
    between(commands);
}

/* What is in the image in the end; it goes. */
static void take_out(VkCommandBuffer commands, struct image i, uint32_t level, uint32_t texel, int seed)
{
    uint64_t size = bytes_of(i, texel, level);
    struct buffer out = buffer(size, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    VkBufferImageCopy copy = all_of(i, level);

    memset(out.at, 0, size);
    between(commands);
    vkCmdCopyImageToBuffer(commands, i.it, GENERAL, out.it, 1, &copy);
    to_host(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    finish(commands);
    if (seed && !filled_in(out.at, size, seed))
        wrong("not the bytes that went in");
    made(out.at, size);
    no_buffer(out);
    no_image(i);
}

static void image_through(const struct how *how)
{
    struct image i = image(how, how->format, VK_SAMPLE_COUNT_1_BIT, 0);
    uint64_t size = bytes_of(i, how->texel, 0);
    struct buffer in = buffer(size, VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
    VkCommandBuffer commands = begin();

    fill_in(in.at, size, 8);
    put_in(commands, i, in);
    take_out(commands, i, 0, how->texel, 8);
    no_buffer(in);
}

static void image_clear(const struct how *how)
{
    struct image i = image(how, how->format, VK_SAMPLE_COUNT_1_BIT, 0);
    VkImageSubresourceRange whole = { i.aspect, 0, i.levels, 0, i.layers };
    VkClearColorValue colour = { .float32 = { 0.25, 0.5, 0.75, 1 } };
    VkClearDepthStencilValue depth = { .depth = 0.375 };
    VkCommandBuffer commands = begin();

    to_layout(commands, i, UNDEFINED, GENERAL);
    if (i.aspect == VK_IMAGE_ASPECT_DEPTH_BIT)
        vkCmdClearDepthStencilImage(commands, i.it, GENERAL, &depth, 1, &whole);
    else
        vkCmdClearColorImage(commands, i.it, GENERAL, &colour, 1, &whole);
    take_out(commands, i, i.levels - 1, how->texel, 0);
}

static void image_blit(const struct how *how)
{
    struct image from = image(how, how->format, VK_SAMPLE_COUNT_1_BIT, 0);
    struct image to = image(how, how->other ? how->other : how->format, VK_SAMPLE_COUNT_1_BIT, 0);
    struct buffer in = buffer(bytes_of(from, 4, 0), VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
    VkImageSubresourceRange whole = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 };
    VkImageBlit blit = { { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 }, { { 8, 8, 0 }, { 40, 40, 1 } },
                         { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 }, { { 0, 0, 0 }, { SIDE, 48, 1 } } };
    VkCommandBuffer commands = begin();
    VkClearColorValue none = { 0 };

    fill_in(in.at, bytes_of(from, 4, 0), 9);
    put_in(commands, from, in);
    to_layout(commands, to, UNDEFINED, GENERAL);
    vkCmdClearColorImage(commands, to.it, GENERAL, &none, 1, &whole);
    between(commands);
    vkCmdBlitImage(commands, from.it, GENERAL, to.it, GENERAL, 1, &blit, how->filter);
    take_out(commands, to, 0, 4, 0);
    no_image(from);
    no_buffer(in);
}

static void image_copy(const struct how *how)
{
    struct image from = image(how, how->format, VK_SAMPLE_COUNT_1_BIT, 0);
    struct image to = image(how, how->other ? how->other : how->format, VK_SAMPLE_COUNT_1_BIT, 0);
    struct buffer in = buffer(bytes_of(from, how->texel, 0), VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
    VkImageCopy copy = { .srcSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 },
                         .dstSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 }, .extent = { SIDE, SIDE, 1 } };
    VkCommandBuffer commands = begin();

    fill_in(in.at, bytes_of(from, how->texel, 0), 10);
    put_in(commands, from, in);
    to_layout(commands, to, UNDEFINED, GENERAL);
    vkCmdCopyImage(commands, from.it, GENERAL, to.it, GENERAL, 1, &copy);
    take_out(commands, to, 0, how->texel, 10);
    no_image(from);
    no_buffer(in);
}

/* Each level is made of the one above it. */
static void image_levels(const struct how *how)
{
    struct image i = image(how, how->format, VK_SAMPLE_COUNT_1_BIT, 0);
    struct buffer in = buffer(bytes_of(i, 4, 0), VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
    VkCommandBuffer commands = begin();

    fill_in(in.at, bytes_of(i, 4, 0), 12);
    put_in(commands, i, in);
    for (uint32_t level = 1; level < how->levels; level++) {
        int from = SIDE >> (level - 1), to = SIDE >> level;
        VkImageBlit blit = { { VK_IMAGE_ASPECT_COLOR_BIT, level - 1, 0, 1 }, { { 0, 0, 0 }, { from, from, 1 } },
                             { VK_IMAGE_ASPECT_COLOR_BIT, level, 0, 1 }, { { 0, 0, 0 }, { to, to, 1 } } };

        vkCmdBlitImage(commands, i.it, GENERAL, i.it, GENERAL, 1, &blit, VK_FILTER_LINEAR);
        between(commands);
    }
    take_out(commands, i, how->levels - 1, 4, 0);
    no_buffer(in);
}

/* A linear image, which the CPU writes by itself. */
static void image_linear(const struct how *how)
{
    VkImageCreateInfo wanted = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO, .imageType = VK_IMAGE_TYPE_2D, .format = how->format,
        .extent = { SIDE, SIDE, 1 }, .mipLevels = 1, .arrayLayers = 1, .samples = VK_SAMPLE_COUNT_1_BIT,
        .tiling = VK_IMAGE_TILING_LINEAR, .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT,
        .initialLayout = VK_IMAGE_LAYOUT_PREINITIALIZED };
    struct image i = { .format = how->format, .aspect = VK_IMAGE_ASPECT_COLOR_BIT, .extent = { SIDE, SIDE, 1 }, .layers = 1,
                       .levels = 1 };
    VkImageSubresource which = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0 };
    VkSubresourceLayout layout;
    VkMemoryRequirements needs;
    uint8_t *at, line[SIDE * SIDE * 4];

    MUST(vkCreateImage(dev, &wanted, NULL, &i.it));
    vkGetImageMemoryRequirements(dev, i.it, &needs);
    MUST(try_allocate(needs.size, type_with(needs.memoryTypeBits, MAPPED), &i.memory));
    MUST(vkBindImageMemory(dev, i.it, i.memory, 0));
    MUST(vkMapMemory(dev, i.memory, 0, VK_WHOLE_SIZE, 0, (void **)&at));
    vkGetImageSubresourceLayout(dev, i.it, &which, &layout);
    fill_in(line, sizeof(line), 14);
    for (int y = 0; y < SIDE; y++)
        memcpy(at + layout.offset + y * layout.rowPitch, line + y * SIDE * 4, SIDE * 4);
    VkCommandBuffer commands = begin();
    to_layout(commands, i, VK_IMAGE_LAYOUT_PREINITIALIZED, GENERAL);
    take_out(commands, i, 0, 4, 14);
}

/* drawing: the triangle */

static VkRenderPass pass_for(VkFormat format, VkSampleCountFlagBits samples, VkAttachmentLoadOp load)
{
    VkAttachmentDescription attached = {
        .format = format, .samples = samples, .loadOp = load, .storeOp = VK_ATTACHMENT_STORE_OP_STORE,
        .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE, .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
        .initialLayout = GENERAL, .finalLayout = GENERAL };
    VkAttachmentReference colour = { 0, GENERAL };
    VkSubpassDescription subpass = { .pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS, .colorAttachmentCount = 1,
                                     .pColorAttachments = &colour };
    VkRenderPassCreateInfo wanted = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO, .attachmentCount = 1,
                                      .pAttachments = &attached, .subpassCount = 1, .pSubpasses = &subpass };
    VkRenderPass pass;

    MUST(vkCreateRenderPass(dev, &wanted, NULL, &pass));
    return pass;
}

static VkPipeline pipe_for(const struct how *how, VkRenderPass pass, VkSampleCountFlagBits samples)
{
    VkPipelineLayoutCreateInfo no_layout = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO };
    VkPipelineShaderStageCreateInfo stages[2] = {
        { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_VERTEX_BIT, .pName = "main",
          .module = shader(triangle_vert, sizeof(triangle_vert)) },
        { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_FRAGMENT_BIT, .pName = "main",
          .module = shader(triangle_frag, sizeof(triangle_frag)) } };
    VkPipelineVertexInputStateCreateInfo vertices = { .sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO };
    VkPipelineInputAssemblyStateCreateInfo assembly = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO,
        .topology = how->topology ? how->topology : VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST };
    VkViewport port = { 0, 0, SIDE, SIDE, 0, 1 };
    VkRect2D part = { { 0, 0 }, { SIDE, SIDE } };
    VkPipelineViewportStateCreateInfo ports = { .sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
                                                .viewportCount = 1, .pViewports = &port, .scissorCount = 1, .pScissors = &part };
    VkPipelineRasterizationStateCreateInfo raster = { .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO,
                                                      .lineWidth = 1, .cullMode = how->cull };
    VkPipelineMultisampleStateCreateInfo many = { .sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
                                                  .rasterizationSamples = samples };
    VkPipelineColorBlendAttachmentState mask = {
        .colorWriteMask = 0xf & ~how->without, .blendEnable = how->blend != 0, .srcColorBlendFactor = VK_BLEND_FACTOR_ONE,
        .dstColorBlendFactor = how->blend == 2 ? VK_BLEND_FACTOR_SRC_COLOR : VK_BLEND_FACTOR_ONE,
        .colorBlendOp = how->blend == 3 ? VK_BLEND_OP_MAX : VK_BLEND_OP_ADD, .srcAlphaBlendFactor = VK_BLEND_FACTOR_ONE,
        .dstAlphaBlendFactor = VK_BLEND_FACTOR_ZERO, .alphaBlendOp = VK_BLEND_OP_ADD };
    VkPipelineColorBlendStateCreateInfo blend = { .sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
                                                  .attachmentCount = 1, .pAttachments = &mask };
    VkGraphicsPipelineCreateInfo wanted = {
        .sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO, .stageCount = 2, .pStages = stages,
        .pVertexInputState = &vertices, .pInputAssemblyState = &assembly, .pViewportState = &ports,
        .pRasterizationState = &raster, .pMultisampleState = &many, .pColorBlendState = &blend, .renderPass = pass };
    VkPipeline pipe;

    if (how->scissor)
        part = (VkRect2D){ { 10, 20 }, { 30, 25 } };
    if (how->port)      /* upside down, in a quarter */
        port = (VkViewport){ 8, SIDE / 2, SIDE / 2, -SIDE / 4, 0, 1 };
    MUST(vkCreatePipelineLayout(dev, &no_layout, NULL, &wanted.layout));
    MUST(vkCreateGraphicsPipelines(dev, VK_NULL_HANDLE, 1, &wanted, NULL, &pipe));
    return pipe;
}

static VkFramebuffer frame_for(VkRenderPass pass, struct image i)
{
    VkImageViewCreateInfo viewed = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO, .image = i.it, .viewType = VK_IMAGE_VIEW_TYPE_2D, .format = i.format,
        .subresourceRange = { i.aspect, 0, 1, 0, 1 } };
    VkFramebufferCreateInfo framed = { .sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO, .renderPass = pass,
                                       .attachmentCount = 1, .width = SIDE, .height = SIDE, .layers = 1 };
    VkFramebuffer frame;
    VkImageView view;

    MUST(vkCreateImageView(dev, &viewed, NULL, &view));
    framed.pAttachments = &view;
    MUST(vkCreateFramebuffer(dev, &framed, NULL, &frame));
    return frame;
}

static void draw(const struct how *how)
{
    static const VkAttachmentLoadOp loads[] = { VK_ATTACHMENT_LOAD_OP_CLEAR, VK_ATTACHMENT_LOAD_OP_LOAD };
    VkSampleCountFlagBits samples = how->samples ? how->samples : VK_SAMPLE_COUNT_1_BIT;
    struct image i = image(how, how->format, samples, VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT);
    VkImageSubresourceRange whole = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 };
    VkRenderPass pass = pass_for(how->format, samples, loads[how->load]);
    VkFramebuffer frame = frame_for(pass, i);
    VkPipeline pipe = pipe_for(how, pass, samples);
    VkClearValue clear = { .color.float32 = { 0.2, 0.4, 0.6, 1 } };
    VkClearColorValue before = { .float32 = { 1, 0.5, 0, 1 } };
    VkRenderPassBeginInfo drawn = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO, .renderPass = pass, .framebuffer = frame,
                                    .renderArea = { { 0, 0 }, { SIDE, SIDE } }, .clearValueCount = 1, .pClearValues = &clear };
    VkCommandBuffer commands = begin();

    to_layout(commands, i, UNDEFINED, GENERAL);
    vkCmdClearColorImage(commands, i.it, GENERAL, &before, 1, &whole);
    between(commands);
    vkCmdBeginRenderPass(commands, &drawn, VK_SUBPASS_CONTENTS_INLINE);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, pipe);
    for (uint64_t n = 0; n <= how->count; n++)
        vkCmdDraw(commands, 3, 1, 0, 0);
    vkCmdEndRenderPass(commands);
    if (samples != VK_SAMPLE_COUNT_1_BIT) {
        struct image one = image(how, how->format, VK_SAMPLE_COUNT_1_BIT, 0);
        VkImageResolve resolve = { { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 }, { 0 }, { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 }, { 0 },
                                   { SIDE, SIDE, 1 } };

        between(commands);
        to_layout(commands, one, UNDEFINED, GENERAL);
        vkCmdResolveImage(commands, i.it, GENERAL, one.it, GENERAL, 1, &resolve);
        take_out(commands, one, 0, how->texel, 0);
        no_image(i);
    } else {
        take_out(commands, i, 0, how->texel, 0);
    }
    vkDestroyFramebuffer(dev, frame, NULL);
    vkDestroyPipeline(dev, pipe, NULL);
    vkDestroyRenderPass(dev, pass, NULL);
}

/* How many samples passed: the same number from the CPU and from the device. */
static void draw_query(const struct how *how)
{
    struct image i = image(how, how->format, VK_SAMPLE_COUNT_1_BIT, VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT);
    VkRenderPass pass = pass_for(how->format, VK_SAMPLE_COUNT_1_BIT, VK_ATTACHMENT_LOAD_OP_CLEAR);
    VkFramebuffer frame = frame_for(pass, i);
    VkPipeline pipe = pipe_for(how, pass, VK_SAMPLE_COUNT_1_BIT);
    VkQueryPoolCreateInfo asked = { .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_OCCLUSION,
                                    .queryCount = 1 };
    struct buffer out = buffer(8, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    VkClearValue clear = { 0 };
    VkRenderPassBeginInfo drawn = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO, .renderPass = pass, .framebuffer = frame,
                                    .renderArea = { { 0, 0 }, { SIDE, SIDE } }, .clearValueCount = 1, .pClearValues = &clear };
    VkCommandBuffer commands = begin();
    uint64_t passed = 0;
    VkQueryPool query;

    MUST(vkCreateQueryPool(dev, &asked, NULL, &query));
    to_layout(commands, i, UNDEFINED, GENERAL);
    vkCmdResetQueryPool(commands, query, 0, 1);
    vkCmdBeginRenderPass(commands, &drawn, VK_SUBPASS_CONTENTS_INLINE);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, pipe);
    vkCmdBeginQuery(commands, query, 0, VK_QUERY_CONTROL_PRECISE_BIT);
    vkCmdDraw(commands, 3, 1, 0, 0);
    vkCmdEndQuery(commands, query, 0);
    vkCmdEndRenderPass(commands);
    vkCmdCopyQueryPoolResults(commands, query, 0, 1, out.it, 0, 8, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
    to_host(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    finish(commands);
    MUST(vkGetQueryPoolResults(dev, query, 0, 1, 8, &passed, 8, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
    if (!passed || passed != *(uint64_t *)out.at)
        wrong("two numbers");
    made(&passed, 8);
    no_buffer(out);
    no_image(i);
}

/* computing */

struct pipe {
    VkPipeline it;
    VkPipelineLayout layout;
    VkDescriptorSet set;
};

static struct pipe compute_on(struct buffer words, uint64_t offset, uint64_t size)
{
    VkDescriptorSetLayoutBinding binding = { .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = 1,
                                             .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT };
    VkDescriptorSetLayoutCreateInfo set_layout = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                   .bindingCount = 1, .pBindings = &binding };
    VkDescriptorPoolSize sizes = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1 };
    VkDescriptorPoolCreateInfo sets = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = 1,
                                        .poolSizeCount = 1, .pPoolSizes = &sizes };
    VkDescriptorSetLayout layout;
    VkDescriptorPool from;
    struct pipe pipe;

    MUST(vkCreateDescriptorSetLayout(dev, &set_layout, NULL, &layout));
    MUST(vkCreateDescriptorPool(dev, &sets, NULL, &from));
    VkDescriptorSetAllocateInfo wanted = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, .descriptorPool = from,
                                           .descriptorSetCount = 1, .pSetLayouts = &layout };
    MUST(vkAllocateDescriptorSets(dev, &wanted, &pipe.set));
    VkDescriptorBufferInfo part = { words.it, offset, size };
    VkWriteDescriptorSet write = { .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = pipe.set, .descriptorCount = 1,
                                   .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .pBufferInfo = &part };
    vkUpdateDescriptorSets(dev, 1, &write, 0, NULL);
    VkPipelineLayoutCreateInfo pipes = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1,
                                         .pSetLayouts = &layout };
    MUST(vkCreatePipelineLayout(dev, &pipes, NULL, &pipe.layout));
    VkComputePipelineCreateInfo made_of = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = pipe.layout,
        .stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                   .module = shader(compute_comp, sizeof(compute_comp)), .pName = "main" } };
    MUST(vkCreateComputePipelines(dev, VK_NULL_HANDLE, 1, &made_of, NULL, &pipe.it));
    return pipe;
}

static void bind(VkCommandBuffer commands, struct pipe pipe)
{
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipe.it);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipe.layout, 0, 1, &pipe.set, 0, NULL);
}

/* HOW->count times over, on a part of the buffer; by an indirect dispatch if HOW->other says so */
static void compute(const struct how *how)
{
    struct buffer words = buffer(how->size, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT);
    struct buffer how_many = buffer(12, VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT);
    uint64_t size = how->size - how->offset, times = how->count ? how->count : 1;
    struct pipe pipe = compute_on(words, how->offset, size);
    uint32_t *word = words.at, first = how->offset / 4;

    for (uint32_t i = 0; i < how->size / 4; i++)
        word[i] = i;
    memcpy(how_many.at, &(VkDispatchIndirectCommand){ size / 4 / 64, 1, 1 }, 12);
    VkCommandBuffer commands = begin();
    bind(commands, pipe);
    for (uint64_t i = 0; i < times; i++) {
        if (how->other)
            vkCmdDispatchIndirect(commands, how_many.it, 0);
        else
            vkCmdDispatch(commands, size / 4 / 64, 1, 1);
        between(commands);
    }
    to_host(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT);
    finish(commands);
    for (uint32_t i = 0; i < how->size / 4; i++) {
        uint32_t expected = i;

        for (uint64_t n = 0; i >= first && n < times; n++)
            expected = (expected * 1664525u + 1013904223u) ^ (i - first);
        if (word[i] != expected)
            return wrong("a word");
    }
    made(word, how->size);
    vkDestroyPipeline(dev, pipe.it, NULL);
    no_buffer(words);
    no_buffer(how_many);
}

/* synchronization: COUNT submits, each doubles what the one before made, and each in its own way waits for that */

enum { IN_ORDER, SEMAPHORES, TIMELINE, EVENTS, FENCES, SECONDARY, HOST_TIMELINE };

static VkCommandBuffer work_of(struct pipe pipe, int way, VkEvent event, bool last, bool first)
{
    VkCommandBuffer commands = begin();

    if (way == EVENTS && !first)
        vkCmdWaitEvents(commands, 1, &event, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, NULL, 0,
                        NULL, 0, NULL);
    if (way == EVENTS)
        vkCmdResetEvent(commands, event, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT);
    between(commands);
    bind(commands, pipe);
    vkCmdDispatch(commands, 16, 1, 1);
    between(commands);
    if (way == EVENTS)
        vkCmdSetEvent(commands, event, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT);
    if (last)
        to_host(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT);
    return commands;
}

static void sync_by(const struct how *how)
{
    int way = how->blend;
    VkSemaphoreTypeCreateInfo kind = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                       .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE };
    VkSemaphoreCreateInfo semaphores = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                         .pNext = way == TIMELINE || way == HOST_TIMELINE ? &kind : NULL };
    VkFenceCreateInfo fences = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    VkEventCreateInfo events = { .sType = VK_STRUCTURE_TYPE_EVENT_CREATE_INFO };
    VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    struct buffer words = buffer(4096, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT);
    struct pipe pipe = compute_on(words, 0, 4096);
    uint32_t *word = words.at;
    VkSemaphore semaphore[32];
    uint64_t value = 0;
    VkFence fence;
    VkEvent event;

    for (uint32_t i = 0; i < 1024; i++)
        word[i] = i;
    MUST(vkCreateFence(dev, &fences, NULL, &fence));
    MUST(vkCreateEvent(dev, &events, NULL, &event));
    for (uint64_t i = 0; i < how->count; i++)
        MUST(vkCreateSemaphore(dev, &semaphores, NULL, &semaphore[i]));
    for (uint64_t i = 0; i < how->count; i++) {
        bool first = !i, last = i + 1 == how->count;
        VkCommandBuffer commands = work_of(pipe, way, event, last, first);
        uint64_t from = i, to = i + 1;
        VkTimelineSemaphoreSubmitInfo values = {
            .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO, .waitSemaphoreValueCount = 1,
            .pWaitSemaphoreValues = &from, .signalSemaphoreValueCount = 1, .pSignalSemaphoreValues = &to };
        VkSubmitInfo submit = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands,
                                .pWaitDstStageMask = &stage };

        if (way == SEMAPHORES || way == TIMELINE || way == HOST_TIMELINE) {
            submit.signalSemaphoreCount = way != SEMAPHORES || !last;
            submit.waitSemaphoreCount = way != SEMAPHORES || !first;
            submit.pSignalSemaphores = &semaphore[way == SEMAPHORES ? i : 0];
            submit.pWaitSemaphores = &semaphore[way == SEMAPHORES ? i - !first : 0];
        }
        if (way == TIMELINE)
            submit.pNext = &values;
        if (way == HOST_TIMELINE) {
            /* the CPU signals the odd ones, before the submit that waits for it */
            VkSemaphoreSignalInfo signal = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, .semaphore = semaphore[0],
                                             .value = from = 2 * i + 1 };
            VkSemaphoreWaitInfo wait = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO, .semaphoreCount = 1,
                                         .pSemaphores = &semaphore[0], .pValues = &to };

            to = 2 * i + 2;
            submit.pNext = &values;
            MUST(vkEndCommandBuffer(commands));
            MUST(vkSignalSemaphore(dev, &signal));
            MUST(vkQueueSubmit(queue, 1, &submit, last ? fence : VK_NULL_HANDLE));
            MUST(vkWaitSemaphores(dev, &wait, 100000000000));
            continue;
        }
        if (way == SECONDARY) {
            VkCommandBufferAllocateInfo wanted = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool,
                                                   .level = VK_COMMAND_BUFFER_LEVEL_SECONDARY, .commandBufferCount = 1 };
            VkCommandBufferInheritanceInfo from_none = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO };
            VkCommandBufferBeginInfo start = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                               .pInheritanceInfo = &from_none };
            VkCommandBuffer inner;

            MUST(vkAllocateCommandBuffers(dev, &wanted, &inner));
            MUST(vkBeginCommandBuffer(inner, &start));
            bind(inner, pipe);
            vkCmdDispatch(inner, 16, 1, 1);
            between(inner);
            MUST(vkEndCommandBuffer(inner));
            vkCmdExecuteCommands(commands, 1, &inner);
        }
        MUST(vkEndCommandBuffer(commands));
        MUST(vkQueueSubmit(queue, 1, &submit, last || way == FENCES ? fence : VK_NULL_HANDLE));
        if (way == FENCES && !last) {
            MUST(vkWaitForFences(dev, 1, &fence, VK_TRUE, 100000000000));
            MUST(vkGetFenceStatus(dev, fence));
            MUST(vkResetFences(dev, 1, &fence));
        }
    }
    MUST(vkWaitForFences(dev, 1, &fence, VK_TRUE, 100000000000));
    if (way == TIMELINE) {
        MUST(vkGetSemaphoreCounterValue(dev, semaphore[0], &value));
        if (value != how->count)
            wrong("the semaphore's value");
    }
    for (uint32_t i = 0; i < 1024; i++) {
        uint32_t expected = i;

        for (uint64_t n = 0; n < how->count * (way == SECONDARY ? 2 : 1); n++)
            expected = (expected * 1664525u + 1013904223u) ^ i;
        if (word[i] != expected)
            return wrong("a word");
    }
    made(word, 4096);
    MUST(vkDeviceWaitIdle(dev));
    for (uint64_t i = 0; i < how->count; i++)
        vkDestroySemaphore(dev, semaphore[i], NULL);
    vkDestroyFence(dev, fence, NULL);
    vkDestroyEvent(dev, event, NULL);
    vkDestroyPipeline(dev, pipe.it, NULL);
    no_buffer(words);
}

#define KIB 1024
#define MIB (1024 * 1024)
#define D2 .kind = VK_IMAGE_TYPE_2D
#define RGBA8 .format = VK_FORMAT_R8G8B8A8_UNORM, .texel = 4
#define FORMAT(f, size) .format = VK_FORMAT_##f, .texel = size

static const struct one {
    const char *name;
    void (*does)(const struct how *how);
    struct how how;
} all[] = {
    { "memory.page", memory_mapped, { .size = 4 * KIB } },
    { "memory.33_pages", memory_mapped, { .size = 33 * 4 * KIB } },
    { "memory.odd", memory_mapped, { .size = 100001 } },
    { "memory.4_mib", memory_mapped, { .size = 4 * MIB } },
    { "memory.part", memory_mapped, { .size = 256 * KIB, .offset = 64 * KIB } },
    { "memory.cached", memory_cached, { .size = 128 * KIB } },
    { "memory.shared_by_buffers", memory_shared, { .size = 5000 } },
    { "buffer.fill", buffer_fill, { .size = 64 * KIB } },
    { "buffer.fill_part", buffer_fill, { .size = 64 * KIB, .offset = 1028, .count = 4096 } },
    { "buffer.fill_word", buffer_fill, { .size = 4 * KIB, .offset = 4092, .count = 4 } },
    { "buffer.fill_mib", buffer_fill, { .size = MIB + 3 } },
    { "buffer.update", buffer_update, { .size = 4 * KIB, .count = 4 * KIB } },
    { "buffer.update_part", buffer_update, { .size = 8 * KIB, .offset = 2044, .count = 1000 } },
    { "buffer.update_64_kib", buffer_update, { .size = 64 * KIB, .count = 65536 } },
    { "buffer.copy", buffer_copy, { .size = 64 * KIB } },
    { "buffer.copy_odd", buffer_copy, { .size = 4099, .offset = 1 } },
    { "buffer.copy_pieces", buffer_copy, { .size = 48 * KIB, .count = 16 } },
    { "buffer.copy_mib", buffer_copy, { .size = 2 * MIB, .count = 2 } },
    { "image.r8", image_through, { D2, FORMAT(R8_UNORM, 1) } },
    { "image.r8g8", image_through, { D2, FORMAT(R8G8_UNORM, 2) } },
    { "image.rgba8", image_through, { D2, RGBA8 } },
    { "image.bgra8", image_through, { D2, FORMAT(B8G8R8A8_UNORM, 4) } },
    { "image.rgba8_srgb", image_through, { D2, FORMAT(R8G8B8A8_SRGB, 4) } },
    { "image.rgba8_uint", image_through, { D2, FORMAT(R8G8B8A8_UINT, 4) } },
    { "image.r5g6b5", image_through, { D2, FORMAT(R5G6B5_UNORM_PACK16, 2) } },
    { "image.a2b10g10r10", image_through, { D2, FORMAT(A2B10G10R10_UNORM_PACK32, 4) } },
    { "image.r16_uint", image_through, { D2, FORMAT(R16_UINT, 2) } },
    { "image.rgba16f", image_through, { D2, FORMAT(R16G16B16A16_SFLOAT, 8) } },
    { "image.r32_uint", image_through, { D2, FORMAT(R32_UINT, 4) } },
    { "image.rgba32f", image_through, { D2, FORMAT(R32G32B32A32_SFLOAT, 16) } },
    { "image.1d", image_through, { .kind = VK_IMAGE_TYPE_1D, RGBA8 } },
    { "image.3d", image_through, { .kind = VK_IMAGE_TYPE_3D, RGBA8 } },
    { "image.layers", image_through, { D2, RGBA8, .layers = 6 } },
    { "image.linear", image_linear, { D2, RGBA8 } },
    { "image.levels", image_levels, { D2, RGBA8, .levels = 4 } },
    { "image.clear_rgba8", image_clear, { D2, RGBA8 } },
    { "image.clear_r8", image_clear, { D2, FORMAT(R8_UNORM, 1) } },
    { "image.clear_rgba16f", image_clear, { D2, FORMAT(R16G16B16A16_SFLOAT, 8) } },
    { "image.clear_rgba32f", image_clear, { D2, FORMAT(R32G32B32A32_SFLOAT, 16) } },
    { "image.clear_d32", image_clear, { D2, FORMAT(D32_SFLOAT, 4) } },
    { "image.clear_d16", image_clear, { D2, FORMAT(D16_UNORM, 2) } },
    { "image.clear_levels", image_clear, { D2, RGBA8, .levels = 3, .layers = 2 } },
    { "image.copy", image_copy, { D2, RGBA8 } },
    { "image.copy_other_format", image_copy, { D2, RGBA8, .other = VK_FORMAT_R32_UINT } },
    { "image.copy_rgba32f", image_copy, { D2, FORMAT(R32G32B32A32_SFLOAT, 16) } },
    { "image.blit_nearest", image_blit, { D2, RGBA8, .filter = VK_FILTER_NEAREST } },
    { "image.blit_linear", image_blit, { D2, RGBA8, .filter = VK_FILTER_LINEAR } },
    { "image.blit_to_bgra8", image_blit, { D2, RGBA8, .other = VK_FORMAT_B8G8R8A8_UNORM, .filter = VK_FILTER_NEAREST } },
    { "image.blit_to_srgb", image_blit, { D2, RGBA8, .other = VK_FORMAT_R8G8B8A8_SRGB, .filter = VK_FILTER_NEAREST } },
    { "draw.rgba8", draw, { D2, RGBA8 } },
    { "draw.bgra8", draw, { D2, FORMAT(B8G8R8A8_UNORM, 4) } },
    { "draw.srgb", draw, { D2, FORMAT(R8G8B8A8_SRGB, 4) } },
    { "draw.rgba16f", draw, { D2, FORMAT(R16G16B16A16_SFLOAT, 8) } },
    { "draw.rgba32f", draw, { D2, FORMAT(R32G32B32A32_SFLOAT, 16) } },
    { "draw.over_what_was", draw, { D2, RGBA8, .load = 1 } },
    { "draw.blend_add", draw, { D2, RGBA8, .load = 1, .blend = 1 } },
    { "draw.blend_multiply", draw, { D2, RGBA8, .load = 1, .blend = 2, .count = 2 } },
    { "draw.blend_max", draw, { D2, RGBA8, .load = 1, .blend = 3 } },
    { "draw.mask", draw, { D2, RGBA8, .load = 1, .without = VK_COLOR_COMPONENT_G_BIT } },
    { "draw.scissor", draw, { D2, RGBA8, .scissor = 1 } },
    { "draw.viewport", draw, { D2, RGBA8, .port = 1 } },
    { "draw.cull_front", draw, { D2, RGBA8, .cull = VK_CULL_MODE_FRONT_BIT } },
    { "draw.cull_back", draw, { D2, RGBA8, .cull = VK_CULL_MODE_BACK_BIT } },
    { "draw.lines", draw, { D2, RGBA8, .topology = VK_PRIMITIVE_TOPOLOGY_LINE_STRIP } },
    { "draw.4_samples", draw, { D2, RGBA8, .samples = VK_SAMPLE_COUNT_4_BIT } },
    { "draw.query", draw_query, { D2, RGBA8 } },
    { "compute.page", compute, { .size = 4 * KIB } },
    { "compute.mib", compute, { .size = MIB } },
    { "compute.part", compute, { .size = 64 * KIB, .offset = 4 * KIB } },
    { "compute.ten_times", compute, { .size = 16 * KIB, .count = 10 } },
    { "compute.indirect", compute, { .size = 16 * KIB, .other = 1 } },
    { "sync.in_order", sync_by, { .count = 20, .blend = IN_ORDER } },
    { "sync.semaphores", sync_by, { .count = 20, .blend = SEMAPHORES } },
    { "sync.timeline", sync_by, { .count = 20, .blend = TIMELINE } },
    { "sync.host_timeline", sync_by, { .count = 5, .blend = HOST_TIMELINE } },
    { "sync.events", sync_by, { .count = 5, .blend = EVENTS } },
    { "sync.fences", sync_by, { .count = 10, .blend = FENCES } },
    { "sync.secondary", sync_by, { .count = 5, .blend = SECONDARY } },
};

int do_cases(const char *only)
{
    size_t count = 0;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        name = all[i].name;
        if (only && strcmp(only, name))
            continue;
        all[i].does(&all[i].how);
        fflush(stdout);
        count++;
    }
    printf("cases %zu, %d wrong\n", count, wrongs);
    return wrongs || !count;
}
