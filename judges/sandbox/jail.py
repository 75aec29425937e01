"""The launcher of one jail. A script of its own, run as `python -I -S jail.py CONFIG`: standard library only.

1. Enter the control groups named in CONFIG.
2. Tier B: replace this process by bubblewrap. Tier C: new network, process, mount, IPC, UTS and (without root) user
   namespaces.
3. Tier C, in the first process of the new process namespace: a new root of read-only binds with a memory-backed,
   size-limited /box; nothing else of the host's files exists there.
4. Fork once more, take a user id of its own, clear the environment and execute `confine.py`. The first process only
   waits: when it dies (its parent's death kills it) the kernel kills everything in the namespace, `setsid` or not.
"""

import ctypes
import json
import os
import select
import signal
import sys
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/box", "TMPDIR": "/box", "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Builds the jail and runs the command in it; exits with the command's status."""
    config = json.loads(sys.argv[1])
    for group in config["groups"]:
        with open(os.path.join(group, "cgroup.procs"), "w") as stream:
            stream.write("0")
    if config["tier"] == "B":
        os.execve(config["command"][0], config["command"], ENVIRONMENT)
    outer_uid, outer_gid = os.getuid(), os.getgid()
    rootless = outer_uid != 0
    _checked(libc.unshare(NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET | NEWCGROUP | (NEWUSER if rootless else 0)))
    if rootless:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{outer_uid} {outer_uid} 1")
        _write("/proc/self/gid_map", f"{outer_gid} {outer_gid} 1")
    alive, parent = os.pipe()
    child = os.fork()
    if child:
        os.close(alive)
        for fd in config["fds"]:
            os.close(fd)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    _checked(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    os.close(parent)
    if select.select([alive], [], [], 0)[0]:  # the parent was gone before the line above took effect
        os._exit(1)
    _build_root(config)
    inner = os.fork()
    if inner:
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # not to be traced from inside
        for fd in config["fds"]:
            os.close(fd)
        os._exit(_reap(inner))
    if not rootless:
        os.setgroups([])
        os.setresgid(config["uid"], config["uid"], config["uid"])
        os.setresuid(config["uid"], config["uid"], config["uid"])
    os.setsid()
    os.execve(config["command"][0], config["command"], ENVIRONMENT)


def _build_root(config: dict[str, Any]) -> None:
    """Makes a new root directory of read-only binds and a small /box, and moves into it."""
    root = "/tmp"  # any directory that exists: it is covered by the new root's mount, in this namespace only
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    # Sources are opened before the new root covers what stands there.
    links = {target: os.readlink(source) for source, target in config["binds"] if os.path.islink(source)}
    sources = {
        target: (os.open(source, os.O_PATH), os.path.isdir(source))
        for source, target in config["binds"]
        if os.path.exists(source) and not os.path.islink(source)
    }
    _mount("none", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for target, link in links.items():
        _parents(root + target)
        os.symlink(link, root + target)
    for target, (fd, directory) in sources.items():
        _bind(f"/proc/self/fd/{fd}", root + target, directory=directory)
        os.close(fd)
    for device in ("/dev/null", "/dev/zero", "/dev/urandom"):
        _bind(device, root + device, writable=True)
    os.mkdir(root + "/box", 0o700)
    uid, gid = (config["uid"], config["uid"]) if os.getuid() == 0 else (os.getuid(), os.getgid())
    options = f"size={config['limits']['disk']},nr_inodes=1024,mode=700,uid={uid},gid={gid}"
    _mount("none", root + "/box", "tmpfs", MS_NOSUID | MS_NODEV, options)
    os.mkdir(root + "/old", 0o700)
    number = SYS_PIVOT_ROOT[os.uname().machine]
    _checked(libc.syscall(number, root.encode(), (root + "/old").encode()))
    os.chdir("/")
    _checked(libc.umount2(b"/old", MNT_DETACH))
    os.rmdir("/old")
    _mount(None, "/", None, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _bind(source: str, target: str, *, directory: bool = False, writable: bool = False) -> None:
    _parents(target)
    if directory:
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, None, MS_BIND)
    flags = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)  # flags a user namespace may not clear
    if not writable:
        _mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | flags)


def _parents(path: str) -> None:
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)


def _reap(inner: int) -> int:
    """Waits for every process of the namespace; the status of the command."""
    while True:
        pid, status = os.wait()
        if pid == inner:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [None if text is None else text.encode() for text in (source, target, kind)]
    data = None if options is None else options.encode()
    _checked(libc.mount(*arguments, ctypes.c_ulong(flags), data), f"mount {target}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as stream:
        stream.write(text)


def _checked(result: int, what: str = "") -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what} {os.strerror(ctypes.get_errno())}")
    return result


if __name__ == "__main__":
    main()
