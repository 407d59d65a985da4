/* suspicions_view.c - suspects without a tracker as page and as data. */
#include "command/listing.h"
#include "command/suspicions.h"

enum { MOST_SHOWN = 5 };

/* ---- Data -------------------------------------------------------------------------------------
 */

static void data_suspicion(struct command_context *context, struct data *row,
                           const struct suspicion *mine) {
  struct inspect_session *session = context->session;
  const struct accumulation *pile = &mine->pile;
  const struct graph *graph = &session->heap.graph;
  data_cell(row, "vm", cell_plain(mine->vm + 1));
  data_cell(row, "vms_with_it", cell_count(mine->vms));
  data_cell(row, "sentence", cell_words(mine->sentence));
  data_cell(row, "path", cell_words(mine->path));
  data_cell(row, "address", cell_address(heap_address(&session->heap, pile->holder)));
  data_cell(row, "type", cell_words(object_type_name((enum object_type)graph->type[pile->holder])));
  data_cell(row, "holders", cell_count(pile->holders));
  data_cell(row, "entries", cell_count(pile->entries));
  data_cell(row, "entry_type",
            cell_words(object_type_name((enum object_type)graph->type[pile->entry])));
  data_cell(row, "entry_class", cell_words(mine->entries));
  data_cell(row, "retained_bytes", cell_bytes(pile->retained));
  data_cell(row, "share", cell_ratio(pile->share));
  data_cell(row, "weight", cell_ratio(pile->weight));
  data_cell(row, "used_elsewhere", cell_ratio(pile->used));
  data_cell(row, "shared", cell_boolean(pile->is_shared));
  data_cell(row, "nested", cell_boolean(pile->is_nested));
  data_cell(row, "cause", mine->cause == SIZE_MAX ? cell_null() : cell_plain(mine->cause + 1));
  struct data *chain = data_array(row, "chain");
  size_t suspect =
      mine->chain.count ? chain_to_data(context, chain, &mine->chain, NULL, mine->suspect) : 0;
  data_cell(row, "suspect", mine->chain.count ? cell_plain(suspect) : cell_null());
}

void suspicions_to_data(struct command_context *context, const struct suspicions *suspicions) {
  struct data *list = data_array(context->data, "suspects");
  for (size_t i = 0;
       i < suspicions->count && !document_stops(context->document, i, suspicions->count); i++)
    data_suspicion(context, data_object(list, NULL), &suspicions->items[i]);
}

/* ---- Page -------------------------------------------------------------------------------------
 */

static void page_suspicion(struct command_context *context, const struct suspicion *mine,
                           size_t number) {
  struct inspect_session *session = context->session;
  const struct accumulation *pile = &mine->pile;
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  line_printf(line, STYLE_HEADING, "#%zu  ", number);
  line_cell(line, STYLE_HEADING, cell_count(pile->entries));
  line_words(line, STYLE_HEADING, " × ");
  line_words(line, STYLE_HEADING, mine->entries);
  line_words(line, STYLE_PLAIN, "   retained ");
  line_cell(line, STYLE_PLAIN, cell_bytes(pile->retained));
  line_words(line, STYLE_PLAIN, " (");
  line_cell(line, STYLE_PLAIN, cell_ratio(pile->share));
  line_words(line, STYLE_PLAIN, ")");
  if (mine->vms > 1) {
    line_printf(line, STYLE_PLAIN, "   VM %zu, and the like in ", mine->vm + 1);
    line_cell(line, STYLE_PLAIN, cell_count(mine->vms - 1));
    line_words(line, STYLE_PLAIN, mine->vms == 2 ? " other VM" : " other VMs");
  } else if (session->heap.vm_count > 1) {
    line_printf(line, STYLE_PLAIN, "   VM %zu", mine->vm + 1);
  }
  line_words(page_line(context->document, 4), STYLE_PLAIN, mine->sentence);
  if (mine->cause != SIZE_MAX)
    line_printf(page_line(context->document, 4), STYLE_PLAIN,
                "trackers know of it: cause #%zu of lua-leaks", mine->cause_number + 1);
  if (!mine->chain.count) return;
  struct chain_view_options options = {.suspect = mine->suspect};
  options.leaf_note = arena_printf(
      context->arena, "%s retained",
      render_cell(context->arena, cell_bytes(session->dominators.retained[pile->entry])));
  chain_to_page(context, &mine->chain, &options, 4);
}

void suspicions_to_page(struct command_context *context, const struct suspicions *suspicions) {
  size_t count = suspicions->different, limit = listing_limit(context, count, MOST_SHOWN);
  size_t shown = 0;
  page_blank(context->document);
  struct line *line = page_line(context->document, 0);
  listing_begin(context);
  if (!count) {
    line_words(line, STYLE_HEADING, "no suspects without a tracker");
    line_words(line, STYLE_PLAIN, ": nothing has piled up in one place");
    return;
  }
  line_cell(line, STYLE_HEADING, cell_count(count));
  line_words(line, STYLE_HEADING,
             count == 1 ? " suspect without a tracker" : " suspects without a tracker");
  line_words(line, STYLE_MUTED, ": where like things have piled up, worst first");
  for (size_t i = 0; shown < limit && !document_stops(context->document, shown, limit); i++) {
    if (!suspicions->items[i].is_first) continue;
    listing_number(context, suspicions->items[i].pile.holder);
    page_suspicion(context, &suspicions->items[i], ++shown);
  }
  listing_more(context, limit, count, "suspect", "suspects");
}
