/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the GPU tests ask of Vulkan, in a guest by Venus and in dom0 by lavapipe itself; both have to give the same bytes.
 *
 *   vk name                       the device, its driver, the memory types that can be mapped
 *   vk compute BYTES              a compute shader on mapped memory, checked word by word; prints a hash of the result
 *   vk draw triangle|scene W H F  an offscreen picture, copied into mapped memory, as a PPM in the file F; prints its hash
 *   vk blobs N BYTES [ROUNDS]     N pieces of memory mapped at once, each with contents of its own; in each round every third is
 *                                 freed and made anew, and all are checked
 *   vk churn SECONDS SEED         blobs of 1 to 64 pages made, written, looked at and freed at random, 24 at once at most
 *   vk cases [NAME]               one line for each of the cases in cases.c, or for that one
 *   vk timeline N                 N submits, each waits for the host's value of a timeline semaphore and signals the next
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "vk.h"

#include "compute_comp.h"
#include "scene_frag.h"
#include "scene_vert.h"
#include "triangle_frag.h"
#include "triangle_vert.h"

static VkInstance instance;
static VkPhysicalDevice gpu;
VkDevice dev;
VkQueue queue;
VkCommandPool pool;
VkPhysicalDeviceMemoryProperties types;

void die(const char *what, int result)
{
    fprintf(stderr, "vk: %.60s: %d\n", what, result);
    printf("failed: %.60s: %d\n", what, result);
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

uint64_t hash(const void *data, size_t size)
{
    const uint8_t *byte = data;
    uint64_t sum = 0xcbf29ce484222325;

    while (size--)
        sum = (sum ^ *byte++) * 0x100000001b3;
    return sum;
}

static void start(void)
{
    VkApplicationInfo app = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_2 };
    VkInstanceCreateInfo made = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app };
    float priority = 1;
    VkDeviceQueueCreateInfo queues = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority };
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES, .timelineSemaphore = VK_TRUE };
    VkDeviceCreateInfo device = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &timeline, .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queues };
    VkCommandPoolCreateInfo commands = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                         .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT };
    uint32_t one = 1;

    MUST(vkCreateInstance(&made, NULL, &instance));
    VkResult found = vkEnumeratePhysicalDevices(instance, &one, &gpu);
    if (found < 0 || !one)
        die("no Vulkan device", found);
    vkGetPhysicalDeviceMemoryProperties(gpu, &types);
    MUST(vkCreateDevice(gpu, &device, NULL, &dev));
    vkGetDeviceQueue(dev, 0, 0, &queue);
    MUST(vkCreateCommandPool(dev, &commands, NULL, &pool));
}

uint32_t type_with(uint32_t allowed, VkMemoryPropertyFlags flags)
{
    for (uint32_t i = 0; i < types.memoryTypeCount; i++)
        if (allowed & 1u << i && (types.memoryTypes[i].propertyFlags & flags) == flags)
            return i;
    die("no such memory type", flags);
    return 0;
}

VkResult try_allocate(uint64_t size, uint32_t type, VkDeviceMemory *memory)
{
    VkMemoryAllocateInfo wanted = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = size,
                                    .memoryTypeIndex = type };

    return vkAllocateMemory(dev, &wanted, NULL, memory);
}

struct buffer buffer(uint64_t size, VkBufferUsageFlags usage)
{
    VkBufferCreateInfo wanted = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = size, .usage = usage };
    VkMemoryRequirements needs;
    struct buffer b;

    MUST(vkCreateBuffer(dev, &wanted, NULL, &b.it));
    vkGetBufferMemoryRequirements(dev, b.it, &needs);
    MUST(try_allocate(needs.size, type_with(needs.memoryTypeBits, MAPPED), &b.memory));
    MUST(vkBindBufferMemory(dev, b.it, b.memory, 0));
    MUST(vkMapMemory(dev, b.memory, 0, VK_WHOLE_SIZE, 0, &b.at));
    return b;
}

VkShaderModule shader(const uint32_t *code, size_t size)
{
    VkShaderModuleCreateInfo wanted = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = size, .pCode = code };
    VkShaderModule module;

    MUST(vkCreateShaderModule(dev, &wanted, NULL, &module));
    return module;
}

