// The service `calls`, but for how a loop is woken: neither libuv nor libevent has a queue of
// calls, so this is what their users write around uv_async_send and event_active.
//
// Calls wait in an array under a mutex. The loop swaps it for an empty one and runs what it has
// got, so the lock is held for a few instructions only. A caller that finds the array empty wakes
// the loop.

#ifndef CALLS_H
#define CALLS_H

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "contract.h"

enum {
    OUTSTANDING = 1024,
    ROUND_TRIPS = 5000,
    // The last call of a batch gives back the permit that was taken for it.
    BATCH = OUTSTANDING / 2,
    BEFORE_A_TRIP = 100000, // nanoseconds
};

struct call {
    void (*run)(void *argument);
    void *argument;
};

struct call_array {
    struct call *calls;
    size_t length, room;
};

struct call_queue {
    pthread_mutex_t lock;
    struct call_array waiting, running;
    void (*wake)(void);
    // Ends the loop; called in its thread.
    void (*stop)(void *);
    uint64_t count;
};

static inline void call_from_thread(struct call_queue *queue, void (*run)(void *), void *argument) {
    pthread_mutex_lock(&queue->lock);
    struct call_array *waiting = &queue->waiting;
    if (waiting->length == waiting->room) {
        waiting->room = waiting->room ? 2 * waiting->room : 64;
        waiting->calls = checked(realloc(waiting->calls, waiting->room * sizeof(struct call)));
    }
    bool first = waiting->length == 0;
    waiting->calls[waiting->length++] = (struct call){run, argument};
    pthread_mutex_unlock(&queue->lock);
    if (first) queue->wake();
}

// For the loop, when it has been woken.
static inline void run_calls(struct call_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    struct call_array taken = queue->waiting;
    queue->waiting = queue->running;
    pthread_mutex_unlock(&queue->lock);
    for (size_t at = 0; at < taken.length; at++) taken.calls[at].run(taken.calls[at].argument);
    taken.length = 0;
    queue->running = taken;
}

// Only the loop touches it while it runs calls.
static uint64_t counted;

static void count_one(void *unused) {
    (void)unused;
    counted++;
}

static void count_and_permit(void *permits) {
    counted++;
    sem_post(permits);
}

static void answer(void *answered) {
    sem_post(answered);
}

static inline void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) == -1 && errno == EINTR) {}
}

static inline void flood(struct call_queue *queue) {
    sem_t permits;
    sem_init(&permits, 0, 2);
    for (uint64_t made = 1; made <= queue->count; made++) {
        if (made % BATCH == 1) wait_for(&permits);
        bool last = made % BATCH == 0 || made == queue->count;
        call_from_thread(queue, last ? count_and_permit : count_one, &permits);
    }
    wait_for(&permits);
    wait_for(&permits);
    if (counted != queue->count) die("calls", "some of them were lost");
}

static inline int compare(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static inline void measure_round_trips(struct call_queue *queue, uint64_t *took, uint64_t trips) {
    sem_t answered;
    sem_init(&answered, 0, 0);
    struct timespec pause = {.tv_nsec = BEFORE_A_TRIP};
    for (uint64_t trip = 0; trip < trips; trip++) {
        nanosleep(&pause, NULL);
        uint64_t start = nanoseconds(CLOCK_MONOTONIC);
        call_from_thread(queue, answer, &answered);
        wait_for(&answered);
        took[trip] = nanoseconds(CLOCK_MONOTONIC) - start;
    }
    qsort(took, trips, sizeof *took, compare);
}

// The other thread.
static void *measure_calls(void *argument) {
    struct call_queue *queue = argument;
    uint64_t cpu = cpu_time(), start = nanoseconds(CLOCK_MONOTONIC);
    flood(queue);
    double cpu_per_call = cpu_time_per_item(&cpu, queue->count);
    double seconds = (double)(nanoseconds(CLOCK_MONOTONIC) - start) / 1e9;
    static uint64_t took[ROUND_TRIPS];
    uint64_t trips = queue->count < ROUND_TRIPS ? queue->count : ROUND_TRIPS;
    measure_round_trips(queue, took, trips);
    printf("{\"cpu\":%.2f,\"calls_per_second\":%.1f,\"round_trip_p50\":%" PRIu64
           ",\"round_trip_p99\":%" PRIu64 ",\"round_trip_worst\":%" PRIu64 "}\n",
           cpu_per_call, (double)queue->count / seconds, took[trips / 2],
           took[trips * 99 / 100], took[trips - 1]);
    call_from_thread(queue, queue->stop, NULL);
    return NULL;
}

static inline pthread_t begin_to_call(struct call_queue *queue) {
    pthread_mutex_init(&queue->lock, NULL);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, measure_calls, queue);
    if (error != 0) die("pthread_create", strerror(error));
    return thread;
}

#endif
