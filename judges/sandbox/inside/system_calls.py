"""A filter of system calls (seccomp BPF) for what runs in a jail. Standard library only.

Namespaces and Landlock say what can be reached; the filter says what can be asked of the kernel at all. Refused is what
no program under test needs and what escapes are made of: tracing, mounting, new namespaces (a nested user namespace
would give all capabilities back), kernel keys, BPF, performance events, io_uring, userfaultfd, memory that no quota
counts, and sockets of families that a network namespace does not confine (vsock reaches the hypervisor).

Anything the list does not name is allowed: it takes away from what the other walls hold, and replaces none of them.
"""

import ctypes
import errno
import os
import struct

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST, SECOND = 0, 4, 16, 24  # where in seccomp_data; low halves of the arguments
PR_SET_SECCOMP, MODE_FILTER = 22, 2
# Every CLONE_NEW… flag; 0x80 is CLONE_NEWTIME, which clone3 and unshare alone know, and part of the exit signal here.
NEW_NAMESPACES = 0x7E020000
FAMILIES = (1, 2, 10)  # unix, IPv4, IPv6: confined by the network namespace
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # typing into a terminal

# name → number on x86_64, on aarch64; None where there is none
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "personality": (135, 92),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}
# architecture → its name for the kernel, column above, clone, clone3, socket, ioctl
MACHINES = {
    "x86_64": (0xC000003E, 0, 56, 435, 41, 16),
    "aarch64": (0xC00000B7, 1, 220, 435, 198, 29),
}
X32 = 0x40000000  # the numbers of x86_64's second interface, which other rules do not name


def program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter as (code, jump if true, jump if false, value), for one architecture.

    Raises:
        OSError: an architecture whose numbers are not known here.
    """
    if machine not in MACHINES:
        raise OSError(f"no system call filter for {machine}")
    architecture, column, clone, clone3, socket, ioctl = MACHINES[machine]
    refuse = (RETURN, 0, 0, REFUSE | errno.EPERM)
    # 1. Numbers mean this architecture's, or nothing.
    steps = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    if machine == "x86_64":
        steps += [(AT_LEAST, 0, 1, X32), refuse]
    # 2. Refused whole. clone3's flags are in memory, where no filter can look: libraries fall back to clone.
    for number in (numbers[column] for numbers in REFUSED.values()):
        if number is not None:
            steps += [(EQUAL, 0, 1, number), refuse]
    steps += [(EQUAL, 0, 1, clone3), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    # 3. Refused by an argument. Each part returns, or leaves the number loaded for the next.
    steps += [(EQUAL, 0, 4, clone), (LOAD, 0, 0, FIRST), (ANY_BIT, 0, 1, NEW_NAMESPACES), refuse, (RETURN, 0, 0, ALLOW)]
    steps += [(EQUAL, 0, 2 + len(FAMILIES) + 1, socket), (LOAD, 0, 0, FIRST)]
    steps += [(EQUAL, len(FAMILIES) - k, 0, family) for k, family in enumerate(FAMILIES)]
    steps += [refuse, (RETURN, 0, 0, ALLOW)]
    steps += [(EQUAL, 0, 4, ioctl), (LOAD, 0, 0, SECOND), (EQUAL, 1, 0, TIOCSTI), (EQUAL, 0, 1, TIOCLINUX), refuse]
    return [*steps, (RETURN, 0, 0, ALLOW)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


def filter_system_calls() -> None:
    """Puts the filter on this process and all it will start, for good. It needs no_new_privs.

    Raises:
        OSError: the kernel takes no filter, or the architecture is not known.
    """
    steps = program(os.uname().machine)
    packed = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    described = _Program(len(steps), ctypes.cast(buffer, ctypes.c_void_p).value)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(described), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"no system call filter: {os.strerror(ctypes.get_errno())}")
