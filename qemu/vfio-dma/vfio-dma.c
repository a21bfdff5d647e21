/*
 * A device of the guest in the hands of a program in its user space: binds a DMA engine
 * (docs/reference/dma-engine.md) to vfio-pci, maps memory for it with VFIO_IOMMU_MAP_DMA at I/O
 * virtual addresses of its own choice, lets it read and write there, unmaps, and tries again.
 *
 *   vfio-dma device=0000:00:03.0 iova=0x100000 bytes=65536 [beyond=ADDRESS] [reserved=ADDRESS]
 *            [many=COUNT] [unsafe=1]
 *
 * Prints a line for each step, `step=NAME errno=NUMBER key=value ...`; errno 0 is success. A step
 * that must fail is made all the same: whoever reads the lines knows what is right. Exits with 0
 * when it came to its end, with 1 when a step failed without which there is no next one.
 *
 * Needs no C library: it is to run in an initramfs that has none.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/types.h>
#include <linux/vfio.h>

#include "start.h"

typedef __u8 u8;
typedef __u32 u32;
typedef __u64 u64;

#define PAGE 4096ul

/* As in src/spec/pci-devices.ts. */
#define DMA_ENGINE_VENDOR_ID 0x1b36
#define DMA_ENGINE_DEVICE_ID 0x70d0

/* ---- what a C library would have -------------------------------------------------------- */

/* The compiler calls these by itself. */
void *memset(void *to, int value, unsigned long count)
{
  volatile u8 *at = to;
  while (count-- > 0)
    *at++ = (u8)value;
  return to;
}

static unsigned long length(const char *text)
{
  unsigned long count = 0;
  while (text[count] != 0)
    count++;
  return count;
}

/* The rest of `text` behind `start`, or nothing. */
static const char *behind(const char *text, const char *start)
{
  while (*start != 0)
    if (*text++ != *start++)
      return 0;
  return text;
}

static u64 number(const char *text)
{
  u64 value = 0;
  u64 base = 10;
  if (text[0] == '0' && text[1] == 'x') {
    base = 16;
    text += 2;
  }
  for (; *text != 0; text++) {
    u64 digit = (u64)(*text <= '9' ? *text - '0' : (*text | 0x20) - 'a' + 10);
    if (digit >= base)
      break;
    value = value * base + digit;
  }
  return value;
}

/* ---- one line of output, collected and then written in one piece ------------------------ */

static char line[1024];
static unsigned long filled;

static void text(const char *more)
{
  while (*more != 0 && filled < sizeof(line) - 1)
    line[filled++] = *more++;
}

static void hex(const char *key, u64 value)
{
  int shift = 60;
  text(key);
  text("0x");
  while (shift > 0 && (value >> shift) == 0)
    shift -= 4;
  for (; shift >= 0; shift -= 4) {
    char digit[2] = { "0123456789abcdef"[(value >> shift) & 15], 0 };
    text(digit);
  }
}

static void decimal(const char *key, u64 value)
{
  char digits[21];
  int at = 20;
  digits[20] = 0;
  do
    digits[--at] = (char)('0' + value % 10);
  while ((value /= 10) > 0);
  text(key);
  text(digits + at);
}

static void end_line(void)
{
  line[filled++] = '\n';
  call(__NR_write, 1, (long)line, (long)filled, 0, 0, 0);
  filled = 0;
}

/* Begins the line of a step; `result` is what its system call returned. */
static void step(const char *name, long result)
{
  text("step=");
  text(name);
  decimal(" errno=", result < 0 ? (u64)-result : 0);
}

__attribute__((noreturn)) static void leave(int status)
{
  for (;;)
    call(__NR_exit_group, status, 0, 0, 0, 0, 0);
}

/* A step without which there is no next one. */
static long need(const char *name, long result)
{
  if (result < 0) {
    step(name, result);
    end_line();
    leave(1);
  }
  return result;
}

/* ---- system calls ------------------------------------------------------------------------ */

static long open_file(const char *path, int flags)
{
  return call(__NR_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0, 0, 0);
}

static long control(long file, unsigned long request, void *argument)
{
  return call(__NR_ioctl, file, (long)request, (long)argument, 0, 0, 0);
}

static u8 *map_memory(unsigned long size, int protection, int flags, long file, u64 offset)
{
  long at = need("memory", call(__NR_mmap, 0, (long)size, protection, flags, file, (long)offset));
  return (u8 *)at;
}