VkCommandBuffer begin(void)
{
    VkCommandBufferAllocateInfo wanted = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool,
                                           .commandBufferCount = 1 };
    VkCommandBufferBeginInfo how = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO };
    VkCommandBuffer commands;

    MUST(vkAllocateCommandBuffers(dev, &wanted, &commands));
    MUST(vkBeginCommandBuffer(commands, &how));
    return commands;
}

void finish(VkCommandBuffer commands)
{
    VkFenceCreateInfo wanted = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    VkSubmitInfo submit = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands };
    VkFence fence;

    MUST(vkEndCommandBuffer(commands));
    MUST(vkCreateFence(dev, &wanted, NULL, &fence));
    MUST(vkQueueSubmit(queue, 1, &submit, fence));
    MUST(vkWaitForFences(dev, 1, &fence, VK_TRUE, 300000000000));
    vkDestroyFence(dev, fence, NULL);
    vkFreeCommandBuffers(dev, pool, 1, &commands);
}

void to_host(VkCommandBuffer commands, VkPipelineStageFlags from, VkAccessFlags written)
{
    VkMemoryBarrier barrier = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = written,
                                .dstAccessMask = VK_ACCESS_HOST_READ_BIT };

    vkCmdPipelineBarrier(commands, from, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static int do_name(void)
{
    VkPhysicalDeviceDriverProperties driver = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES };
    VkPhysicalDeviceProperties2 all = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver };

    vkGetPhysicalDeviceProperties2(gpu, &all);
    printf("device %s\ndriver %s\n", all.properties.deviceName, driver.driverName);
    for (uint32_t i = 0; i < types.memoryTypeCount; i++)
        printf("memory %u flags 0x%x\n", i, types.memoryTypes[i].propertyFlags);
    return 0;
}

static int do_compute(uint64_t size)
{
    VkDescriptorSetLayoutBinding binding = { .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = 1,
                                             .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT };
    VkDescriptorSetLayoutCreateInfo set_layout = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                   .bindingCount = 1, .pBindings = &binding };
    VkDescriptorPoolSize sizes = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1 };
    VkDescriptorPoolCreateInfo sets = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = 1,
                                        .poolSizeCount = 1, .pPoolSizes = &sizes };
    struct buffer words = buffer(size, VK_BUFFER_USAGE_STORAGE_BUFFER_BIT);
    uint32_t *word = words.at, wrong = 0;
    VkDescriptorSetLayout layout;
    VkPipelineLayout pipes;
    VkDescriptorPool from;
    VkDescriptorSet set;
    VkPipeline pipe;

    for (uint32_t i = 0; i < size / 4; i++)
        word[i] = i * 2654435761u;

    MUST(vkCreateDescriptorSetLayout(dev, &set_layout, NULL, &layout));
    MUST(vkCreateDescriptorPool(dev, &sets, NULL, &from));
    VkDescriptorSetAllocateInfo wanted = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, .descriptorPool = from,
                                           .descriptorSetCount = 1, .pSetLayouts = &layout };
    MUST(vkAllocateDescriptorSets(dev, &wanted, &set));
    VkDescriptorBufferInfo all = { words.it, 0, VK_WHOLE_SIZE };
    VkWriteDescriptorSet write = { .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = set, .descriptorCount = 1,
                                   .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .pBufferInfo = &all };
    vkUpdateDescriptorSets(dev, 1, &write, 0, NULL);
    VkPipelineLayoutCreateInfo pipe_layout = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1,
                                               .pSetLayouts = &layout };
    MUST(vkCreatePipelineLayout(dev, &pipe_layout, NULL, &pipes));
    VkComputePipelineCreateInfo made = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = pipes,
        .stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                   .module = shader(compute_comp, sizeof(compute_comp)), .pName = "main" } };
    MUST(vkCreateComputePipelines(dev, NULL, 1, &made, NULL, &pipe));

    VkCommandBuffer commands = begin();
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipe);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipes, 0, 1, &set, 0, NULL);
    vkCmdDispatch(commands, size / 4 / 64, 1, 1);
    to_host(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT);
    finish(commands);

    for (uint32_t i = 0; i < size / 4; i++)
        wrong += word[i] != ((i * 2654435761u * 1664525u + 1013904223u) ^ i);
    printf("compute %u words %u wrong hash %016lx\n", (unsigned)(size / 4), wrong, hash(word, size));
    return wrong != 0;
}

