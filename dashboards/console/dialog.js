// What the dialogs by which an analyst acts have in common.

import { problem } from "./api.js";
import { remember, remembered } from "./done.js";
import { fill, h } from "./dom.js";

/** Ask with a form; apply() acts on its answers, and what it is refused with is told in the dialog. */
export function formDialog({ title, content, act, apply }) {
  const errors = h("div");
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h(
      "form",
      { onsubmit: submitted },
      h("h2", { id: "dialog-title" }, title),
      content,
      errors,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "main" }, act),
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      ),
    ),
  );

  async function submitted(event) {
    event.preventDefault();
    try {
      await apply();
      dialog.close();
    } catch (error) {
      fill(errors, problem(error));
    }
  }

  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Who acts: the parts of a form, the field of them, and a function that keeps and returns the name. */
export function authorField() {
  const field = h("input", { id: "author", maxlength: "100", value: remembered(), autocomplete: "off" });
  const parts = [h("label", { for: "author" }, "Your name (a token's name goes before it)"), field];
  const keep = () => {
    const author = field.value.trim();
    remember(author);
    return author;
  };
  return { parts, field, keep };
}
