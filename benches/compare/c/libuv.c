// The services of src/service.rs on libuv, as a user who cares for speed would write
// them.
//
// - Output is tried at once by uv_try_write; the rest is copied and given to uv_write.
// - All connections read into one buffer, since what came is dealt with before the next read.
// - TCP_NODELAY is set at the listening socket, from which Linux hands it down.
// - A connection is one allocation, with its handle and its write request in it.

#define _GNU_SOURCE
#include <netinet/in.h>
#include <signal.h>
#include <uv.h>

#include "calls.h"
#include "contract.h"

struct connection {
    uv_tcp_t tcp; // first: a pointer to it is one to the connection
    uv_write_t write; // `echo` and `bulk` have no more than one under way
    size_t place; // in `members`
};

// The rest of a chunk that `broadcast` could not send at once.
struct rest {
    uv_write_t write; // first
    char data[];
};

static uv_loop_t *loop;
static char *block;

static struct {
    struct connection **all;
    size_t count, room;
} members;

static void check(int status, const char *what) {
    if (status < 0) die(what, uv_strerror(status));
}

static uv_stream_t *stream_of(struct connection *connection) {
    return (uv_stream_t *)&connection->tcp;
}

static void on_closed(uv_handle_t *handle) {
    free(handle);
}

static void lose(struct connection *connection) {
    uv_handle_t *handle = (uv_handle_t *)&connection->tcp;
    if (!uv_is_closing(handle)) uv_close(handle, on_closed);
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle, (void)suggested;
    static char shared[READ_BUFFER];
    *buffer = uv_buf_init(shared, sizeof shared);
}

// How much of the data the kernel took; negative if the connection is broken.
static ssize_t send_now(struct connection *connection, char *data, size_t length) {
    uv_buf_t buffer = uv_buf_init(data, (unsigned)length);
    int sent = uv_try_write(stream_of(connection), &buffer, 1);
    return sent == UV_EAGAIN ? 0 : sent;
}

static struct connection *accept_from(uv_stream_t *listener, int status) {
    if (status < 0) return NULL; // its peer was gone before it was accepted
    struct connection *connection = checked(malloc(sizeof *connection));
    check(uv_tcp_init(loop, &connection->tcp), "uv_tcp_init");
    if (uv_accept(listener, stream_of(connection)) == 0) return connection;
    lose(connection);
    return NULL;
}

// random

static void answer_random(uv_stream_t *listener, int status) {
    struct connection *connection = accept_from(listener, status);
    if (connection == NULL) return;
    char answer[RANDOM_LENGTH];
    write_random(answer);
    send_now(connection, answer, sizeof answer); // a new connection has room for it
    lose(connection);
}

// echo

