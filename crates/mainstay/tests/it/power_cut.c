/* A disk that forgets, at a power cut, what was not synced: after each sync of a database file its content is kept as
   FILE.synced, which the test puts back after the kill. With POWER_CUT=unsynced no sync is done: the bug to be seen.
   Loaded before libc (LD_PRELOAD). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_database(const char *path) {
  size_t length = strlen(path);
  return (length > 3 && !strcmp(path + length - 3, ".db")) || (length > 7 && !strcmp(path + length - 7, ".db-wal"));
}

static void keep(int file) {
  char link[64], path[PATH_MAX], part[PATH_MAX + 16], kept[PATH_MAX + 16], bytes[1 << 16];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = 0;
  if (!is_database(path)) return;
  snprintf(part, sizeof part, "%s.part", path);
  snprintf(kept, sizeof kept, "%s.synced", path);
  int copy = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (copy < 0) return;
  off_t at = 0;
  for (ssize_t n; (n = pread(file, bytes, sizeof bytes, at)) > 0; at += n)
    if (write(copy, bytes, n) != n) break;
  close(copy);
  rename(part, kept);
}

static int synced(int file, long call) {
  const char *bug = getenv("POWER_CUT");
  if (bug && !strcmp(bug, "unsynced")) return 0;
  int failed = syscall(call, file);
  if (!failed) keep(file);
  return failed;
}

int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }
