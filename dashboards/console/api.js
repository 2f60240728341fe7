// Asks the API: with the token where one is wanted, and with every refusal as one kind of error.

import { h } from "./dom.js";

const TOKEN = "chainwarden.token";

/** What the server refused, why, and what to do about it. */
export class Refused extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

let asking = null;

/** Whether a token says who asks. */
export function hasToken() {
  return Boolean(sessionStorage.getItem(TOKEN));
}

/** The JSON that is there. Throws Refused; asks the person for a token where one is wanted. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const answer = await send(path, { method, body, signal });
  return answer.json();
}

/** Like ask, but the response itself, for what streams. */
export async function send(path, { method = "GET", body, signal, headers = {} } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    let answer;
    try {
      answer = await fetch(path, {
        method,
        signal,
        headers: {
          ...headers,
          ...(token ? { Authorization: `Bearer ${token}` } : {}),
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "the server does not answer", "is chainwarden still running?");
    }
    if (answer.ok) return answer;
    const refused = await refusal(answer);
    if (refused.status !== 401) throw refused;
    // Another question may have been answered with a new token meanwhile.
    if (sessionStorage.getItem(TOKEN) === token) {
      asking ??= askForToken(token ? refused.message : "").finally(() => (asking = null));
      await asking;
    }
  }
}

async function refusal(answer) {
  try {
    const { error, hint } = await answer.json();
    return new Refused(answer.status, String(error), String(hint ?? ""));
  } catch {
    return new Refused(answer.status, `the server says ${answer.status}`, "");
  }
}

function askForToken(problem) {
  const input = h("input", {
    id: "token-text", type: "password", required: true, autocomplete: "off", spellcheck: "false",
    "aria-describedby": "token-hint",
  });
  const dialog = h(
    "dialog",
    { "aria-labelledby": "token-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "token-title" }, "A token is wanted here"),
      problem && h("p", { class: "problem", role: "alert" }, problem),
      h("label", { for: "token-text" }, "Token"),
      input,
      h("p", { id: "token-hint", class: "dim" },
        "chainwarden token create NAME --role analyst makes one. It is kept until this tab is closed."),
      h("div", { class: "actions" }, h("button", { class: "main" }, "Go on")),
    ),
  );
  document.body.append(dialog);
  return new Promise((done) => {
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(TOKEN, input.value.trim());
      dialog.remove();
      done();
    });
    dialog.showModal();
  });
}

/** A refusal as an element. */
export function problem(error) {
  if (!(error instanceof Refused)) throw error;
  return h(
    "div",
    { class: "card problem", role: "alert" },
    h("p", null, error.message),
    error.hint && h("p", { class: "dim" }, error.hint),
  );
}
