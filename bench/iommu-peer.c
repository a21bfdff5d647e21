/*
 * The peer of bench/iommu.ts: mappings of a domain in a balanced binary tree of intervals, as C
 * device models keep them with GLib's GTree, and domains in another one.
 *
 *   iommu-peer MAPPINGS DOMAINS ORDER SEED ACCESSES
 *
 * Prints one line: nanoseconds per MAP, UNMAP, sequential and random look-up, bytes per mapping.
 */
#include <glib.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    uint64_t low, high;
} Interval;

typedef struct {
    uint64_t phys;
    uint32_t flags;
} Target;

static gint compare_intervals(gconstpointer a, gconstpointer b, gpointer data)
{
    const Interval *x = a, *y = b;
    (void)data;
    if (x->high < y->low) return -1;
    return x->low > y->high;
}

static gint compare_ids(gconstpointer a, gconstpointer b, gpointer data)
{
    guint x = GPOINTER_TO_UINT(a), y = GPOINTER_TO_UINT(b);
    (void)data;
    return (x > y) - (x < y);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static uint32_t state;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void shuffle(uint32_t *list, uint32_t count)
{
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = next_random() % (i + 1), kept = list[i];
        list[i] = list[j];
        list[j] = kept;
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) return 2;
    uint32_t count = strtoul(argv[1], NULL, 0), domains = strtoul(argv[2], NULL, 0);
    int random_order = strcmp(argv[3], "random") == 0;
    state = strtoul(argv[4], NULL, 0);
    uint32_t accesses = strtoul(argv[5], NULL, 0);
    uint32_t *order = malloc(count * sizeof *order);
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    if (random_order) shuffle(order, count);

    size_t before = mallinfo2().uordblks;
    GTree *all = g_tree_new_full(compare_ids, NULL, NULL, NULL);
    for (uint32_t d = 0; d < domains; d++) {
        g_tree_insert(all, GUINT_TO_POINTER(d + 1),
                      g_tree_new_full(compare_intervals, NULL, g_free, g_free));
    }
    double start = now();
    for (uint32_t i = 0; i < count; i++) {
        GTree *tree = g_tree_lookup(all, GUINT_TO_POINTER(order[i] % domains + 1));
        Interval *key = g_new(Interval, 1);
        key->low = (uint64_t)order[i] << 12;
        key->high = key->low | 0xfff;
        if (g_tree_lookup(tree, key) != NULL) abort();
        Target *target = g_new(Target, 1);
        target->phys = key->low + (1ull << 32);
        target->flags = 3;
        g_tree_insert(tree, key, target);
    }
    double map = (now() - start) / count;
    double bytes = (double)(mallinfo2().uordblks - before) / count;

    uint64_t sum = 0;
    start = now();
    for (uint32_t i = 0; i < accesses; i++) {
        uint32_t page = i % count;
        GTree *tree = g_tree_lookup(all, GUINT_TO_POINTER(page % domains + 1));
        Interval key = { (uint64_t)page << 12, (uint64_t)page << 12 };
        Target *target = g_tree_lookup(tree, &key);
        sum += target->phys;
    }
    double sequential = (now() - start) / accesses;

    uint32_t *pages = malloc(accesses * sizeof *pages);
    for (uint32_t i = 0; i < accesses; i++) pages[i] = next_random() % count;
    start = now();
    for (uint32_t i = 0; i < accesses; i++) {
        GTree *tree = g_tree_lookup(all, GUINT_TO_POINTER(pages[i] % domains + 1));
        Interval key = { (uint64_t)pages[i] << 12, (uint64_t)pages[i] << 12 };
        Target *target = g_tree_lookup(tree, &key);
        sum += target->phys;
    }
    double random_access = (now() - start) / accesses;

    if (random_order) shuffle(order, count);
    start = now();
    for (uint32_t i = 0; i < count; i++) {
        GTree *tree = g_tree_lookup(all, GUINT_TO_POINTER(order[i] % domains + 1));
        Interval range = { (uint64_t)order[i] << 12, (uint64_t)order[i] << 12 | 0xfff };
        gpointer found_key;
        /* As a device does it: whatever lies in the range, until nothing does. */
        while (g_tree_lookup_extended(tree, &range, &found_key, NULL)) {
            Interval *mapping = found_key;
            if (mapping->low < range.low || mapping->high > range.high) abort();
            g_tree_remove(tree, mapping);
        }
    }
    double unmap = (now() - start) / count;
    printf("%.2f %.2f %.2f %.2f %.1f %llu\n", map, unmap, sequential, random_access, bytes,
           (unsigned long long)sum);
    return 0;
}
