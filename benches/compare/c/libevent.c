// The services of src/service.rs on libevent, as most of its users would write them.
//
// - Connections that stay are bufferevents, for that is what libevent offers for it: data are moved
//   from buffer to buffer without a copy, and sent when the loop finds the socket writable.
// - `random` needs no bufferevent: its answer fits in the buffer of a new socket, so it is written
//   and the connection closed where it was accepted.
// - TCP_NODELAY is set at the listening socket, from which Linux hands it down.
// - A bufferevent writes no more than 16 KiB at once unless told; it is told.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <event2/thread.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <unistd.h>

#include "calls.h"
#include "contract.h"

// How much `bulk` has waiting, and how much is sent at once: some blocks, so that there is
// something to send whenever there is room.
enum { BLOCKS_WAITING = 4, WRITE_AT_ONCE = BLOCKS_WAITING * BULK_BLOCK };

typedef void (*begin_cb)(struct bufferevent *connection);

static struct event_base *base;
static char *block;

static struct {
    struct member **all;
    size_t count, room;
} members;

struct member {
    struct bufferevent *connection;
    size_t place;
};

static void lost(struct bufferevent *connection, short events, void *unused) {
    (void)events, (void)unused;
    bufferevent_free(connection);
}

// random

static void answer_random(struct evconnlistener *listener, evutil_socket_t fd,
                          struct sockaddr *addr, int length, void *unused) {
    (void)listener, (void)addr, (void)length, (void)unused;
    char answer[RANDOM_LENGTH];
    write_random(answer);
    // A new connection has room for it; and if it is broken, it is closed all the same.
    if (write(fd, answer, sizeof answer) < 0) {}
    evutil_closesocket(fd);
}

// echo

static void echo(struct bufferevent *connection, void *unused) {
    (void)unused;
    struct evbuffer *output = bufferevent_get_output(connection);
    bufferevent_write_buffer(connection, bufferevent_get_input(connection));
    // The peer does not read: nor does this end, until all is gone.
    if (evbuffer_get_length(output) > READ_BUFFER) bufferevent_disable(connection, EV_READ);
}

static void echo_on(struct bufferevent *connection, void *unused) {
    (void)unused;
    if (!(bufferevent_get_enabled(connection) & EV_READ)) bufferevent_enable(connection, EV_READ);
}

static void free_when_sent(struct bufferevent *connection, void *unused) {
    (void)unused;
    bufferevent_free(connection);
}

static void echo_ended(struct bufferevent *connection, short events, void *unused) {
    size_t waiting = evbuffer_get_length(bufferevent_get_output(connection));
    if (!(events & BEV_EVENT_EOF) || waiting == 0) return lost(connection, events, unused);
    bufferevent_disable(connection, EV_READ);
    bufferevent_setcb(connection, NULL, free_when_sent, lost, NULL);
}

