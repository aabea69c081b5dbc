// Names of topics that a reader gives: where they are stored, and their way to another page.

import { h, saveFile } from "./elements.js";

/** Names of a page without a kernel: in its state, and in the storage of the browser where there
 *  is one. Another fit, or another set of names from Python, has another place there. */
export function namesOfPage(state) {
  const place = `nnmf_nb names ${state.payload.fit} ${JSON.stringify(state.names)}`;
  let names = state.names;
  try {
    names = JSON.parse(localStorage.getItem(place)) || names;
  } catch {
    // a page without storage keeps names until it is closed
  }
  return {
    get: () => names,
    set(value) {
      names = value;
      try {
        localStorage.setItem(place, JSON.stringify(value));
      } catch {
        // as above
      }
    },
  };
}

/** Buttons that write the names to a file, and read them from one. */
export function namesTools(view) {
  const input = h("input", { type: "file", accept: ".json,application/json", hidden: true });
  input.setAttribute("aria-label", "file with names of topics");
  input.addEventListener("change", () => {
    input.files[0]?.text().then(view.guard((text) => view.setNames(readNames(view, text))));
    input.value = "";
  });
  const button = (name, work) =>
    h("button", { class: `plain ${name}`, type: "button", onclick: view.guard(work) }, name);
  return h(
    "div",
    { class: "names" },
    h("span", { class: "quiet" }, "names of topics: "),
    button("download", () => download(view)),
    button("upload", () => input.click()),
    input,
  );
}

function download(view) {
  const text = JSON.stringify({ fit: view.data.fit, names: view.names() }, null, 1);
  saveFile("topic_names.json", text);
}

/** The names in a file that belongs to this fit, with those that were here before. */
function readNames(view, text) {
  const { fit, names } = JSON.parse(text);
  if (fit !== view.data.fit) {
    throw new Error("the names in this file belong to another fit, whose topics are others");
  }
  const known = (key) => {
    const [l, j] = key.split(",").map(Number);
    return view.data.layers[l]?.topics[j] !== undefined;
  };
  const given = Object.entries(names).filter(([key, name]) => known(key) && name);
  const short = given.map(([key, name]) => [key, String(name).slice(0, 80)]);
  return { ...view.names(), ...Object.fromEntries(short) };
}
