// The common part of the C servers: the contract of src/service.rs.

#ifndef CONTRACT_H
#define CONTRACT_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    BACKLOG = 4096,
    BULK_PERIOD = 251,
    BULK_BLOCK = BULK_PERIOD * 256,
    READ_BUFFER = 64 * 1024,
    RANDOM_LENGTH = 81,
    TICK_INTERVAL = 4000, // milliseconds
};

static inline void die(const char *what, const char *cause) {
    fprintf(stderr, "%s: %s\n", what, cause);
    exit(1);
}

static inline void *checked(void *memory) {
    if (memory == NULL) die("memory", "there is no more of it");
    return memory;
}

// The first line, by which the comparison learns the port.
static inline void print_port(unsigned port) {
    printf("listening on 127.0.0.1:%u\n", port);
    fflush(stdout);
}

// The answer of `random`. Random bytes are fetched for 256 answers at once, which saves a system
// call per connection.
static inline void write_random(char answer[RANDOM_LENGTH]) {
    static char pool[4096];
    static size_t left = 0;
    if (left == 0) {
        if (getrandom(pool, sizeof pool, 0) != sizeof pool) die("getrandom", "too few bytes");
        left = sizeof pool;
    }
    left -= 16;
    memcpy(answer, "You requested some random bytes:\n\n", 34);
    memcpy(answer + 34, pool + left, 16);
    memcpy(answer + 50, "  \n\nYou want fries with that?\n\n", 31);
}

// The block that `bulk` sends again and again.
static inline char *bulk_block(void) {
    static char block[BULK_BLOCK];
    for (size_t at = 0; at < BULK_BLOCK; at++) block[at] = (char)(at % BULK_PERIOD);
    return block;
}

static inline uint64_t scatter(uint64_t index, uint64_t below) {
    return (index * UINT64_C(0x9E3779B97F4A7C15) >> 32) % below;
}

static inline uint64_t far_milliseconds(uint64_t index) {
    return 60000 + scatter(index, 60000);
}

static inline uint64_t near_microseconds(uint64_t index) {
    return scatter(index, 50000);
}

static inline uint64_t first_tick_microseconds(uint64_t index) {
    return scatter(index, TICK_INTERVAL * 1000);
}

static inline uint64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static inline uint64_t cpu_time(void) {
    return nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
}

// CPU time per timer, or per call, since the last reading.
static inline double cpu_time_per_item(uint64_t *since, uint64_t count) {
    uint64_t now = cpu_time();
    double each = (double)(now - *since) / (double)count;
    *since = now;
    return each;
}

struct timer_figures {
    double arm, reset, arm_and_cancel, cancel, arm_and_fire;
};

static inline void print_timers(const struct timer_figures *figures) {
    printf("{\"arm\":%.2f,\"reset\":%.2f,\"arm_and_cancel\":%.2f,\"cancel\":%.2f,", figures->arm,
           figures->reset, figures->arm_and_cancel, figures->cancel);
    printf("\"arm_and_fire\":%.2f}\n", figures->arm_and_fire);
}

// The COUNT of a service; 0 if there is none.
static inline uint64_t count_of(int argc, char **argv) {
    return argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
}

static inline int usage(const char *program) {
    fprintf(stderr, "usage: %s random|echo|bulk|broadcast\n", program);
    fprintf(stderr, "       %s beside-broadcast|beside-timers|timers|calls COUNT\n", program);
    return 2;
}

#endif
