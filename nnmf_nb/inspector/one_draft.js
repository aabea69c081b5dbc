// There is one draft. Words of one topic are gathered in it; another edit asks before it takes its
// place.

const GATHERED = ["remove_words", "add_words", "stop_words"];

/** A function (kind, edit) that looks at an edit. Edits that come faster than their answers wait for
 *  each other. `editing.waiting` is one that would replace the draft, until somebody says so. */
export function drafts(editing) {
  let last = Promise.resolve();
  editing.waiting = null;

  function look(kind, { isSwitch = false, ...edit }) {
    const { draft } = editing.state();
    if (!draft || kind === "rename") return editing.send({ do: "look", kind, ...edit });
    if (!isGathered(draft, kind, edit)) {
      editing.waiting = { kind, edit };
      editing.drawBar();
      return null;
    }
    const words = gathered(draft.words, edit.words, isSwitch);
    return editing.send(words.length ? { do: "look", kind, ...edit, words } : { do: "discard" });
  }

  return (kind, edit) => {
    last = last.then(() => look(kind, edit));
    return last;
  };
}

const isGathered = (draft, kind, { topics = [] }) =>
  draft.kind === kind && GATHERED.includes(kind) && (kind === "stop_words" || draft.topics[0] === topics[0]);

/** Words of a draft and more; a word that is crossed out once more is no longer crossed out. */
function gathered(words, more, isSwitch) {
  const isBack = isSwitch && more.every((word) => words.includes(word));
  if (isBack) return words.filter((word) => !more.includes(word));
  return [...new Set([...words, ...more])];
}
