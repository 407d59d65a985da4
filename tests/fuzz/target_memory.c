/* target_memory.c - the memory of a core: detection, the loaders of all kinds of objects, the walk,
 * and the analyses, each of a sound core with patches (patches.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "damage.h"
#include "graph/check.h"
#include "lua/bytecode.h"
#include "lua/collector.h"
#include "lua/function.h"
#include "lua/stack.h"
#include "patches.h"
#include "targets.h"

static struct inspect_session *open_session(const struct victim *victim) {
  struct inspect_session *session = NULL;
  struct inspect_target target = {.core = victim->path, .sysroot = victim->folder};
  inspect_error_free(inspect_session_open(&target, &session));
  return session;
}

/* ---- Detection ---------------------------------------------------------------------------------
 */

static void run_detect(const uint8_t *bytes, size_t size) {
  struct inspect_session *session = open_session(patches_apply(bytes, size));
  if (session) {
    inspect_error_free(session_detect_briefly(session, NULL));
    inspect_error_free(session_detect(session, NULL));
  }
  inspect_session_close(session);
  patches_undo();
}

const struct fuzz_target fuzz_detect = {
    .name = "detect", .run = run_detect, .mutate = patches_mutate, .memory = 1};

/* ---- Loaders -----------------------------------------------------------------------------------
 */

static void load_thread(struct vm *vm, uint64_t address, struct arena *arena) {
  enum { MOST_SLOTS = 200 };
  struct lua_thread thread;
  struct lua_calls calls = {0};
  struct lua_place place;
  if (thread_load(vm, address, &thread) || !thread.initialized) return;
  (void)thread_stack_bytes(vm, &thread);
  (void)thread_state(&thread);
  (void)thread_base_status(vm, &thread);
  if (thread_place(vm, &thread, &place))
    (void)prototype_place(vm, place.prototype, place.line, arena);
  const struct bytecode_family *family = bytecode_family(vm->layout, NULL);
  if (thread_calls(vm, &thread, &calls)) {
    for (uint64_t slot = 0; slot < thread.slot_count && slot < MOST_SLOTS; slot++) {
      uint32_t level;
      uint64_t function;
      const char *name;
      size_t size;
      thread_slot_name(vm, &thread, &calls, slot, &level, &function, &name, &size);
      (void)thread_slot(vm, &thread, slot);
    }
    for (size_t i = 0; i < calls.count; i++) {
      struct code_name name;
      const uint8_t *prototype = thread_slot_prototype(vm, &thread, calls.items[i].function);
      if (prototype && family)
        (void)bytecode_call_name(vm, family, prototype,
                                 prototype_pc(vm->layout, prototype, calls.items[i].saved_pc),
                                 &name);
    }
  }
  vector_free(&calls);
}

static void load_table(struct vm *vm, uint64_t address) {
  struct lua_table table;
  struct lua_value key, value;
  if (table_load(vm, address, &table)) return;
  for (uint64_t i = 0; i < table.array_size; i++)
    (void)table_array_value(vm, &table, i);
  for (uint64_t i = 0; i < table.node_count; i++)
    table_entry(vm, &table, i, &key, &value);
  (void)table_find(vm, &table, "__name", 6, &value);
  (void)table_find_integer(vm, &table, 3, &value);
}

static void load_prototype(struct vm *vm, uint64_t address, struct arena *arena) {
  enum { MOST = 200 };
  struct lua_prototype prototype;
  struct lua_value value;
  size_t size;
  (void)prototype_name(vm, address, arena);
  if (prototype_load(vm, address, &prototype)) return;
  for (uint64_t i = 0; i < prototype.constants && i < MOST; i++)
    (void)prototype_constant(vm, &prototype, i, &value);
  for (uint64_t i = 0; i < prototype.upvalues && i < MOST; i++)
    (void)prototype_upvalue_name(vm, address, i, &size);
  for (uint64_t pc = 0; pc < prototype.instructions && pc < MOST; pc++) {
    (void)prototype_line(vm, prototype.bytes, pc);
    (void)prototype_local_name(vm, prototype.bytes, 1 + pc % 4, pc, &size);
  }
}

