/* The collector's settings and state, as each release stores them. */
#include "lua/collector.h"

#include "mock_vm.h"

static struct mock_vm mock;

static struct collector load(enum stop_form form) {
  struct collector collector;
  /* vm_open reads what other code needs: it is told again */
  uint64_t thread = mock.vm.main_thread;
  const struct layout *layout = mock.vm.layout;
  vm_close(&mock.vm);
  assert_true(vm_open(&mock.vm, layout, &mock.map, MOCK_GLOBAL, thread));
  assert_true(collector_load(&mock.vm, form, &collector));
  return collector;
}

static void set(enum layout_field field, uint64_t value) {
  mock_set(&mock, MOCK_GLOBAL, field, value);
}

static void test_plain_settings(void **state) {
  (void)state;
  static const char *const NAMES[] = {"5.4.0", "5.4.1", "5.4.2", "5.4.3 .. 5.4.9"};
  for (unsigned i = 0; i < 8; i++) {
    mock_open(&mock, mock_layout(NAMES[i / 2], i % 2 ? 4 : 8));
    set(global_State_gcpause, 250);
    set(global_State_gcstepmul, 25);
    set(global_State_gcstepsize, 13);
    set(global_State_genminormul, 20);
    set(global_State_genmajormul, 25);
    struct collector collector = load(STOP_BITS);
    assert_int_equal(collector.pause, 1000);
    assert_int_equal(collector.stepmul, 100);
    assert_int_equal(collector.stepsize, 13);
    assert_int_equal(collector.step_bytes, 8192);
    assert_int_equal(collector.minormul, 20);
    assert_int_equal(collector.majormul, 100);
    assert_int_equal(collector.minormajor, NO_SETTING);
    assert_int_equal(collector.marked, NO_SETTING);
    set(global_State_gcstepsize, 200);
    assert_int_equal(load(STOP_BITS).step_bytes, INT64_MAX);
    mock_close(&mock);
  }
}

/* What luaO_applyparam makes of 100: what lua_gc returns. */
static void test_coded_settings(void **state) {
  (void)state;
  static const struct {
    uint8_t code;
    int64_t percent;
  } KNOWN[] = {{0x00, 0},   {0x01, 0},   {0x0F, 11},    {0x10, 12},   {0x1A, 20},
               {0x36, 68},  {0x50, 200}, {0x54, 250},   {0xA8, 9600}, {0x74, 1000},
               {0x40, 100}, {0x30, 50},  {0xFF, 396800}};
  for (unsigned i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++) {
    mock_open(&mock, mock_layout("5.5.0", i % 2 ? 4 : 8));
    for (unsigned p = 0; p < 6; p++)
      mock_put(&mock, MOCK_GLOBAL + mock.vm.layout->place[global_State_gcparams].offset + p,
               p == i % 6 ? KNOWN[i].code : 0x40, 1);
    struct collector collector = load(STOP_BITS);
    int64_t found[] = {collector.minormul, collector.majorminor, collector.minormajor,
                       collector.pause,    collector.stepmul,    collector.stepsize};
    for (unsigned p = 0; p < 6; p++)
      assert_int_equal(found[p], p == i % 6 ? KNOWN[i].percent : 100);
    assert_int_equal(collector.step_bytes, collector.stepsize);
    assert_int_equal(collector.majormul, NO_SETTING);
    assert_int_equal(collector.estimate, NO_SETTING);
    mock_close(&mock);
  }
}

static void test_debt(void **state) {
  (void)state;
  mock_open(&mock, mock_layout("5.4.3 .. 5.4.9", 8));
  set(global_State_totalbytes, 100000);
  set(global_State_GCdebt, (uint64_t)-4000);
  struct collector collector = load(STOP_BITS);
  assert_int_equal(mock.vm.heap_bytes, 96000);
  assert_int_equal(collector.debt, -4000);
  assert_int_equal(collector.until_step, 4000);
  set(global_State_GCdebt, 70);
  collector = load(STOP_BITS);
  assert_int_equal(collector.debt, 70);
  assert_int_equal(collector.until_step, 0);
  mock_close(&mock);

  mock_open(&mock, mock_layout("5.5.0", 4)); /* counts down to 0 */
  set(global_State_totalbytes, 100000);
  set(global_State_GCdebt, 4000);
  collector = load(STOP_BITS);
  assert_int_equal(mock.vm.heap_bytes, 96000);
  assert_int_equal(collector.debt, -4000);
  assert_int_equal(collector.until_step, 4000);
  mock_close(&mock);

  mock_open(&mock, mock_layout("5.5.1", 8)); /* the most negative number has no opposite */
  set(global_State_GCdebt, UINT64_C(1) << 63);
  assert_int_equal(load(STOP_BITS).debt, INT64_MAX);
  mock_close(&mock);
}

