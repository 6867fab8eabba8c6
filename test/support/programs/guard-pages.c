// SPDX-License-Identifier: Apache-2.0
/* To be preloaded: the library's aligned allocations each end right before a page that may not be touched, begin after
 * one, and are never given out again. A kernel that reads or writes beyond its buffers, or after they were freed, dies
 * on the spot. Alignment is kept to what every element needs (4 bytes), so that ends are exact. Linux only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kPage = 4096 };
static const size_t kArena = (size_t)1 << 36;

static char *arena; /* no access but to what has been given out */
static atomic_size_t used;
static uint32_t pagesOf[((size_t)1 << 36) / kPage]; /* of the block whose first page this is; zero pages cost nothing */

__attribute__((constructor)) static void reserve(void) {
  void *p = mmap(NULL, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  arena = p == MAP_FAILED ? NULL : p;
}

__attribute__((destructor)) static void report(void) {
  fprintf(stderr, "guarded %zu MB\n", atomic_load(&used) >> 20);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
  static int (*next)(void **, size_t, size_t);
  if (!next) next = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
  if (alignment != 64 && alignment != (size_t)2 << 20) return next(out, alignment, bytes); /* not the library's */
  const size_t pages = (bytes + kPage - 1) / kPage, taken = (pages + 1) * kPage; /* one stays closed */
  const size_t at = atomic_fetch_add(&used, taken) + kPage;
  if (!arena || at + taken > kArena) return ENOMEM;
  if (mprotect(arena + at, pages * kPage, PROT_READ | PROT_WRITE) != 0) return ENOMEM;
  pagesOf[at / kPage] = (uint32_t)pages;
  *out = (void *)((uintptr_t)(arena + at + pages * kPage - bytes) & ~(uintptr_t)3);
  return 0;
}

void free(void *p) {
  static void (*next)(void *);
  if (!next) next = (void (*)(void *))dlsym(RTLD_NEXT, "free");
  const size_t offset = (size_t)((char *)p - arena);
  if (!arena || (char *)p < arena || offset >= kArena) {
    next(p);
    return;
  }
  const size_t at = offset / kPage * kPage;
  mmap(arena + at, (size_t)pagesOf[at / kPage] * kPage, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
