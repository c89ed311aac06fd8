/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_escape.c - tries to get out. Runs inside a sandbox, as `sandbox_escape WAY [ARG]`:
 * exits with 0 when the way was closed, with 1 and a line when it was open. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST_FAIL(call)                                                                            \
    do {                                                                                           \
        if ((call) >= 0) {                                                                         \
            printf("open: %s\n", #call);                                                           \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int try_connect(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    static const char *const hosts[] = {"127.0.0.1", "192.0.2.1", "10.0.0.1"};
    for (int i = 0; i < 3; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        inet_pton(AF_INET, hosts[i], &at.sin_addr);
        MUST_FAIL(connect(fd, (struct sockaddr *)&at, sizeof(at)));
    }
    return 0;
}

static int try_abstract(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "%s", name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST_FAIL(connect(fd, (struct sockaddr *)&at,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))));
    return 0;
}

static int try_sockets(const char *arg)
{
    (void)arg;
    MUST_FAIL(socket(AF_PACKET, SOCK_RAW, 0));
    MUST_FAIL(socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
    MUST_FAIL(socket(AF_ALG, SOCK_SEQPACKET, 0));
    MUST_FAIL(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    return 0;
}

static int try_mount(const char *arg)
{
    (void)arg;
    mkdir("/tmp/m", 0755);
    MUST_FAIL(mount("none", "/tmp/m", "tmpfs", 0, NULL));
    MUST_FAIL(mount("/", "/tmp/m", NULL, MS_BIND, NULL));
    MUST_FAIL(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
    MUST_FAIL(umount2("/proc", MNT_DETACH));
    MUST_FAIL(umount2("/root", MNT_DETACH));
    MUST_FAIL(fsopen("tmpfs", 0));
    MUST_FAIL(open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE));
    MUST_FAIL(syscall(SYS_pivot_root, "/tmp", "/tmp/m"));
    MUST_FAIL(chroot("/tmp"));
    return 0;
}

static int try_namespaces(const char *arg)
{
    (void)arg;
    static const int flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        MUST_FAIL(unshare(flags[i]));
        MUST_FAIL(syscall(SYS_clone, (long)flags[i] | SIGCHLD, 0L, 0L, 0L, 0L));
        MUST_FAIL(syscall(SYS_clone, (long)(flags[i] | CLONE_FILES) | SIGCHLD, 0L, 0L, 0L, 0L));
    }
    MUST_FAIL(syscall(SYS_clone3, NULL, 0));
    int fd = open("/proc/self/ns/mnt", O_RDONLY);
    MUST_FAIL(setns(fd, 0));
    return 0;
}

static int try_kernel(const char *arg)
{
    (void)arg;
    MUST_FAIL(syscall(SYS_bpf, 0, NULL, 0));
    MUST_FAIL(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    MUST_FAIL(syscall(SYS_userfaultfd, 0));
    MUST_FAIL(syscall(SYS_io_uring_setup, 1, NULL));
    MUST_FAIL(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 1));
    MUST_FAIL(syscall(SYS_add_key, "user", "k", "v", 1, -3));
    MUST_FAIL(syscall(SYS_init_module, NULL, 0, ""));
    MUST_FAIL(syscall(SYS_kexec_load, 0, 0, NULL, 0));
    MUST_FAIL(syscall(SYS_syslog, 3, NULL, 0));
    MUST_FAIL(syscall(SYS_reboot, 0, 0, 0, NULL));
    MUST_FAIL(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
    MUST_FAIL(sethostname("x", 1));
    MUST_FAIL(open("/proc/sys/kernel/core_pattern", O_WRONLY));
    MUST_FAIL(open("/proc/sysrq-trigger", O_WRONLY));
    MUST_FAIL(open("/dev/mem", O_RDONLY));
    MUST_FAIL(open("/dev/kmsg", O_RDONLY));
    char byte;
    int kcore = open("/proc/kcore", O_RDONLY);
    if (kcore >= 0 && read(kcore, &byte, 1) > 0)
        return printf("open: /proc/kcore\n"), 1;
    return 0;
}

static int try_ptrace(const char *arg)
{
    (void)arg;
    MUST_FAIL(ptrace(PTRACE_ATTACH, 1, NULL, NULL));
    MUST_FAIL(ptrace(PTRACE_SEIZE, 1, NULL, NULL));
    MUST_FAIL(open("/proc/1/mem", O_RDONLY));
    MUST_FAIL(open("/proc/1/environ", O_RDONLY));
    MUST_FAIL(open("/proc/1/root/etc/passwd", O_RDONLY));
    MUST_FAIL(open("/proc/1/fd/0", O_RDONLY));
    char byte;
    struct {
        void *base;
        size_t len;
    } v = {&byte, 1};
    MUST_FAIL(syscall(SYS_process_vm_readv, 1, &v, 1, &v, 1, 0));
    kill(1, SIGKILL); /* must not end the sandbox's init */
    kill(1, SIGTERM);
    return 0;
}

static int try_devices(const char *arg)
{
    (void)arg;
    MUST_FAIL(mknod("/tmp/sda", S_IFBLK | 0600, makedev(8, 0)));
    MUST_FAIL(mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)));
    MUST_FAIL(mknod("/dev/mem", S_IFCHR | 0600, makedev(1, 1)));
    int fd = open("/dev/tty", O_RDWR);
    if (fd >= 0)
        MUST_FAIL(ioctl(fd, TIOCSTI, "x"));
    return 0;
}

