// Elements from names, attributes and text. Text of the chain is only ever text: nothing here, and
// nothing else in the console, parses a string as markup (the page's Trusted Types forbid it).

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

/** An HTML element; children are nodes, texts, or arrays of these. */
export function h(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function s(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Put these in place of all that an element has. */
export function fill(element, ...children) {
  element.replaceChildren();
  return filled(element, null, children);
}

/** Put these after an element's heading; what has the focus keeps it, by its id where it is made anew. */
export function retold(element, heading, parts) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  while (element.lastChild !== heading) element.lastChild.remove();
  filled(element, null, parts);
  if (focused) document.getElementById(focused)?.focus();
}

/** What stands in a section until its content comes. */
export function loading() {
  return h("p", { class: "dim loading" }, "Loading …");
}

/** Take away the sections whose content did not come. */
export function dropUnloaded(main) {
  for (const section of main.querySelectorAll("section:has(.loading)")) section.remove();
}

/** Say something to who listens rather than looks. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Whether keys that are pressed there are meant as text. */
export function isTyping(target) {
  return target instanceof Element && target.closest("input, select, textarea, [contenteditable]") !== null;
}
