/* vm.c - one Lua VM: loads global_State once, so that everything after works on plain numbers. */
#include "lua/vm.h"

void faults_add(struct faults *faults, uint64_t address, const char *text) {
  struct fault fault = {.address = address, .text = text};
  if (faults->list.count >= MOST_FAULTS || !vector_push(&faults->list, fault)) faults->more++;
}

void notes_add(struct vm *vm, uint64_t address, const char *format, ...) {
  enum { MOST_NOTES = 100 };
  if (vm->notes.count >= MOST_NOTES) return;
  va_list arguments;
  va_start(arguments, format);
  struct note note = {.address = address, .text = arena_vprintf(&vm->arena, format, arguments)};
  va_end(arguments);
  for (size_t i = 0; note.text && i < vm->notes.count; i++)
    if (vm->notes.items[i].address == address && strcmp(vm->notes.items[i].text, note.text) == 0)
      return;
  (void)(note.text && vector_push(&vm->notes, note));
}

static const uint8_t *global_view(struct vm *vm) {
  return memory_view(&vm->memory, vm->global_state, vm->layout->size[SIZE_global_State]);
}

bool vm_open(struct vm *vm, const struct layout *layout, const struct address_map *map,
             uint64_t global_state, uint64_t main_thread) {
  *vm = (struct vm){.layout = layout,
                    .memory = {.map = map},
                    .global_state = global_state,
                    .main_thread = main_thread};
  const uint8_t *global = global_view(vm);
  if (!global) return false;
  uint64_t total = load_field(layout, global, global_State_totalbytes);
  int64_t debt = load_signed(layout, global, global_State_GCdebt);
  vm->heap_bytes = layout->debt_is_subtracted ? total - (uint64_t)debt : total + (uint64_t)debt;
  if (layout->pointer_size == 4) vm->heap_bytes &= UINT32_MAX;
  const uint8_t *registry = global + layout->place[global_State_l_registry].offset;
  vm->registry = load_pointer(layout, registry);
  const uint8_t *strings = global + layout->place[global_State_strt].offset;
  vm->string_table_size = load_field(layout, strings, stringtable_size);
  const uint8_t *names = global + layout->place[global_State_tmname].offset;
  vm->mode_name = load_pointer(layout, names + 3 * layout->pointer_size); /* ltm.h: TM_MODE */
  vm->current_white = (uint8_t)load_field(layout, global, global_State_currentwhite);
  vm->gc_state = (uint8_t)load_field(layout, global, global_State_gcstate);
  vm->gc_kind = (uint8_t)load_field(layout, global, global_State_gckind);
  vm->exact_sweep = vm->gc_state >= GC_SWEEP_ALL && vm->gc_state <= GC_SWEEP_END;
  return true;
}

void vm_close(struct vm *vm) {
  vector_free(&vm->faults.list);
  vector_free(&vm->notes);
  arena_free(&vm->arena);
}

uint64_t vm_block_bytes(const struct vm *vm) {
  const struct layout *layout = vm->layout;
  uint64_t global = layout->size[SIZE_global_State];
  return layout->main_thread_embedded
             ? global
             : layout->block_extra + layout_state_distance(layout) + global;
}

uint64_t vm_list(struct vm *vm, enum layout_field list) {
  const uint8_t *global = global_view(vm);
  return global ? load_field(vm->layout, global, list) : 0;
}

bool vm_pending_are_roots(const struct vm *vm) {
  bool is_generational = vm->gc_kind == 1;            /* KGC_GEN; 5.5: KGC_GENMINOR */
  bool sweeps_first = vm->layout->debt_is_subtracted; /* the collector of 5.5       */
  if (is_generational) return !sweeps_first;
  return vm->gc_state == GC_PAUSE;
}