static long put(const char *path, const char *value)
{
  long file = open_file(path, O_WRONLY);
  long result = file;
  if (file >= 0) {
    result = call(__NR_write, file, (long)value, (long)length(value), 0, 0, 0);
    call(__NR_close, file, 0, 0, 0, 0, 0);
  }
  return result;
}

/* ---- names in sysfs ---------------------------------------------------------------------- */

static char path_buffer[256];

static const char *path(const char *one, const char *two, const char *three)
{
  const char *parts[3] = { one, two, three };
  unsigned long at = 0;
  for (int i = 0; i < 3; i++)
    for (const char *from = parts[i]; *from != 0 && at < sizeof(path_buffer) - 1;)
      path_buffer[at++] = *from++;
  path_buffer[at] = 0;
  return path_buffer;
}

#define DEVICES "/sys/bus/pci/devices/"

/* The last part of what a link of the device points to; empty without one. */
static const char *link_of(const char *device, const char *name)
{
  static char target[256];
  long count = call(__NR_readlinkat, AT_FDCWD, (long)path(DEVICES, device, name), (long)target,
                    sizeof(target) - 1, 0, 0);
  const char *last = target;
  target[count > 0 ? count : 0] = 0;
  for (const char *at = target; *at != 0; at++)
    if (*at == '/')
      last = at + 1;
  return last;
}

/* ---- the arguments ----------------------------------------------------------------------- */

static const char *device = "";
static u64 iova, bytes = 16 * PAGE, beyond, reserved, many, unsafe;

