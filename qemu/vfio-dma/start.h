/* Entry and system calls without a C library, for arm64 and x86-64 (Linux' syscall ABI of each). */
#ifndef START_H
#define START_H

#include <asm/unistd.h>

#if defined(__aarch64__)

__asm__(".globl _start\n"
        "_start:\n"
        "  mov x0, sp\n"
        "  and sp, x0, #-16\n"
        "  bl begin\n");

static inline long call(long number, long a, long b, long c, long d, long e, long f)
{
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}

/* Device registers are ordered against the buffer in ordinary memory. */
#define BARRIER() __asm__ volatile("dsb sy" ::: "memory")

#elif defined(__x86_64__)

__asm__(".globl _start\n"
        "_start:\n"
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call begin\n");

static inline long call(long number, long a, long b, long c, long d, long e, long f)
{
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

#define BARRIER() __asm__ volatile("mfence" ::: "memory")

#else
#error "for arm64 and x86-64"
#endif

#endif
