/* survivors.c - compares a computed full collection with real ones, object by object.
 *   survivors BEFORE AFTER1 AFTER2      dumps of one process: before a full collection, right after
 *                                       it, and right after the next
 *
 * Lua moves no object: what the collection of BEFORE leaves must be, address for address, the
 * objects of AFTER1, and what two collections leave those of AFTER2; types and sizes must agree,
 * too (a thread's without its stack, which a collection may shrink). AFTER1 in turn foretells
 * AFTER2.
 *
 * Prints one line of figures, then a line for each difference. Exit status: 0 none, 1 some, 2 a
 * dump could not be read. */
#include <inttypes.h>
#include <stdio.h>

#include "command/session.h"
#include "lua/stack.h"

enum { MOST_SHOWN = 20 };

struct dump {
  const char *path;
  struct inspect_session *session;
};

static bool load(struct dump *dump, const char *path) {
  dump->path = path;
  struct inspect_target target = {.core = path};
  struct inspect_error *error = inspect_session_open(&target, &dump->session);
  if (!error) error = session_collect(dump->session, NULL);
  if (error) {
    fprintf(stderr, "%s: %s\n", path, error->message);
    inspect_error_free(error);
    return false;
  }
  if (dump->session->heap.vm_count == 1) return true;
  fprintf(stderr, "%s: %zu VMs\n", path, dump->session->heap.vm_count);
  return false;
}

/* Size without the stack. */
static uint64_t object_bytes(struct dump *dump, object_id object) {
  struct heap *heap = &dump->session->heap;
  uint64_t bytes = graph_bytes(&heap->graph, object);
  struct lua_thread thread;
  if (heap->graph.type[object] == OBJECT_THREAD &&
      !thread_load(&heap->vms[0].vm, heap_address(heap, object), &thread) && thread.initialized)
    bytes -= thread_stack_bytes(&heap->vms[0].vm, &thread);
  return bytes;
}

static void show(const char *what, struct dump *dump, object_id object, size_t *differences) {
  const struct heap *heap = &dump->session->heap;
  if (++*differences > MOST_SHOWN) return;
  printf("%s 0x%" PRIx64 " %s flags=%u bytes=%" PRIu64, what, heap_address(heap, object),
         object_type_name(heap->graph.type[object]), heap->graph.flags[object],
         object_bytes(dump, object));
  size_t size;
  const char *text = heap->graph.type[object] == OBJECT_STRING
                         ? heap->graph.labels.string(heap->graph.labels.context, object, &size)
                         : NULL;
  if (text) printf(" \"%.*s\"", (int)(size < 60 ? size : 60), text);
  putchar('\n');
}

/* Every object of `first` that is left must be in `second`, and no other. After two collections
 * strings may be missing: collect.h says why. */
static size_t compare(struct dump *first, struct dump *second, bool after_two, const char *missing,
                      const char *unexpected) {
  const struct heap *before = &first->session->heap, *after = &second->session->heap;
  const struct collection *collection = &first->session->collection;
  size_t differences = 0;
  for (object_id i = 0; i < before->graph.object_count; i++) {
    if (after_two ? !bitset_has(&collection->live, i) : !collection_leaves(collection, i)) continue;
    if (after_two && before->graph.type[i] == OBJECT_STRING) continue;
    object_id same = heap_object_at(after, heap_address(before, i));
    if (same == NO_OBJECT || after->graph.type[same] != before->graph.type[i] ||
        object_bytes(first, i) != object_bytes(second, same))
      show(missing, first, i, &differences);
  }
  for (object_id i = 0; i < after->graph.object_count; i++) {
    object_id same = heap_object_at(before, heap_address(after, i));
    if (same == NO_OBJECT ||
        (after_two ? !bitset_has(&collection->live, same) : !collection_leaves(collection, same)))
      show(unexpected, second, i, &differences);
  }
  return differences;
}

static void figures(struct dump *dump, const char *name) {
  const struct heap *heap = &dump->session->heap;
  uint64_t bytes = 0, pending = 0;
  for (object_id i = 0; i < heap->graph.object_count; i++) {
    bytes += object_bytes(dump, i);
    pending += (heap->graph.flags[i] & OBJECT_PENDING) != 0;
  }
  const struct heap_vm *owner = &heap->vms[0];
  printf(" %s_objects=%" PRIu32 " %s_bytes=%" PRIu64 " %s_pending=%" PRIu64 " %s_residual=%" PRId64
         " %s_faults=%zu",
         name, heap->graph.object_count, name, bytes, name, pending, name, owner->residual, name,
         owner->vm.faults.list.count);
}

int main(int argc, char **argv) {
  struct dump dumps[3] = {0};
  static const char *const NAMES[] = {"before", "after1", "after2"};
  bool is_fine = argc == 4;
  for (int i = 0; is_fine && i < 3; i++)
    is_fine = load(&dumps[i], argv[i + 1]);
  size_t differences = 0;
  if (is_fine) {
    const struct vm *vm = &dumps[0].session->heap.vms[0].vm;
    printf("gc_state=%u gc_kind=%u", vm->gc_state, vm->gc_kind);
    for (int i = 0; i < 3; i++)
      figures(&dumps[i], NAMES[i]);
    putchar('\n');
    differences +=
        compare(&dumps[0], &dumps[1], false, "gone after one:", "still there after one:");
    differences += compare(&dumps[0], &dumps[2], true, "gone after two:", "still there after two:");
    differences += compare(&dumps[1], &dumps[2], false,
                           "gone after the second:", "still there after the second:");
  }
  for (int i = 0; i < 3; i++)
    inspect_session_close(dumps[i].session);
  return !is_fine ? 2 : differences ? 1 : 0;
}