static void echo(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

static void echo_on(uv_write_t *write, int status) {
    struct connection *connection = (struct connection *)write->handle;
    free(write->data);
    if (status < 0) return lose(connection);
    uv_read_start(stream_of(connection), lend_buffer, echo);
}

static void echo(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct connection *connection = (struct connection *)stream;
    if (count == 0) return;
    ssize_t sent = count < 0 ? count : send_now(connection, buffer->base, (size_t)count);
    if (sent < 0) return lose(connection);
    if (sent == count) return;
    // The peer does not read: nor does this end, until the rest is gone.
    uv_read_stop(stream);
    size_t length = (size_t)(count - sent);
    char *data = checked(malloc(length));
    memcpy(data, buffer->base + sent, length);
    connection->write.data = data;
    uv_buf_t rest = uv_buf_init(data, (unsigned)length);
    if (uv_write(&connection->write, stream, &rest, 1, echo_on) == 0) return;
    free(data);
    lose(connection);
}

static void begin_echo(uv_stream_t *listener, int status) {
    struct connection *connection = accept_from(listener, status);
    if (connection != NULL) uv_read_start(stream_of(connection), lend_buffer, echo);
}

// bulk

// So many blocks in one go, that one fast reader does not keep the loop from the others.
enum { BLOCKS_AT_ONCE = 16 };

static void send_blocks(struct connection *connection);

static void blocks_sent(uv_write_t *write, int status) {
    struct connection *connection = (struct connection *)write->handle;
    if (status < 0) return lose(connection);
    send_blocks(connection);
}

static void send_blocks(struct connection *connection) {
    ssize_t sent = BULK_BLOCK;
    for (int blocks = 1; blocks < BLOCKS_AT_ONCE && sent == BULK_BLOCK; blocks++) {
        sent = send_now(connection, block, BULK_BLOCK);
        if (sent < 0) return lose(connection);
    }
    if (sent == BULK_BLOCK) sent = 0; // one more, whose callback comes in the next turn
    uv_buf_t rest = uv_buf_init(block + sent, (unsigned)(BULK_BLOCK - sent));
    uv_write_t *write = &connection->write;
    if (uv_write(write, stream_of(connection), &rest, 1, blocks_sent) < 0) lose(connection);
}

static void begin_bulk(uv_stream_t *listener, int status) {
    struct connection *connection = accept_from(listener, status);
    if (connection != NULL) send_blocks(connection);
}

// broadcast

static void leave(struct connection *connection) {
    if (uv_is_closing((uv_handle_t *)&connection->tcp)) return;
    struct connection *last = members.all[--members.count];
    members.all[connection->place] = last;
    last->place = connection->place;
    lose(connection);
}

static void rest_sent(uv_write_t *write, int status) {
    struct connection *member = (struct connection *)write->handle;
    free(write);
    if (status < 0) leave(member);
}

static void send_to(struct connection *member, char *data, size_t length) {
    // While something is queued nothing is sent past it: then it is as if no room were left.
    ssize_t sent = send_now(member, data, length);
    if (sent < 0) return leave(member);
    if ((size_t)sent == length) return;
    length -= (size_t)sent;
    struct rest *rest = checked(malloc(sizeof *rest + length));
    memcpy(rest->data, data + sent, length);
    uv_buf_t buffer = uv_buf_init(rest->data, (unsigned)length);
    if (uv_write(&rest->write, stream_of(member), &buffer, 1, rest_sent) == 0) return;
    free(rest);
    leave(member);
}

static void send_to_all(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    if (count < 0) return leave((struct connection *)stream);
    // Backwards: a member that leaves is replaced by the last one, which has got it already.
    for (size_t left = members.count; left-- > 0;) {
        send_to(members.all[left], buffer->base, (size_t)count);
    }
}

static void join(uv_stream_t *listener, int status) {
    struct connection *connection = accept_from(listener, status);
    if (connection == NULL) return;
    if (members.count == members.room) {
        members.room = members.room ? 2 * members.room : 64;
        members.all = checked(realloc(members.all, members.room * sizeof *members.all));
    }
    connection->place = members.count;
    members.all[members.count++] = connection;
    uv_read_start(stream_of(connection), lend_buffer, send_to_all);
}

// beside-broadcast

static uint64_t places;

static void begin_beside(uv_stream_t *listener, int status) {
    (members.count < places ? join : begin_echo)(listener, status);
}

// timers

static void on_timer(uv_timer_t *timer) {
    (void)timer;
}

static int timers(uint64_t count) {
    uv_timer_t *all = checked(malloc(count * sizeof *all)), one_more;
    struct timer_figures figures;
    uv_update_time(loop);
    uint64_t since = cpu_time();
    for (uint64_t index = 0; index < count; index++) {
        uv_timer_init(loop, &all[index]);
        uv_timer_start(&all[index], on_timer, far_milliseconds(index), 0);
    }
    figures.arm = cpu_time_per_item(&since, count);
    for (uint64_t index = 0; index < count; index++) {
        uv_timer_start(&all[index], on_timer, far_milliseconds(index) + 60000, 0);
    }
    figures.reset = cpu_time_per_item(&since, count);
    uv_timer_init(loop, &one_more);
    for (uint64_t index = 0; index < count; index++) {
        uv_timer_start(&one_more, on_timer, far_milliseconds(index), 0);
        uv_timer_stop(&one_more);
    }
    figures.arm_and_cancel = cpu_time_per_item(&since, count);
    for (uint64_t index = 0; index < count; index++) uv_timer_stop(&all[index]);
    figures.cancel = cpu_time_per_item(&since, count);
    uv_update_time(loop);
    for (uint64_t index = 0; index < count; index++) {
        // libuv counts in milliseconds.
        uv_timer_start(&all[index], on_timer, near_microseconds(index) / 1000, 0);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    figures.arm_and_fire = cpu_time_per_item(&since, count);
    print_timers(&figures);
    return 0;
}

// calls

static struct call_queue queue;
static uv_async_t waker;

static void wake(void) {
    uv_async_send(&waker);
}

static void on_wake(uv_async_t *handle) {
    (void)handle;
    run_calls(&queue);
}

static void stop(void *unused) {
    (void)unused;
    uv_close((uv_handle_t *)&waker, NULL);
}

static int calls(uint64_t count) {
    queue = (struct call_queue){.wake = wake, .stop = stop, .count = count};
    check(uv_async_init(loop, &waker, on_wake), "uv_async_init");
    pthread_t thread = begin_to_call(&queue);
    uv_run(loop, UV_RUN_DEFAULT);
    return pthread_join(thread, NULL);
}

static int serve(uv_connection_cb begin) {
    uv_tcp_t listener;
    struct sockaddr_in addr;
    int length = sizeof addr;
    uv_ip4_addr("127.0.0.1", 0, &addr);
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&addr, 0), "uv_tcp_bind 127.0.0.1:0");
    check(uv_tcp_nodelay(&listener, 1), "uv_tcp_nodelay");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, begin), "uv_listen");
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&addr, &length), "uv_tcp_getsockname");
    print_port(ntohs(addr.sin_port));
    return uv_run(loop, UV_RUN_DEFAULT);
}

static int serve_beside_timers(uint64_t count) {
    uv_timer_t *all = checked(malloc(count * sizeof *all));
    for (uint64_t index = 0; index < count; index++) {
        uv_timer_init(loop, &all[index]);
        uv_timer_start(&all[index], on_timer, first_tick_microseconds(index) / 1000, TICK_INTERVAL);
    }
    return serve(begin_echo);
}

int main(int argc, char **argv) {
    const char *service = argc > 1 ? argv[1] : "";
    uint64_t count = count_of(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    loop = uv_default_loop();
    block = bulk_block();
    if (strcmp(service, "random") == 0) return serve(answer_random);
    if (strcmp(service, "echo") == 0) return serve(begin_echo);
    if (strcmp(service, "bulk") == 0) return serve(begin_bulk);
    if (strcmp(service, "broadcast") == 0) return serve(join);
    if (strcmp(service, "beside-broadcast") == 0) {
        places = count;
        return serve(begin_beside);
    }
    if (strcmp(service, "beside-timers") == 0) return serve_beside_timers(count);
    if (strcmp(service, "timers") == 0 && count > 0) return timers(count);
    if (strcmp(service, "calls") == 0 && count > 0) return calls(count);
    return usage(argv[0]);
}
