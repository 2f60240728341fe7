// Keys. None is taken from whoever types, or from the browser's own.

import { undo } from "./done.js";
import { h, isTyping } from "./dom.js";

const KEYS = [
  ["j / k", "the next, the previous alert"],
  ["Enter", "open the alert; expand the wallet of the graph"],
  ["l", "label the wallet"],
  ["d", "dismiss the alert: a false positive"],
  ["h", "take the alert in hand, or give it back"],
  ["s", "suppress alerts like it for a while"],
  ["u", "undo what was done last"],
  ["w", "open the alert's wallet"],
  ["/", "find a wallet or an alert"],
  ["Esc", "back to the list"],
  ["+ − 0", "zoom the graph in, out, and whole again (with the focus on it)"],
  ["arrows", "move the graph (with the focus on it)"],
  ["t", "dark or light"],
  ["?", "this page of keys"],
];

/** page() is what is on screen: it may have step, label, dismiss, hand, suppress, wallet and back. */
export function listen(page, { theme }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && isTyping(event.target)) return event.target.blur();
    if (isTyping(event.target)) return;
    const act = {
      j: () => page().step?.(1),
      k: () => page().step?.(-1),
      l: () => page().label?.(),
      d: () => page().dismiss?.(),
      h: () => page().hand?.(),
      s: () => page().suppress?.(),
      w: () => page().wallet?.(),
      u: undo,
      t: theme,
      "/": () => document.getElementById("find-text").focus(),
      "?": showKeys,
      Escape: () => page().back?.(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

export function showKeys() {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", { class: "keys" }, KEYS.map(([key, what]) => h("div", null, h("dt", null, h("kbd", null, key)), h("dd", null, what)))),
    h("form", { method: "dialog", class: "actions" }, h("button", { class: "main" }, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
