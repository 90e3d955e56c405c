//! Docker's default seccomp profile: everything is refused that is not listed here.

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

/// `CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET`.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
const ENOSYS: u32 = 38;

/// Allowed always.
const ALLOWED: &str = "
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents
getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid
getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list
getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents
io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek
lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir
mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2
prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32
setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid
setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn
socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs
sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4
waitid waitpid write writev process_vm_readv process_vm_writev ptrace";

/// Allowed on one architecture.
#[cfg(target_arch = "x86_64")]
const OF_ARCHITECTURE: &str = "arch_prctl modify_ldt";
#[cfg(not(target_arch = "x86_64"))]
const OF_ARCHITECTURE: &str = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";

/// Allowed to who has a capability.
const WITH_CAPABILITY: &[(Capability, &str)] = &[
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module init_module finit_module"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (Capability::SysRawio, "iopl ioperm"),
    (Capability::SysTime, "settimeofday stime clock_settime clock_settime64"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// Address families that `socket` may make above those below 12, which are all allowed: the rest are DECnet, ATM, SNA,
/// Bluetooth and other protocols with a history of holes, crypto (38) and the hypervisor's (40).
const SOCKET_FAMILIES: &[u64] =
    &[13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45];

/// Execution domains that `personality` may choose, and the question for the present one.
const PERSONALITIES: &[u64] = &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The profile for a process that has these capabilities.
pub fn default_seccomp(capabilities: &[Capability]) -> LinuxSeccomp {
    let has = |capability| capabilities.contains(&capability);
    let mut calls = vec![allow(ALLOWED, &[]), allow(OF_ARCHITECTURE, &[])];
    calls.push(allow("socket", &[(0, LinuxSeccompOperator::ScmpCmpLt, 12)]));
    let equal = |name, values: &[u64]| {
        let one = |value: &u64| allow(name, &[(0, LinuxSeccompOperator::ScmpCmpEq, *value)]);
        values.iter().map(one).collect::<Vec<_>>()
    };
    calls.extend(equal("socket", SOCKET_FAMILIES));
    calls.extend(equal("personality", PERSONALITIES));
    let granted = WITH_CAPABILITY.iter().filter(|(capability, _)| has(*capability));
    calls.extend(granted.map(|(_, names)| allow(names, &[])));
    if !has(Capability::SysAdmin) {
        calls.push(allow("clone", &[(0, LinuxSeccompOperator::ScmpCmpMaskedEq, NEW_NAMESPACES)]));
        // Its flags lie in memory, where no filter can look; C libraries take `clone` when it does not exist.
        let refused = LinuxSyscallBuilder::default()
            .names(["clone3".to_owned()])
            .action(LinuxSeccompAction::ScmpActErrno)
            .errno_ret(ENOSYS);
        calls.push(refused.build().unwrap_or_default());
    }
    let architectures = match cfg!(target_arch = "x86_64") {
        true => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
        false => vec![Arch::ScmpArchAarch64],
    };
    let profile = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(1u32)
        .architectures(architectures)
        .syscalls(calls);
    profile.build().unwrap_or_default()
}

fn allow(names: &str, arguments: &[(usize, LinuxSeccompOperator, u64)]) -> LinuxSyscall {
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut call = LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
    let arguments: Vec<LinuxSeccompArg> = arguments
        .iter()
        .filter_map(|(index, operator, value)| {
            LinuxSeccompArgBuilder::default().index(*index).op(*operator).value(*value).value_two(0u64).build().ok()
        })
        .collect();
    if !arguments.is_empty() {
        call = call.args(arguments);
    }
    call.build().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_take_a_capability() {
        let names = |capabilities: &[Capability]| -> Vec<String> {
            let profile = default_seccomp(capabilities);
            let calls = profile.syscalls().clone().unwrap_or_default();
            let allowed = calls.iter().filter(|call| call.action() == LinuxSeccompAction::ScmpActAllow);
            allowed.filter(|call| call.args().is_none()).flat_map(|call| call.names().clone()).collect()
        };
        let has = |names: &[String], name: &str| names.iter().any(|other| other == name);
        let plain = names(super::super::DEFAULT_CAPABILITIES);
        assert!(has(&plain, "read") && has(&plain, "chroot"));
        for refused in ["mount", "unshare", "clone", "clone3", "setns", "bpf", "keyctl", "kexec_load", "io_uring_setup"]
        {
            assert!(!has(&plain, refused), "{refused}");
        }
        let admin = names(&[Capability::SysAdmin]);
        assert!(has(&admin, "mount") && has(&admin, "clone3") && !has(&admin, "chroot"));
        crate::seccomp::compile(&default_seccomp(&[])).expect("it fits a program");
    }
}
