/* The clocks of one process, as a test sets them: preloaded into the agent.
 *
 * The file that FAKE_CLOCK names holds three 64-bit numbers: milliseconds added to the wall clock,
 * milliseconds added to the boot clock (a suspend, to the program), and whether the kernel says
 * that the wall clock is synchronised. CLOCK_MONOTONIC stays as it is, as in a suspend. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

struct settings {
    volatile int64_t wall_ms, boot_ms, synchronised;
};

static const struct settings *settings;

__attribute__((constructor)) static void find_settings(void)
{
    const char *path = getenv("FAKE_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        abort();
    void *shared = mmap(NULL, sizeof *settings, PROT_READ, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED)
        abort();
    settings = shared;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    long result = syscall(SYS_clock_gettime, clock, time);
    if (result != 0 || !settings)
        return (int)result;
    int64_t ms = clock == CLOCK_REALTIME ? settings->wall_ms
               : clock == CLOCK_BOOTTIME ? settings->boot_ms : 0;
    time->tv_sec += ms / 1000;
    time->tv_nsec += ms % 1000 * 1000000;
    if (time->tv_nsec < 0) {
        time->tv_sec -= 1;
        time->tv_nsec += 1000000000;
    } else if (time->tv_nsec >= 1000000000) {
        time->tv_sec += 1;
        time->tv_nsec -= 1000000000;
    }
    return 0;
}

int adjtimex(struct timex *state)
{
    (void)state;
    return settings && settings->synchronised ? TIME_OK : TIME_ERROR;
}