static void argument(const char *given)
{
  static const struct {
    const char *key;
    u64 *value;
  } numbers[] = { { "iova=", &iova },         { "bytes=", &bytes }, { "beyond=", &beyond },
                  { "reserved=", &reserved }, { "many=", &many },   { "unsafe=", &unsafe } };
  const char *value = behind(given, "device=");
  if (value)
    device = value;
  for (unsigned long i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
    if ((value = behind(given, numbers[i].key)))
      *numbers[i].value = number(value);
}

/* ---- the engine -------------------------------------------------------------------------- */

#define DMA_ENGINE_MAGIC 0x414d4456
#define DMA_ENGINE_R_MAGIC 0x00
#define DMA_ENGINE_R_ADDRESS_LO 0x08
#define DMA_ENGINE_R_ADDRESS_HI 0x0c
#define DMA_ENGINE_R_LENGTH 0x10
#define DMA_ENGINE_R_OFFSET 0x14
#define DMA_ENGINE_R_CONTROL 0x18
#define DMA_ENGINE_R_STATUS 0x1c
#define DMA_ENGINE_R_DONE 0x20
#define DMA_ENGINE_R_DELAY 0x34
#define DMA_ENGINE_C_GO 1
#define DMA_ENGINE_C_WRITE 2
#define DMA_ENGINE_S_FAULT 2
#define DMA_ENGINE_S_BUSY 4
#define DMA_ENGINE_BUFFER 0x10000
#define DMA_ENGINE_BUFFER_SIZE 0x10000ul

static volatile u8 *bar;

static u32 get_register(u32 at)
{
  BARRIER();
  return *(volatile u32 *)(bar + at);
}

static void set_register(u32 at, u32 value)
{
  *(volatile u32 *)(bar + at) = value;
  BARRIER();
}

enum direction { READ = 0, WRITE = DMA_ENGINE_C_WRITE };

/* One transfer; whether it went without a fault. Waits for an engine that takes its time. */
static int transfer(enum direction direction, u64 address, u64 count)
{
  u32 status = DMA_ENGINE_S_BUSY;
  set_register(DMA_ENGINE_R_ADDRESS_LO, (u32)address);
  set_register(DMA_ENGINE_R_ADDRESS_HI, (u32)(address >> 32));
  set_register(DMA_ENGINE_R_LENGTH, (u32)count);
  set_register(DMA_ENGINE_R_OFFSET, 0);
  set_register(DMA_ENGINE_R_DELAY, 0);
  set_register(DMA_ENGINE_R_STATUS, ~0u);
  set_register(DMA_ENGINE_R_CONTROL, DMA_ENGINE_C_GO | (u32)direction);
  for (int tries = 0; tries < 100000 && (status & DMA_ENGINE_S_BUSY) != 0; tries++)
    status = get_register(DMA_ENGINE_R_STATUS);
  return (status & (DMA_ENGINE_S_FAULT | DMA_ENGINE_S_BUSY)) == 0 &&
         get_register(DMA_ENGINE_R_DONE) == count;
}

/* Words that differ from each other, and between one seed and another. */
static u32 pattern(u32 seed, u64 index)
{
  return (seed + (u32)index) * 2654435761u;
}

static void fill(volatile u32 *to, u64 count, u32 seed)
{
  for (u64 i = 0; i < count / 4; i++)
    to[i] = pattern(seed, i);
}

static int holds(volatile const u32 *from, u64 count, u32 seed)
{
  for (u64 i = 0; i < count / 4; i++)
    if (from[i] != pattern(seed, i))
      return 0;
  return 1;
}

static volatile u32 *engine_buffer(void)
{
  return (volatile u32 *)(bar + DMA_ENGINE_BUFFER);
}

/* ---- VFIO -------------------------------------------------------------------------------- */

static long container, group, device_file;
static u64 bar_size;

static long map_dma(void *memory, u64 address, u64 size, u32 flags)
{
  struct vfio_iommu_type1_dma_map map = {
    .argsz = sizeof(map), .flags = flags, .vaddr = (u64)memory, .iova = address, .size = size
  };
  return control(container, VFIO_IOMMU_MAP_DMA, &map);
}

static long unmap_dma(u64 address, u64 size, u64 *gone)
{
  struct vfio_iommu_type1_dma_unmap unmap = {
    .argsz = sizeof(unmap), .flags = 0, .iova = address, .size = size
  };
  long result = control(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
  *gone = unmap.size;
  return result;
}

#define BOTH (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

/* Reports a mapping that was asked for. */
static long report_map(const char *name, void *memory, u64 address, u64 size, u32 flags)
{
  long result = map_dma(memory, address, size, flags);
  step(name, result);
  hex(" iova=", address);
  hex(" bytes=", size);
  decimal(" access=", flags);
  end_line();
  return result;
}

static void report_unmap(const char *name, u64 address, u64 size)
{
  u64 gone = 0;
  long result = unmap_dma(address, size, &gone);
  step(name, result);
  hex(" iova=", address);
  hex(" bytes=", size);
  hex(" gone=", gone);
  end_line();
}

/* Where the guest's kernel put each page of the buffer: what MAP must have said. */
static void report_pages(u8 *memory, u64 address, u64 size)
{
  long file = open_file("/proc/self/pagemap", O_RDONLY);
  for (u64 at = 0; at < size; at += PAGE) {
    u64 entry = 0;
    long result = file < 0 ? file
                           : call(__NR_pread64, file, (long)&entry, sizeof(entry),
                                  (long)(((u64)memory + at) / PAGE * sizeof(entry)), 0, 0);
    step("page", result < 0 ? result : 0);
    hex(" iova=", address + at);
    hex(" gpa=", (entry & ((1ul << 55) - 1)) * PAGE);
    end_line();
  }
  if (file >= 0)
    call(__NR_close, file, 0, 0, 0, 0, 0);
}

/* The device reads the whole buffer; what it got is compared. */
static void report_read(const char *name, u64 address, u64 size, u32 seed)
{
  fill(engine_buffer(), size, 99);
  int done = transfer(READ, address, size);
  step(name, 0);
  hex(" iova=", address);
  decimal(" done=", (u64)done);
  decimal(" bytes=", get_register(DMA_ENGINE_R_DONE));
  decimal(" right=", (u64)holds(engine_buffer(), size, seed));
  decimal(" untouched=", (u64)holds(engine_buffer(), size, 99));
  end_line();
}

/* The device writes; `before` is what the memory has now. */
static void report_write(const char *name, u8 *memory, u64 address, u64 size, u32 before, u32 seed)
{
  fill(engine_buffer(), size, seed);
  int done = transfer(WRITE, address, size);
  step(name, 0);
  hex(" iova=", address);
  decimal(" done=", (u64)done);
  decimal(" bytes=", get_register(DMA_ENGINE_R_DONE));
  decimal(" right=", (u64)holds((u32 *)memory, size, seed));
  decimal(" untouched=", (u64)holds((u32 *)memory, size, before));
  end_line();
}

/* ---- the steps --------------------------------------------------------------------------- */

/* What a file of the device in sysfs says, as a number. */
static u64 property(const char *name)
{
  char value[32];
  long file = open_file(path(DEVICES, device, name), O_RDONLY);
  long count = file < 0 ? file : call(__NR_read, file, (long)value, sizeof(value) - 1, 0, 0, 0);
  if (file >= 0)
    call(__NR_close, file, 0, 0, 0, 0, 0);
  value[count > 0 ? count : 0] = 0;
  return number(value);
}

/*
 * Nothing but the engine is ever taken from its driver: started by mistake where it does not belong,
 * on a host, say, this program must not take away a network card that has the same address.
 */
static void need_engine(void)
{
  int right = property("/vendor") == DMA_ENGINE_VENDOR_ID &&
              property("/device") == DMA_ENGINE_DEVICE_ID;
  need("engine", right ? 0 : -ENODEV);
}

static void bind_driver(void)
{
  long result;
  if (unsafe)
    put("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "1");
  put(path(DEVICES, device, "/driver/unbind"), device);
  put(path(DEVICES, device, "/driver_override"), "vfio-pci");
  result = put("/sys/bus/pci/drivers_probe", device);
  step("bind", result);
  text(" driver=");
  text(link_of(device, "/driver"));
  text(" group=");
  text(link_of(device, "/iommu_group"));
  end_line();
}

/* Closes everything, and leaves the device without a driver, as it was found. */
static void give_back(void)
{
  call(__NR_munmap, (long)bar, (long)bar_size, 0, 0, 0, 0);
  call(__NR_close, device_file, 0, 0, 0, 0, 0);
  call(__NR_close, group, 0, 0, 0, 0, 0);
  call(__NR_close, container, 0, 0, 0, 0, 0);
  long result = put(path(DEVICES, device, "/driver/unbind"), device);
  put(path(DEVICES, device, "/driver_override"), "\n");
  step("done", result);
  text(" driver=");
  text(link_of(device, "/driver"));
  end_line();
}

static void open_group(void)
{
  struct vfio_group_status status = { .argsz = sizeof(status) };
  need("group", group = open_file(path("/dev/vfio/", link_of(device, "/iommu_group"), ""), O_RDWR));
  need("group-status", control(group, VFIO_GROUP_GET_STATUS, &status));
  step("group", 0);
  decimal(" viable=", status.flags & VFIO_GROUP_FLAGS_VIABLE);
  end_line();
  need("container", container = open_file("/dev/vfio/vfio", O_RDWR));
  int file = (int)container;
  need("group-container", control(group, VFIO_GROUP_SET_CONTAINER, &file));
  step("container", 0);
  decimal(" api=", (u64)control(container, VFIO_GET_API_VERSION, 0));
  decimal(" type1v2=",
          (u64)call(__NR_ioctl, container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU, 0, 0, 0));
  end_line();
  need("iommu", call(__NR_ioctl, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU, 0, 0, 0));
}

/* What the kernel says can be mapped: page sizes, ranges, how many. */
static void report_limits(void)
{
  static union {
    struct vfio_iommu_type1_info info;
    u8 room[4096];
  } answer;
  answer.info.argsz = sizeof(answer);
  need("limits", control(container, VFIO_IOMMU_GET_INFO, &answer.info));
  step("limits", 0);
  hex(" pagesizes=", answer.info.iova_pgsizes);
  end_line();
  u32 at = (answer.info.flags & VFIO_IOMMU_INFO_CAPS) != 0 ? answer.info.cap_offset : 0;
  while (at != 0 && at < sizeof(answer) - sizeof(struct vfio_info_cap_header)) {
    struct vfio_info_cap_header *head = (void *)(answer.room + at);
    if (head->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      struct vfio_iommu_type1_info_cap_iova_range *ranges = (void *)head;
      for (u32 i = 0; i < ranges->nr_iovas; i++) {
        step("range", 0);
        hex(" start=", ranges->iova_ranges[i].start);
        hex(" end=", ranges->iova_ranges[i].end);
        end_line();
      }
    } else if (head->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
      struct vfio_iommu_type1_info_dma_avail *available = (void *)head;
      step("available", 0);
      decimal(" mappings=", available->avail);
      end_line();
    }
    at = head->next;
  }
}

/* The device's registers in our address space, and its right to access memory. */
static void open_device(void)
{
  struct vfio_region_info region = { .argsz = sizeof(region), .index = VFIO_PCI_BAR0_REGION_INDEX };
  struct vfio_region_info config = { .argsz = sizeof(config),
                                     .index = VFIO_PCI_CONFIG_REGION_INDEX };
  need("device", device_file = control(group, VFIO_GROUP_GET_DEVICE_FD, (void *)device));
  need("region", control(device_file, VFIO_DEVICE_GET_REGION_INFO, &region));
  need("config", control(device_file, VFIO_DEVICE_GET_REGION_INFO, &config));
  /* PCI command register: memory space and bus master. */
  __u16 command = 6;
  need("bus-master", call(__NR_pwrite64, device_file, (long)&command, sizeof(command),
                          (long)(config.offset + 4), 0, 0));
  bar_size = region.size;
  bar = map_memory(bar_size, PROT_READ | PROT_WRITE, MAP_SHARED, device_file, region.offset);
  step("device", get_register(DMA_ENGINE_R_MAGIC) == DMA_ENGINE_MAGIC ? 0 : -ENODEV);
  hex(" registers=", region.size);
  end_line();
}

/* What cannot be mapped, and how that is told. */
static void try_limits(u8 *memory)
{
  report_map("refused-unaligned", memory, iova + 0x200, PAGE, BOTH);
  report_map("refused-overlap", memory, iova, PAGE, BOTH);
  if (beyond != 0)
    report_map("refused-beyond", memory, beyond, PAGE, BOTH);
  if (reserved != 0)
    report_map("refused-reserved", memory, reserved, PAGE, BOTH);
}

/* More mappings than the host keeps: which calls fail, and which of the mappings are there. */
static void try_many(u8 *memory, u64 from)
{
  u64 made = 0, reached = 0, gone = 0;
  long result = 0;
  for (; made < many; made++) {
    result = map_dma(memory, from + made * 2 * PAGE, PAGE, BOTH);
    if (result < 0)
      break;
  }
  for (u64 i = 0; i < made; i++)
    reached += (u64)transfer(READ, from + i * 2 * PAGE, 16);
  step("many", result);
  hex(" iova=", from);
  hex(" bytes=", many * 2 * PAGE);
  decimal(" asked=", many);
  decimal(" made=", made);
  decimal(" reached=", reached);
  end_line();
  report_unmap("many-unmap", from, many * 2 * PAGE);
  /* Room again: one more is made, and reached. */
  result = map_dma(memory, from, PAGE, BOTH);
  reached = (u64)transfer(READ, from, 16);
  unmap_dma(from, PAGE, &gone);
  step("many-again", result);
  decimal(" reached=", reached);
  end_line();
}

static void work(void)
{
  const u64 first = bytes <= DMA_ENGINE_BUFFER_SIZE ? bytes : DMA_ENGINE_BUFFER_SIZE;
  const u64 readable = iova + bytes + 16 * PAGE;
  u8 *memory = map_memory(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  u8 *other = map_memory(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill((u32 *)memory, bytes, 1);
  fill((u32 *)other, PAGE, 2);

  need("map", report_map("map", memory, iova, bytes, BOTH));
  report_pages(memory, iova, bytes);
  report_read("read", iova, first, 1);
  report_write("write", memory, iova, first, 1, 3);

  report_map("map-readable", other, readable, PAGE, VFIO_DMA_MAP_FLAG_READ);
  report_pages(other, readable, PAGE);
  report_read("read-readable", readable, 64, 2);
  report_write("write-readable", other, readable, 64, 2, 4);
  report_unmap("unmap-readable", readable, PAGE);

  try_limits(memory);
  if (many != 0)
    try_many(other, readable + 16 * PAGE);

  report_unmap("unmap", iova, bytes);
  report_read("read-unmapped", iova, 64, 3);
  report_write("write-unmapped", memory, iova, 64, 3, 5);
}

/* Called by _start with the stack as the kernel made it: count, arguments. */
__attribute__((noreturn, used)) void begin(long *stack)
{
  const char **arguments = (const char **)(stack + 1);
  for (long i = 1; i < stack[0]; i++)
    argument(arguments[i]);
  need_engine();
  bind_driver();
  open_group();
  report_limits();
  open_device();
  work();
  give_back();
  leave(0);
}