/* A file with the set-user-ID bit gives nobody more than he has. */
static int try_setuid(const char *self)
{
    (void)self;
    if (getenv("ESCAPE_INNER"))
        return geteuid() == 0;
    int from = open("/proc/self/exe", O_RDONLY), to = open("/tmp/suid", O_WRONLY | O_CREAT, 0755);
    char bytes[65536];
    for (ssize_t n; (n = read(from, bytes, sizeof(bytes))) > 0;)
        if (write(to, bytes, (size_t)n) != n)
            return 2;
    fchmod(to, 04755);
    close(to);
    if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
        return 0; /* there is nobody else to be */
    setenv("ESCAPE_INNER", "1", 1);
    if (geteuid() == 0)
        return 0; /* it was only pretended */
    execl("/tmp/suid", "suid", "setuid", NULL);
    return errno == EPERM || errno == EACCES ? 0 : 2;
}

/* Reads, lists and writes what it is given, which must not be there. */
static int try_file(const char *path)
{
    char side[4096];
    MUST_FAIL(open(path, O_RDONLY));
    snprintf(side, sizeof(side), "/proc/self/root/%s", path);
    MUST_FAIL(open(side, O_RDONLY));
    snprintf(side, sizeof(side), "/proc/self/cwd/../../../../../..%s", path);
    MUST_FAIL(open(side, O_RDONLY));
    snprintf(side, sizeof(side), "/dev/fd/../../../..%s", path);
    MUST_FAIL(open(side, O_RDONLY));
    return 0;
}

static int fork_bomb(const char *arg)
{
    int most = atoi(arg), made = 0;
    for (; made < most * 4; made++) {
        pid_t pid = fork();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        if (pid < 0)
            break;
    }
    printf("made %d\n", made);
    return made >= most;
}

static int memory_bomb(const char *arg)
{
    size_t most = (size_t)atoi(arg) << 20, step = 8u << 20;
    for (size_t made = 0; made < most * 4; made += step) {
        char *p = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return 77;
        memset(p, 1, step);
    }
    return printf("open: memory\n"), 1;
}

static int fill_disk(const char *folder)
{
    char path[4096];
    static char block[1 << 20];
    unsigned long written = 0;
    memset(block, 'x', sizeof(block));
    signal(SIGXFSZ, SIG_IGN);
    for (int file = 0; file < 64; file++) {
        snprintf(path, sizeof(path), "%s/fill%d", folder, file);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        if (fd < 0)
            break;
        while (write(fd, block, sizeof(block)) == sizeof(block) && written < 400)
            written++;
        if (written >= 400)
            break;
    }
    printf("written %lu\n", written);
    return written >= 400 ? 1 : 0;
}

static int burn_cpu(const char *arg)
{
    (void)arg;
    for (volatile unsigned long i = 0; i + 1; i++)
        ;
    return 1;
}

/* Leaves something behind in the background, deaf to what can be ignored. */
static int linger(const char *arg)
{
    (void)arg;
    if (fork() == 0) {
        setsid();
        for (int sig = 1; sig < 32; sig++)
            signal(sig, SIG_IGN);
        for (;;)
            pause();
    }
    printf("lingering\n");
    return 0;
}

static int hang(const char *arg)
{
    linger(arg);
    fflush(stdout);
    while (pause())
        ;
    return 1;
}

/* Not a way out: says what the gateway says. */
static int talk(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char bytes[64] = {0};
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        read(fd, bytes, sizeof(bytes) - 1) <= 0)
        return 1;
    printf("%s\n", bytes);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const char *arg);
} ways[] = {{"connect", try_connect},
            {"abstract", try_abstract},
            {"sockets", try_sockets},
            {"mount", try_mount},
            {"namespaces", try_namespaces},
            {"kernel", try_kernel},
            {"ptrace", try_ptrace},
            {"devices", try_devices},
            {"setuid", try_setuid},
            {"file", try_file},
            {"fork-bomb", fork_bomb},
            {"memory-bomb", memory_bomb},
            {"fill", fill_disk},
            {"cpu", burn_cpu},
            {"linger", linger},
            {"hang", hang},
            {"talk", talk}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strcmp(argv[1], ways[i].name) == 0)
            return ways[i].run(argc > 2 ? argv[2] : "");
    return 3;
}