/* As everything that it might be. */
static void load_all(struct vm *vm, uint64_t address, struct arena *arena, struct visit *visit) {
  struct lua_function function;
  struct lua_upvalue upvalue;
  struct lua_userdata userdata;
  struct lua_value value;
  bool no_memory = false;
  size_t size;
  (void)lua54_visit(vm, address, TAG_ANY, visit, &no_memory);
  (void)string_bytes(vm, address, &size);
  (void)value_of_object(vm, address, &value);
  load_table(vm, address);
  load_thread(vm, address, arena);
  load_prototype(vm, address, arena);
  (void)upvalue_load(vm, address, &upvalue);
  if (!function_load(vm, address, &function))
    for (uint64_t i = 0; i < function.upvalue_count; i++)
      (void)function_upvalue(vm, &function, i, &value);
  if (!userdata_load(vm, address, &userdata))
    for (uint64_t i = 0; i < userdata.user_value_count; i++)
      (void)userdata_value(vm, &userdata, i);
}

/* The objects that the patches hit, whatever the VM's lists say of them now, as of every kind: a
 * tag of another kind is put on each in turn. */
static void run_load(const uint8_t *bytes, size_t size) {
  static const uint8_t tags[] = {TAG_SHORT_STRING, TAG_LONG_STRING, TAG_TABLE,
                                 TAG_LUA_FUNCTION, TAG_C_FUNCTION,  TAG_USERDATA,
                                 TAG_THREAD,       TAG_UPVALUE,     TAG_PROTOTYPE};
  struct victim *victim = patches_apply(bytes, size);
  struct inspect_session *session = open_session(victim);
  struct inspect_error *error = session ? session_detect(session, NULL) : NULL;
  struct visit visit = {0};
  struct arena arena;
  arena_init(&arena);
  const struct heap *sound = victim_heap(victim);
  for (size_t i = 1; session && !error && session->heap.vm_count && i + 4 < size && i < 200;
       i += 8) {
    struct vm *vm = &session->heap.vms[0].vm;
    size_t offset = ((size_t)bytes[i + 1] | (size_t)bytes[i + 2] << 8) * 2 % victim->size;
    uint32_t owner = victim_owner(victim, offset);
    uint64_t address = owner < sound->graph.object_count ? heap_address(sound, owner)
                                                         : victim->heap_start + offset;
    size_t place = victim_offset(victim, address) + vm->layout->place[GCObject_tt].offset;
    load_all(vm, address, &arena, &visit);
    for (size_t t = 0; t < sizeof tags && place < patches_size(); t++) {
      victim->bytes[place] = tags[t];
      load_all(vm, address, &arena, &visit);
    }
    struct collector collector;
    (void)collector_load(vm, (enum stop_form)(bytes[i] % 3), &collector);
  }
  inspect_error_free(error);
  vector_free(&visit.references);
  arena_free(&arena);
  inspect_session_close(session);
  patches_undo();
}

const struct fuzz_target fuzz_load = {.name = "load", .run = run_load, .mutate = patches_mutate};

/* ---- The walk, the analyses --------------------------------------------------------------------
 */

static void run_walk(const uint8_t *bytes, size_t size) {
  struct inspect_session *session = open_session(patches_apply(bytes, size));
  if (session) inspect_error_free(session_classify(session, NULL));
  if (session && session->is_built) inspect_error_free(session_dominate(session, NULL));
  inspect_session_close(session);
  patches_undo();
}

const struct fuzz_target fuzz_walk = {
    .name = "walk", .run = run_walk, .mutate = patches_mutate, .memory = 1};

static void must(const char *wrong) {
  if (!wrong) return;
  fprintf(stderr, "%s\n", wrong);
  abort();
}

/* Two commands, chosen by the input itself. */
static void run_analyses(const uint8_t *bytes, size_t size) {
  struct inspect_session *session = open_session(patches_apply(bytes, size));
  uint64_t random = size;
  size_t lines = 0;
  int status;
  for (size_t i = 0; i < size; i++)
    random = random * 31 + bytes[i];
  while (command_line(lines))
    lines++;
  for (unsigned i = 0; session && i < 2; i++)
    must(command_run(session, command_line((size_t)(random_next(&random) % lines)), &status));
  inspect_session_close(session);
  patches_undo();
}

const struct fuzz_target fuzz_analyses = {
    .name = "analyses", .run = run_analyses, .mutate = patches_mutate, .memory = 1};

