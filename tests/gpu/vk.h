/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vk.c has for cases.c. */
#ifndef VK_H
#define VK_H

#include <stddef.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

#define MUST(call) do {                                                     \
        VkResult must_ = (call);                                            \
        if (must_ != VK_SUCCESS)                                            \
            die(#call, must_);                                              \
    } while (0)

/* memory that the CPU maps */
#define MAPPED (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)

extern VkDevice dev;
extern VkQueue queue;
extern VkCommandPool pool;
extern VkPhysicalDeviceMemoryProperties types;

struct buffer {
    VkBuffer it;
    VkDeviceMemory memory;
    void *at;
};

void die(const char *what, int result);
uint64_t hash(const void *data, size_t size);
uint32_t type_with(uint32_t allowed, VkMemoryPropertyFlags flags);
VkResult try_allocate(uint64_t size, uint32_t type, VkDeviceMemory *memory);
struct buffer buffer(uint64_t size, VkBufferUsageFlags usage);
VkShaderModule shader(const uint32_t *code, size_t size);
VkCommandBuffer begin(void);
/* Submit, and wait by a fence. */
void finish(VkCommandBuffer commands);
void to_host(VkCommandBuffer commands, VkPipelineStageFlags from, VkAccessFlags written);

int do_cases(const char *only);

#endif