static void begin_echo(struct bufferevent *connection) {
    bufferevent_setcb(connection, echo, echo_on, echo_ended, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

// bulk

static void send_blocks(struct bufferevent *connection, void *unused) {
    (void)unused;
    struct evbuffer *output = bufferevent_get_output(connection);
    while (evbuffer_get_length(output) <= WRITE_AT_ONCE - BULK_BLOCK) {
        evbuffer_add_reference(output, block, BULK_BLOCK, NULL, NULL);
    }
}

static void begin_bulk(struct bufferevent *connection) {
    bufferevent_setcb(connection, NULL, send_blocks, lost, NULL);
    bufferevent_setwatermark(connection, EV_WRITE, BULK_BLOCK, 0);
    bufferevent_enable(connection, EV_WRITE);
    send_blocks(connection, NULL);
}

// broadcast

static void send_to_all(struct bufferevent *connection, void *unused) {
    (void)unused;
    struct evbuffer *input = bufferevent_get_input(connection);
    size_t length = evbuffer_get_length(input);
    // For the short messages of a chat a copy is cheaper than a shared reference.
    unsigned char *data = evbuffer_pullup(input, -1);
    for (size_t at = 0; at < members.count; at++) {
        bufferevent_write(members.all[at]->connection, data, length);
    }
    evbuffer_drain(input, length);
}

static void leave(struct bufferevent *connection, short events, void *argument) {
    struct member *member = argument;
    struct member *last = members.all[--members.count];
    members.all[member->place] = last;
    last->place = member->place;
    free(member);
    lost(connection, events, NULL);
}

static void join(struct bufferevent *connection) {
    if (members.count == members.room) {
        members.room = members.room ? 2 * members.room : 64;
        members.all = checked(realloc(members.all, members.room * sizeof *members.all));
    }
    struct member *member = checked(malloc(sizeof *member));
    *member = (struct member){connection, members.count};
    members.all[members.count++] = member;
    bufferevent_setcb(connection, send_to_all, NULL, leave, member);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

// beside-broadcast

static uint64_t places;

static void begin_beside(struct bufferevent *connection) {
    (members.count < places ? join : begin_echo)(connection);
}

// timers

static void on_timer(evutil_socket_t fd, short events, void *argument) {
    (void)fd, (void)events, (void)argument;
}

static void arm(struct event *timer, uint64_t microseconds) {
    struct timeval delay = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000)};
    event_add(timer, &delay);
}

static void tick(evutil_socket_t fd, short events, void *timer) {
    (void)fd, (void)events;
    arm(timer, TICK_INTERVAL * 1000);
}

struct timers {
    struct event *all;
    uint64_t count, since;
    struct timer_figures figures;
};

// Runs in the loop, where libevent need not ask for the time for each timer.
static void handle_timers(evutil_socket_t fd, short events, void *argument) {
    (void)fd, (void)events;
    struct timers *timers = argument;
    uint64_t count = timers->count;
    struct event *all = timers->all, one_more;
    struct timer_figures *figures = &timers->figures;
    timers->since = cpu_time();
    for (uint64_t index = 0; index < count; index++) {
        evtimer_assign(&all[index], base, on_timer, NULL);
        arm(&all[index], far_milliseconds(index) * 1000);
    }
    figures->arm = cpu_time_per_item(&timers->since, count);
    for (uint64_t index = 0; index < count; index++) {
        arm(&all[index], (far_milliseconds(index) + 60000) * 1000);
    }
    figures->reset = cpu_time_per_item(&timers->since, count);
    evtimer_assign(&one_more, base, on_timer, NULL);
    for (uint64_t index = 0; index < count; index++) {
        arm(&one_more, far_milliseconds(index) * 1000);
        event_del(&one_more);
    }
    figures->arm_and_cancel = cpu_time_per_item(&timers->since, count);
    for (uint64_t index = 0; index < count; index++) event_del(&all[index]);
    figures->cancel = cpu_time_per_item(&timers->since, count);
    event_base_update_cache_time(base);
    for (uint64_t index = 0; index < count; index++) arm(&all[index], near_microseconds(index));
}

static int measure_timers(uint64_t count) {
    struct timers timers = {.all = checked(malloc(count * sizeof(struct event))), .count = count};
    event_base_once(base, -1, EV_TIMEOUT, handle_timers, &timers, NULL);
    event_base_dispatch(base); // until no timer is left
    timers.figures.arm_and_fire = cpu_time_per_item(&timers.since, count);
    print_timers(&timers.figures);
    return 0;
}

// calls

static struct call_queue queue;
static struct event *waker;

static void wake(void) {
    event_active(waker, EV_READ, 0);
}

static void on_wake(evutil_socket_t fd, short events, void *unused) {
    (void)fd, (void)events, (void)unused;
    run_calls(&queue);
}

static void stop(void *unused) {
    (void)unused;
    event_base_loopbreak(base);
}

static int calls(uint64_t count) {
    queue = (struct call_queue){.wake = wake, .stop = stop, .count = count};
    waker = checked(event_new(base, -1, EV_PERSIST, on_wake, NULL));
    pthread_t thread = begin_to_call(&queue);
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    return pthread_join(thread, NULL);
}

static void begin(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                  int length, void *service) {
    (void)listener, (void)addr, (void)length;
    struct bufferevent *connection =
        checked(bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE));
    bufferevent_set_max_single_write(connection, WRITE_AT_ONCE);
    (*(begin_cb *)service)(connection);
}

static int serve(evconnlistener_cb accepted, begin_cb service) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof addr;
    int yes = 1;
    struct evconnlistener *listener = evconnlistener_new_bind(
        base, accepted, &service, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC,
        BACKLOG, (struct sockaddr *)&addr, sizeof addr);
    if (listener == NULL) die("evconnlistener_new_bind 127.0.0.1:0", strerror(errno));
    evutil_socket_t fd = evconnlistener_get_fd(listener);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (getsockname(fd, (struct sockaddr *)&addr, &length) < 0) die("getsockname", strerror(errno));
    print_port(ntohs(addr.sin_port));
    return event_base_dispatch(base);
}

static int serve_beside_timers(uint64_t count) {
    struct event *all = checked(malloc(count * sizeof *all));
    for (uint64_t index = 0; index < count; index++) {
        evtimer_assign(&all[index], base, tick, &all[index]);
        arm(&all[index], first_tick_microseconds(index));
    }
    return serve(begin, begin_echo);
}

int main(int argc, char **argv) {
    const char *service = argc > 1 ? argv[1] : "";
    uint64_t count = count_of(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    // Locks cost something, and only `calls` has a second thread.
    if (strcmp(service, "calls") == 0) evthread_use_pthreads();
    base = event_base_new();
    if (base == NULL) die("event_base_new", strerror(errno));
    block = bulk_block();
    if (strcmp(service, "random") == 0) return serve(answer_random, NULL);
    if (strcmp(service, "echo") == 0) return serve(begin, begin_echo);
    if (strcmp(service, "bulk") == 0) return serve(begin, begin_bulk);
    if (strcmp(service, "broadcast") == 0) return serve(begin, join);
    if (strcmp(service, "beside-broadcast") == 0) {
        places = count;
        return serve(begin, begin_beside);
    }
    if (strcmp(service, "beside-timers") == 0) return serve_beside_timers(count);
    if (strcmp(service, "timers") == 0 && count > 0) return measure_timers(count);
    if (strcmp(service, "calls") == 0 && count > 0) return calls(count);
    return usage(argv[0]);
}
