// What was done last: told at the foot of the page, and taken back.

import { Refused } from "./api.js";
import { fill, h, say } from "./dom.js";

const AUTHOR = "chainwarden.author";
let takeBack = null; // undoes what was done last

/** The name that somebody gave here before, empty where none. */
export function remembered() {
  try {
    return localStorage.getItem(AUTHOR) ?? "";
  } catch {
    return "";
  }
}

/** Keep a name for the next time. */
export function remember(author) {
  try {
    localStorage.setItem(AUTHOR, author);
  } catch {
    // It is asked for again.
  }
}

/** Tell what was done, and have what is on screen asked for again; undoing is a function, if it can be. */
export function done(text, undoing = null) {
  takeBack = undoing;
  toast(text, undoing !== null);
  document.dispatchEvent(new CustomEvent("analyst-said"));
}

/** Take back what was done last. */
export function undo() {
  const undoing = takeBack;
  takeBack = null;
  return undoing === null ? undefined : attempt(undoing);
}

/** Do something of which a refusal is told at the foot of the page. */
export async function attempt(act) {
  try {
    await act();
  } catch (error) {
    if (error instanceof Refused) failed(error);
    else throw error;
  }
}

/** Tell why something was not done. */
export function failed(error) {
  toast(error.hint ? `${error.message}: ${error.hint}` : error.message, false);
}

// It stays until the next thing is done or it is closed.
function toast(text, undoable) {
  const box = document.getElementById("toast");
  fill(
    box,
    h("span", null, text),
    undoable && h("button", { type: "button", onclick: undo, "aria-keyshortcuts": "u" }, "Undo ", h("kbd", null, "u")),
    h("button", { type: "button", class: "plain", onclick: () => (box.hidden = true) }, "Close"),
  );
  box.hidden = false;
  say(undoable ? `${text}. Press u to undo.` : text);
}