/* ---- Records of trackers -----------------------------------------------------------------------
 */

static object_id some_target(const struct graph *graph, object_id object, uint64_t *random) {
  reference_id first = graph_first(graph, object);
  uint64_t count = graph_first(graph, (uint64_t)object + 1) - first;
  return count ? graph->target[first + random_next(random) % count] : object;
}

/* A tracker, one of its records, or a text in one: what a program wrote. */
static object_id some_record(const struct victim *victim, uint64_t *random) {
  enum { MODES = OBJECT_WEAK_KEYS | OBJECT_WEAK_VALUES, MOST_TRIES = 10000 };
  const struct graph *graph = &victim_heap(victim)->graph;
  object_id object = 0;
  for (unsigned i = 0; i < MOST_TRIES; i++) {
    object = (object_id)(random_next(random) % graph->object_count);
    if ((graph->flags[object] & MODES) == OBJECT_WEAK_KEYS) break;
  }
  for (unsigned steps = (unsigned)(random_next(random) % 4); steps; steps--)
    object = some_target(graph, object, random);
  return object;
}

/* Puts a value of some kind, or some text, into a record. */
static size_t mutate_records(uint8_t *bytes, size_t size, size_t room, uint64_t seed) {
  static const uint8_t tags[] = {TAG_NIL,
                                 TAG_FALSE,
                                 TAG_INTEGER,
                                 TAG_FLOAT,
                                 TAG_LIGHT_USERDATA,
                                 TAG_TRUE,
                                 TAG_SHORT_STRING | TAG_COLLECTABLE,
                                 TAG_TABLE | TAG_COLLECTABLE};
  static const char texts[][9] = {"\x1b[31m", "%s%n%d",       "\xff\xfe",
                                  "\n\t",     "\xe2\x80\xae", "2026-11-"};
  static const double times[] = {1700000000, 1e300, -1, 0.5, 1e18, 1764000000.25, -1e308};
  uint64_t random = seed;
  if (!room) return 0;
  if (!size) bytes[size++] = (uint8_t)random_next(&random);
  struct victim *victim = patches_victim(bytes[0]);
  const struct heap *heap = victim_heap(victim);
  object_id object = some_record(victim, &random);
  uint64_t address = heap_address(heap, object), place = 0;
  struct vm *vm = victim_vm(victim);
  if (heap->graph.type[object] == OBJECT_STRING) {
    uint64_t bytes_of = vm->layout->place[TString_contents].offset;
    const char *text = texts[random_next(&random) % (sizeof texts / sizeof *texts)];
    return patches_add(bytes, size, room, victim_offset(victim, address + bytes_of),
                       (const uint8_t *)text, strlen(text));
  }
  struct lua_table table;
  if (heap->graph.type[object] != OBJECT_TABLE || table_load(vm, address, &table)) return size;
  if (table.node_count)
    place =
        table.node_place + random_next(&random) % table.node_count * vm->layout->size[SIZE_Node];
  if (!place || !victim_has(victim, place, 16)) return size;
  double time = times[random_next(&random) % (sizeof times / sizeof *times)];
  uint8_t tag = tags[random_next(&random) % sizeof tags];
  uint64_t bits = random_next(&random) >> random_next(&random) % 64;
  if (random_next(&random) % 2) memcpy(&bits, &time, sizeof bits);
  size_t offset = victim_offset(victim, place);
  size = patches_add(bytes, size, room, offset, (const uint8_t *)&bits, sizeof bits);
  return patches_add(bytes, size, room, offset + vm->layout->place[TValue_tt_].offset, &tag, 1);
}

static void run_records(const uint8_t *bytes, size_t size) {
  static const char *const lines[] = {"leaks --all", "leaks --all --json --now 1700009999",
                                      "leaks --all-weak --min-age 1s", "triage",
                                      "leaks --description '*a*' --now 2026-11-22"};
  struct inspect_session *session = open_session(patches_apply(bytes, size));
  int status;
  if (session) {
    must(command_run(session, lines[size % (sizeof lines / sizeof *lines)], &status));
    must(command_run(session, lines[1], &status));
  }
  inspect_session_close(session);
  patches_undo();
}

const struct fuzz_target fuzz_records = {
    .name = "records", .run = run_records, .mutate = mutate_records, .memory = 1};
