/* test_available.c - what is left of the machine's memory and of control groups, in a folder that
 * looks like /proc and /sys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/available.h"

static char root[] = "/tmp/lua-inspect-available-XXXXXX";

/* Writes a file below the root, with the folders that lead to it. */
static void put(const char *name, const char *text) {
  char path[512];
  snprintf(path, sizeof path, "%s%s", root, name);
  for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    mkdir(path, 0700);
    *slash = '/';
  }
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void test_machine(void **state) {
  (void)state;
  assert_true(memory_available(root) == UINT64_MAX);
  put("/proc/meminfo", "MemTotal:       24684096 kB\nMemFree:   1 kB\nMemAvailable:   2000 kB\n");
  assert_int_equal(memory_available(root), 2000 * 1024);
}

/* Page cache can be had; what is around a group limits it, too; names that are not there do not. */
static void test_second_version(void **state) {
  (void)state;
  put("/proc/self/cgroup", "0::/a/b/lost\n");
  assert_int_equal(memory_available(root), 2000 * 1024);
  put("/sys/fs/cgroup/a/b/memory.max", "max\n");
  put("/sys/fs/cgroup/a/b/memory.current", "70000\n");
  assert_int_equal(memory_available(root), 2000 * 1024);
  put("/sys/fs/cgroup/a/memory.max", "100000\n");
  put("/sys/fs/cgroup/a/memory.current", "70000\n");
  put("/sys/fs/cgroup/a/memory.stat", "anon 10\nfile_mapped 9\nfile 20000\n");
  assert_int_equal(memory_available(root), 50000);
  put("/sys/fs/cgroup/memory.max", "40000\n");
  put("/sys/fs/cgroup/memory.current", "45000\n");
  assert_int_equal(memory_available(root), 0);
  put("/proc/self/cgroup", "0::/\n");
  put("/sys/fs/cgroup/memory.max", "46000\n");
  assert_int_equal(memory_available(root), 1000);
}

static void test_first_version(void **state) {
  (void)state;
  put("/proc/self/cgroup", "9:name=systemd:/x\n4:memory:/run/1\n0::/\n");
  put("/sys/fs/cgroup/memory.max", "max\n");
  put("/sys/fs/cgroup/memory/run/1/memory.limit_in_bytes", "30000\n");
  put("/sys/fs/cgroup/memory/run/1/memory.usage_in_bytes", "20000\n");
  put("/sys/fs/cgroup/memory/run/1/memory.stat", "cache 1\ntotal_cache 5000\n");
  assert_int_equal(memory_available(root), 15000);
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "30000\n");
  assert_int_equal(memory_available(root), 15000);
}

static int make(void **state) {
  (void)state;
  return mkdtemp(root) ? 0 : -1;
}

static int unmake(void **state) {
  (void)state;
  char command[600];
  snprintf(command, sizeof command, "rm -r %s", root);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_machine),
                                     cmocka_unit_test(test_second_version),
                                     cmocka_unit_test(test_first_version)};
  return cmocka_run_group_tests(tests, make, unmake);
}