static void barrier_of(VkCommandBuffer commands, VkImage image, VkImageLayout from, VkImageLayout to)
{
    VkImageMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER, .oldLayout = from, .newLayout = to, .image = image,
        .srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT, .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT,
        .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED, .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
        .subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 } };

    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 0, NULL,
                         0, NULL, 1, &barrier);
}

static int do_draw(const char *what, uint32_t width, uint32_t height, const char *path)
{
    int scene = !strcmp(what, "scene");
    const VkFormat format = VK_FORMAT_R8G8B8A8_UNORM;
    VkImageCreateInfo wanted = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO, .imageType = VK_IMAGE_TYPE_2D, .format = format,
        .extent = { width, height, 1 }, .mipLevels = 1, .arrayLayers = 1, .samples = VK_SAMPLE_COUNT_1_BIT,
        .usage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT };
    VkMemoryRequirements needs;
    VkDeviceMemory memory;
    VkImage image;
    VkImageView view;
    VkRenderPass pass;
    VkFramebuffer frame;
    VkPipelineLayout pipes;
    VkPipeline pipe;

    MUST(vkCreateImage(dev, &wanted, NULL, &image));
    vkGetImageMemoryRequirements(dev, image, &needs);
    MUST(try_allocate(needs.size, type_with(needs.memoryTypeBits, 0), &memory));
    MUST(vkBindImageMemory(dev, image, memory, 0));
    VkImageViewCreateInfo viewed = {
        .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO, .image = image, .viewType = VK_IMAGE_VIEW_TYPE_2D, .format = format,
        .subresourceRange = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1 } };
    MUST(vkCreateImageView(dev, &viewed, NULL, &view));

    VkAttachmentDescription attached = {
        .format = format, .samples = VK_SAMPLE_COUNT_1_BIT, .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
        .storeOp = VK_ATTACHMENT_STORE_OP_STORE, .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
        .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE, .finalLayout = VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL };
    VkAttachmentReference colour = { 0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL };
    VkSubpassDescription subpass = { .pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS, .colorAttachmentCount = 1,
                                     .pColorAttachments = &colour };
    VkRenderPassCreateInfo passes = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO, .attachmentCount = 1,
                                      .pAttachments = &attached, .subpassCount = 1, .pSubpasses = &subpass };
    MUST(vkCreateRenderPass(dev, &passes, NULL, &pass));
    VkFramebufferCreateInfo framed = { .sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO, .renderPass = pass,
                                       .attachmentCount = 1, .pAttachments = &view, .width = width, .height = height, .layers = 1 };
    MUST(vkCreateFramebuffer(dev, &framed, NULL, &frame));
    VkPipelineLayoutCreateInfo no_layout = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO };
    MUST(vkCreatePipelineLayout(dev, &no_layout, NULL, &pipes));

    VkPipelineShaderStageCreateInfo stages[2] = {
        { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_VERTEX_BIT, .pName = "main",
          .module = scene ? shader(scene_vert, sizeof(scene_vert)) : shader(triangle_vert, sizeof(triangle_vert)) },
        { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_FRAGMENT_BIT, .pName = "main",
          .module = scene ? shader(scene_frag, sizeof(scene_frag)) : shader(triangle_frag, sizeof(triangle_frag)) } };
    VkPipelineVertexInputStateCreateInfo vertices = { .sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO };
    VkPipelineInputAssemblyStateCreateInfo triangles = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO, .topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST };
    VkViewport port = { 0, 0, width, height, 0, 1 };
    VkRect2D whole = { { 0, 0 }, { width, height } };
    VkPipelineViewportStateCreateInfo ports = { .sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
                                                .viewportCount = 1, .pViewports = &port, .scissorCount = 1, .pScissors = &whole };
    VkPipelineRasterizationStateCreateInfo raster = { .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO,
                                                      .lineWidth = 1 };
    VkPipelineMultisampleStateCreateInfo samples = { .sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
                                                     .rasterizationSamples = VK_SAMPLE_COUNT_1_BIT };
    VkPipelineColorBlendAttachmentState mask = { .colorWriteMask = 0xf };
    VkPipelineColorBlendStateCreateInfo blend = { .sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
                                                  .attachmentCount = 1, .pAttachments = &mask };
    VkGraphicsPipelineCreateInfo made = {
        .sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO, .stageCount = 2, .pStages = stages,
        .pVertexInputState = &vertices, .pInputAssemblyState = &triangles, .pViewportState = &ports,
        .pRasterizationState = &raster, .pMultisampleState = &samples, .pColorBlendState = &blend, .layout = pipes,
        .renderPass = pass };
    MUST(vkCreateGraphicsPipelines(dev, NULL, 1, &made, NULL, &pipe));

    struct buffer out = buffer(width * height * 4, VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    VkCommandBuffer commands = begin();
    VkClearValue clear = { .color.float32 = { 0.1, 0.1, 0.12, 1 } };
    VkRenderPassBeginInfo drawn = { .sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO, .renderPass = pass, .framebuffer = frame,
                                    .renderArea = whole, .clearValueCount = 1, .pClearValues = &clear };
    vkCmdBeginRenderPass(commands, &drawn, VK_SUBPASS_CONTENTS_INLINE);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, pipe);
    vkCmdDraw(commands, 3, 1, 0, 0);
    vkCmdEndRenderPass(commands);
    barrier_of(commands, image, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
    VkBufferImageCopy copy = { .imageSubresource = { VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1 }, .imageExtent = { width, height, 1 } };
    vkCmdCopyImageToBuffer(commands, image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, out.it, 1, &copy);
    to_host(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    finish(commands);

    FILE *ppm = fopen(path, "w");
    if (!ppm)
        die(path, errno);
    fprintf(ppm, "P6\n%u %u\n255\n", width, height);
    for (uint32_t i = 0; i < width * height; i++)
        fwrite((uint8_t *)out.at + i * 4, 3, 1, ppm);
    if (fclose(ppm))
        die(path, errno);
    printf("draw %s %ux%u hash %016lx\n", what, width, height, hash(out.at, width * height * 4));
    return 0;
}

static void fill(uint32_t *at, uint64_t size, uint32_t tag)
{
    for (uint64_t i = 0; i < size / 4; i += 256)
        at[i] = tag ^ i;
}

static uint32_t unlike(const uint32_t *at, uint64_t size, uint32_t tag)
{
    uint32_t wrong = 0;

    for (uint64_t i = 0; i < size / 4; i += 256)
        wrong += at[i] != (tag ^ (uint32_t)i);
    return wrong;
}

static int do_blobs(uint32_t count, uint64_t size, uint32_t rounds)
{
    VkDeviceMemory *memory = calloc(count, sizeof(*memory));
    uint32_t **at = calloc(count, sizeof(*at)), *tag = calloc(count, sizeof(*tag));
    uint32_t type = type_with(~0u, MAPPED), wrong = 0, made = 0, got;
    double start = now(), spent;

    for (uint32_t round = 0; round <= rounds; round++) {
        for (uint32_t i = round % 3; i < count; i += round ? 3 : 1) {
            VkResult result;

            if (memory[i])
                vkFreeMemory(dev, memory[i], NULL);
            memory[i] = VK_NULL_HANDLE;
            result = try_allocate(size, type, &memory[i]);
            if (result == VK_SUCCESS)
                result = vkMapMemory(dev, memory[i], 0, VK_WHOLE_SIZE, 0, (void **)&at[i]);
            if (result != VK_SUCCESS) {
                printf("blobs %u of %u, then %d\n", i, count, result);
                return 2;
            }
            tag[i] = ++made * 2654435761u;
            fill(at[i], size, tag[i]);
        }
        for (got = 0; got < count; got++)
            wrong += unlike(at[got], size, tag[got]);
    }
    spent = now() - start;
    for (uint32_t i = 0; i < count; i++)
        vkFreeMemory(dev, memory[i], NULL);
    printf("blobs %u at once, %u made, %u wrong, %.0f us each\n", count, made, wrong, spent * 1e6 / made);
    return wrong != 0;
}

static int do_churn(uint32_t seconds, uint32_t seed)
{
    struct {
        VkDeviceMemory memory;
        uint64_t size;
        uint32_t *at, tag;
    } blob[24] = { 0 };
    uint32_t type = type_with(~0u, MAPPED), made = 0, looks = 0, wrong = 0, none = 0;
    double end = now() + seconds;

    while (now() < end) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t which = (seed >> 8) % 24, what = (seed >> 16) % 4;

        if (!blob[which].memory) {
            blob[which].size = (1 + (seed >> 20) % 64) * 4096;
            VkResult result = try_allocate(blob[which].size, type, &blob[which].memory);
            if (result == VK_SUCCESS)
                result = vkMapMemory(dev, blob[which].memory, 0, VK_WHOLE_SIZE, 0, (void **)&blob[which].at);
            if (result != VK_SUCCESS) {     /* the BAR is full, others have it */
                vkFreeMemory(dev, blob[which].memory, NULL);
                blob[which].memory = VK_NULL_HANDLE;
                none++;
                continue;
            }
            made++;
            blob[which].tag = seed;
            fill(blob[which].at, blob[which].size, blob[which].tag);
            continue;
        }
        wrong += unlike(blob[which].at, blob[which].size, blob[which].tag);
        looks++;
        if (what == 0) {
            vkFreeMemory(dev, blob[which].memory, NULL);
            blob[which].memory = VK_NULL_HANDLE;
        } else if (what == 1) {
            blob[which].tag = ~seed;
            fill(blob[which].at, blob[which].size, blob[which].tag);
        }
    }
    for (uint32_t i = 0; i < 24; i++) {
        if (blob[i].memory)
            wrong += unlike(blob[i].at, blob[i].size, blob[i].tag);
        vkFreeMemory(dev, blob[i].memory, NULL);
    }
    printf("churn %u made, %u looks, %u refused, %u wrong\n", made, looks, none, wrong);
    return wrong != 0;
}

static int do_timeline(uint32_t count)
{
    VkSemaphoreTypeCreateInfo kind = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                       .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE };
    VkSemaphoreCreateInfo wanted = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &kind };
    VkSemaphore semaphore;
    uint64_t value = 0;

    MUST(vkCreateSemaphore(dev, &wanted, NULL, &semaphore));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t from = 2 * i + 1, to = 2 * i + 2;
        VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
        VkTimelineSemaphoreSubmitInfo values = {
            .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO, .waitSemaphoreValueCount = 1,
            .pWaitSemaphoreValues = &from, .signalSemaphoreValueCount = 1, .pSignalSemaphoreValues = &to };
        VkSubmitInfo submit = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .pNext = &values, .waitSemaphoreCount = 1,
                                .pWaitSemaphores = &semaphore, .pWaitDstStageMask = &stage, .signalSemaphoreCount = 1,
                                .pSignalSemaphores = &semaphore };
        VkSemaphoreSignalInfo signal = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, .semaphore = semaphore, .value = from };
        VkSemaphoreWaitInfo wait = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO, .semaphoreCount = 1,
                                     .pSemaphores = &semaphore, .pValues = &to };

        MUST(vkQueueSubmit(queue, 1, &submit, VK_NULL_HANDLE));
        MUST(vkGetSemaphoreCounterValue(dev, semaphore, &value));
        if (value >= to)
            die("a submit that did not wait", value);
        MUST(vkSignalSemaphore(dev, &signal));
        MUST(vkWaitSemaphores(dev, &wait, 60000000000));
    }
    MUST(vkGetSemaphoreCounterValue(dev, semaphore, &value));
    printf("timeline %u value %lu\n", count, value);
    return value != 2 * (uint64_t)count;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    start();
    if (!strcmp(what, "name"))
        return do_name();
    if (!strcmp(what, "compute") && argc == 3)
        return do_compute(strtoull(argv[2], NULL, 0));
    if (!strcmp(what, "draw") && argc == 6)
        return do_draw(argv[2], atoi(argv[3]), atoi(argv[4]), argv[5]);
    if (!strcmp(what, "blobs") && argc >= 4)
        return do_blobs(atoi(argv[2]), strtoull(argv[3], NULL, 0), argc > 4 ? atoi(argv[4]) : 0);
    if (!strcmp(what, "churn") && argc == 4)
        return do_churn(atoi(argv[2]), atoi(argv[3]));
    if (!strcmp(what, "timeline") && argc == 3)
        return do_timeline(atoi(argv[2]));
    if (!strcmp(what, "cases"))
        return do_cases(argc > 2 ? argv[2] : NULL);
    fprintf(stderr, "vk: name, compute, draw, blobs, churn, cases or timeline\n");
    return 64;
}
