//! System calls that std has no name for.
#![allow(unsafe_code)] // each call is one of libc's with plain values or a pointer to a local

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use std::{io, mem};

/// The CPU time of this process so far, all threads together.
pub fn own_cpu_time() -> Duration {
    cpu_time_by(libc::CLOCK_PROCESS_CPUTIME_ID).expect("every process has this clock")
}

/// The CPU time of another process so far: all its threads, those that ended too.
///
/// # Errors
///
/// If there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: the pointer is to a local.
    match unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) } {
        0 => cpu_time_by(clock),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// The CPU time of all children that have been waited for, and of theirs.
pub fn children_cpu_time() -> Duration {
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a local. It fails for unknown first arguments only.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) };
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn cpu_time_by(clock: libc::clockid_t) -> io::Result<Duration> {
    // SAFETY: all zeroes is a valid timespec.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a local.
    check(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Allows this process, and what it starts, as many open files as the administrator does. If they are too
/// few, opening a file will say so.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == -1 {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
}

/// The cores on which this process may run: in a container not always the first.
pub fn cores() -> Vec<usize> {
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a local of the size that is passed.
    unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    // SAFETY: CPU_ISSET checks its bounds.
    let is_set = |&core: &usize| unsafe { libc::CPU_ISSET(core, &set) };
    (0..libc::CPU_SETSIZE as usize).filter(is_set).collect()
}

/// Has this thread, and what it starts, run on these cores only.
pub fn run_on(cores: &[usize]) -> io::Result<()> {
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &core in cores {
        // SAFETY: CPU_SET checks its bounds.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: the pointer is to a local of the size that is passed.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })
}

/// Has the kernel kill this process when its parent thread ends, however that ends.
pub fn end_with_parent() -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

/// Has the process of a command end with this thread, and run on these cores only; none: on all.
pub fn prepare(command: &mut Command, cores: Vec<usize>) {
    let prepare = move || {
        end_with_parent()?;
        if cores.is_empty() { Ok(()) } else { run_on(&cores) }
    };
    // SAFETY: between fork and exec it makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Sends a signal to all processes of a group.
pub fn signal_group(group: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::killpg(group as libc::pid_t, signal) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
