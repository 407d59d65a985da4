/* session.h - an opened target and what is known of it so far.
 *
 * Everything is made when first asked for and kept: the VMs, the graph, the full collection, the
 * dominator tree, the classes of all objects. A session never changes its mind: a target that ran
 * needs a new session. */
#ifndef COMMAND_SESSION_H
#define COMMAND_SESSION_H

#include "analysis/collect.h"
#include "analysis/dominators.h"
#include "analysis/doubt.h"
#include "command/budget.h"
#include "command/command.h"
#include "graph/classes.h"
#include "graph/heap.h"
#include "report/render.h"
#include "source/source.h"

struct inspect_session {
  struct source *source;
  const struct layout *given;  /* --layout, or NULL */
  struct redaction *redaction; /* --redact, or NULL */
  struct heap heap;
  bool is_open, is_detected, is_built, is_collected, is_dominated, is_classified;
  bool is_broken_off; /* the heap was not read to its end: good for describe_target, then gone */
  struct collection collection;
  struct bitset doubtful; /* has no words unless references were lost: session_doubts */
  struct dominators dominators;
  struct classes classes;
  struct VECTOR(object_id) listing; /* what @N means: the last list that was shown     */
  const char **releases;            /* of each VM: "5.4.4" or NULL; after detection    */
  struct budget budget;             /* of the command that runs                         */
  struct arena arena;
};

/* Each makes sure that what it names is there; NO_VM-like errors say what was tried. */
MUST_CHECK struct inspect_error *session_detect(struct inspect_session *session,
                                                const struct work *work);
/* The VMs that are found without searching all memory, if there are any; see heap_detect. */
MUST_CHECK struct inspect_error *session_detect_briefly(struct inspect_session *session,
                                                        const struct work *work);
MUST_CHECK struct inspect_error *session_build(struct inspect_session *session,
                                               const struct work *work);
MUST_CHECK struct inspect_error *session_collect(struct inspect_session *session,
                                                 const struct work *work);
MUST_CHECK struct inspect_error *session_dominate(struct inspect_session *session,
                                                  const struct work *work);
MUST_CHECK struct inspect_error *session_classify(struct inspect_session *session,
                                                  const struct work *work);

/* Whether the collected graph lacks references that may have held the object, which is not live:
 * then nobody can say whether it is garbage. */
static inline bool session_doubts(const struct inspect_session *session, object_id object) {
  return session->doubtful.words && bitset_has(&session->doubtful, object);
}

/* Forgets all that was made, after memory ran out: parts of it may be missing, and there is more
 * room then. It is made again when it is asked for. */
void session_forget(struct inspect_session *session);

/* Whether --vm leaves this VM in; `index` counts from 0. */
bool session_selects(const struct inspect_session *session, const struct command_options *options,
                     size_t index);

/* USAGE if --vm names no VM. */
MUST_CHECK struct inspect_error *session_check_choice(const struct inspect_session *session,
                                                      const struct command_options *options);

/* What most commands begin with: the VMs are found, --vm is checked before anything takes time, and
 * the full collection is computed. */
MUST_CHECK struct inspect_error *session_begin(struct command_context *context);

/* The moment ages count from: --now, else the dump's time. */
double session_now(const struct inspect_session *session, const struct command_options *options);

/* ---- What every document begins with, and ends with (describe.c, faults.c)
 * -------------------------------------------- */

/* Data: target, vms, faults. Page: the first line of the answer, and a blank one. `brief`:
 * detection only, nothing was counted. Call when the graph is as complete as it gets. */
void describe_target(struct command_context *context, bool brief);

/* Page: what could not be checked, at the end of the answer. Nothing if all is well. */
void describe_faults(struct command_context *context);

/* "table", "function room.lua:41", "coroutine, dead by error", "userdata FILE*": escaped. */
const char *describe_object(struct inspect_session *session, object_id object, struct arena *arena);

/* The name that the program gave to the class of a table or userdata (class_names.h), escaped; NULL
 * if it gave none. Needs no session_classify; it is then the class of the object in
 * session->classes, too. */
const char *object_class(struct inspect_session *session, object_id object);

/* ---- What an interruption leaves (interrupted.c) --------------------------------------------- */

/* What happens to an analysis that was interrupted: the answer goes on without it, as a partial
 * one, which context->partial says from then on. Other errors are passed on. */
MUST_CHECK struct inspect_error *partial_if_interrupted(struct command_context *context,
                                                        struct inspect_error *error);

/* Data and page of a command that was interrupted before it had an answer: what had been seen of
 * the target when `phase` was stopped at that share (negative: not known; NULL: no phase). */
void describe_interrupted(struct command_context *context, const char *phase, double share);

/* ---- Names of objects (resolve.c) ------------------------------------------------------------ */

/* Finds what a path names, in the VMs that --vm selects. `reference` and `owner` (may be NULL)
 * receive the last reference of the path, NO_REFERENCE if the path is only a root. */
MUST_CHECK struct inspect_error *resolve_path(struct inspect_session *session,
                                              const struct command_options *options,
                                              const struct path *path, object_id *object,
                                              reference_id *reference);

/* What a path names in each of the selected VMs, at most once; an error if it names nothing in any
 * of them. The result is the caller's, to be freed also after an error. */
struct resolved VECTOR(struct resolved_place {
  object_id object;
  reference_id reference;
});
MUST_CHECK struct inspect_error *resolve_path_everywhere(struct inspect_session *session,
                                                         const struct command_options *options,
                                                         const struct path *path,
                                                         struct resolved *result);

/* Appends the label of a reference in path syntax, exact: ".members", "[17]", ":upvalue(npc)". A
 * value behind an upvalue object is named by the step to the upvalue: for it nothing is added. */
bool resolve_label(struct inspect_session *session, object_id from, reference_id reference,
                   struct text *text);

#endif