static void test_next_major_collection(void **state) {
  (void)state;
  mock_open(&mock, mock_layout("5.4.3 .. 5.4.9", 8));
  set(global_State_totalbytes, 70000);
  set(global_State_GCestimate, 50000);
  set(global_State_genmajormul, 25);
  assert_int_equal(load(STOP_BITS).until_major, NO_SETTING); /* incremental */
  set(global_State_gckind, 1);
  assert_int_equal(load(STOP_BITS).until_major, 30000);
  set(global_State_totalbytes, 200000);
  assert_int_equal(load(STOP_BITS).until_major, 0);
  set(global_State_GCestimate, UINT64_MAX); /* nothing overflows */
  set(global_State_genmajormul, 255);
  assert_int_equal(load(STOP_BITS).until_major, INT64_MAX);
  mock_close(&mock);

  mock_open(&mock, mock_layout("5.5.0", 8));
  set(global_State_gckind, 1);
  set(global_State_GCmajorminor, 100000);
  set(global_State_GCmarked, 20000);
  assert_int_equal(load(STOP_BITS).until_major, NO_SETTING); /* minormajor is 0 */
  mock_put(&mock, MOCK_GLOBAL + mock.vm.layout->place[global_State_gcparams].offset + 2, 0x36, 1);
  assert_int_equal(load(STOP_BITS).until_major, 68750 - 20000);
  assert_int_equal(load(STOP_BITS).marked, 20000);
  mock_close(&mock);
}

static void test_mode(void **state) {
  (void)state;
  mock_open(&mock, mock_layout("5.4.3 .. 5.4.9", 8));
  assert_int_equal(load(STOP_BITS).mode, COLLECTOR_INCREMENTAL);
  set(global_State_lastatomic, 100); /* generational by name (lgc.h: isdecGCmodegen) */
  struct collector collector = load(STOP_BITS);
  assert_int_equal(collector.mode, COLLECTOR_GENERATIONAL);
  assert_true(collector.last_was_bad);
  set(global_State_lastatomic, 0);
  set(global_State_gckind, 1);
  assert_int_equal(load(STOP_BITS).mode, COLLECTOR_GENERATIONAL);
  set(global_State_gcstate, GC_SWEEP_FINOBJ);
  assert_string_equal(load(STOP_BITS).phase, "sweep-finobj");
  set(global_State_gcstate, 9);
  assert_null(load(STOP_BITS).phase);
  mock_close(&mock);
  mock_open(&mock, mock_layout("5.5.1", 8));
  set(global_State_gckind, 2);
  assert_int_equal(load(STOP_BITS).mode, COLLECTOR_MAJOR);
  mock_close(&mock);
}

static void test_stop(void **state) {
  (void)state;
  mock_open(&mock, mock_layout("5.4.3 .. 5.4.9", 8));
  for (unsigned stop = 0; stop < 8; stop++) {
    set(global_State_gcstp, stop);
    struct collector bits = load(STOP_BITS), unknown = load(STOP_UNKNOWN);
    assert_true(bits.running_is_known && bits.is_running == (stop == 0));
    assert_int_equal(bits.stopped_by, stop);
    assert_int_equal(unknown.running_is_known, stop > 1);
    assert_int_equal(unknown.stopped_by, stop > 1 ? stop : 0);
  }
  set(global_State_gcstp, 1);
  struct collector running = load(STOP_RUNNING);
  assert_true(running.running_is_known && running.is_running && !running.stopped_by);
  set(global_State_gcstp, 0);
  running = load(STOP_RUNNING);
  assert_true(running.running_is_known && !running.is_running && !running.stopped_by);
  mock_close(&mock);
}

static void test_marks(void **state) {
  (void)state;
  struct vm vm = {.current_white = 0x08};
  assert_int_equal(mark_color(&vm, 0x08), GC_WHITE);
  assert_int_equal(mark_color(&vm, 0x10 | 3), GC_DEAD);
  assert_int_equal(mark_color(&vm, 0x20), GC_BLACK);
  assert_int_equal(mark_color(&vm, 0x04 | 0x40), GC_GRAY);
  assert_int_equal(mark_color(&vm, 0x18), GC_DEAD);
  assert_int_equal(mark_age(0x25), GC_TOUCHED1);
  assert_int_equal(mark_age(0x07), GC_AGE_COUNT);
  assert_false(age_is_old(GC_SURVIVAL));
  assert_true(age_is_old(GC_OLD0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain_settings), cmocka_unit_test(test_coded_settings),
      cmocka_unit_test(test_debt),           cmocka_unit_test(test_next_major_collection),
      cmocka_unit_test(test_mode),           cmocka_unit_test(test_stop),
      cmocka_unit_test(test_marks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
