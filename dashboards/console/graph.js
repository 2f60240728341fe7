// The money around a wallet as a picture that can be moved, magnified and expanded, and as a table.

import { ask, Refused } from "./api.js";
import { failed } from "./done.js";
import { fill, h, s, say } from "./dom.js";
import { askForLabel } from "./labelling.js";
import { COMPACT, WIDE, layout, merge, newGraph } from "./graph_layout.js";
import { briefAmount, count, exactAmount, moment, outside, plain, short, span, tags, wallet } from "./words.js";

const MOST_NODES = 120;
const SMALLEST = 0.72; // of the scale at first: below it the words cannot be read
const NARROWEST = 0.15;
const WIDEST = 3;

/** The graph of an answer as elements; alertId is where labels come from. */
export function moneyGraph(answer, signal, { alertId = "" }) {
  if (answer.centre === null) return [h("p", { class: "dim" }, "The alert is about no wallet.")];
  if (!answer.edges.length) return [h("p", { class: "dim" }, "The lake has no transfer of this wallet, nor of these transactions.")];
  const graph = newGraph(answer.centre);
  merge(graph, answer);
  const scene = s("g");
  const picture = s("svg", { class: "money", role: "group", tabindex: "0", "aria-label": "Money flows", "aria-describedby": "money-hint" }, scene);
  const details = h("div", { class: "picked", "aria-live": "polite" });
  const table = h("tbody");
  const view = viewOf(picture, scene);
  const size = matchMedia("(max-width: 560px)").matches ? COMPACT : WIDE;
  let chosen = null;
  let drawnBox = null;

  function draw() {
    const { nodes, edges, box } = layout(graph, size);
    const focused = scene.querySelector(":focus")?.dataset.address;
    fill(scene, edges.map((one) => drawEdge(one, choose)), nodes.map((node) => drawNode(node, graph, size, expand)));
    fill(table, edges.map(({ edge }) => edgeRow(edge)));
    if (focused) scene.querySelector(`[data-address="${focused}"]`)?.focus({ preventScroll: true });
    mark();
    drawnBox = box;
  }

  function mark() {
    for (const one of scene.children) {
      const ends = (one.dataset.key ?? "").split(" ");
      one.classList.toggle("chosen", one.dataset.address === chosen || (chosen !== null && ends.includes(chosen)));
    }
  }

  function choose(what) {
    chosen = what.address ?? null;
    mark();
    fill(details, what.address ? nodeDetails(what, { expand, alertId }) : edgeDetails(what));
  }

  async function expand(node) {
    choose(node);
    if (node.expanded) return;
    if (graph.nodes.size >= MOST_NODES) {
      say(`No more than ${MOST_NODES} wallets are drawn.`);
      details.append(h("p", { class: "dim" }, `No more than ${MOST_NODES} wallets are drawn: open the wallet's own page.`));
      return;
    }
    try {
      const before = { x: node.x, y: node.y };
      const fresh = merge(graph, await ask(`/api/v1/wallets/${node.address}/graph`, { signal }));
      draw();
      // The wallet stays under the pointer while others make room for the new ones.
      view.shift(before.x - node.x, before.y - node.y);
      choose(node);
      say(`${fresh} more wallets around ${short(node.address)}`);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) throw error;
      failed(error);
    }
  }

  draw();
  // Its size is known once it is on the page.
  const sized = new ResizeObserver(() => {
    if (!picture.clientWidth) return;
    sized.disconnect();
    view.whole(drawnBox, SMALLEST);
  });
  sized.observe(picture);
  signal.addEventListener("abort", () => sized.disconnect(), { once: true });
  // Never so tall that the page cannot be scrolled beside it.
  const height = Math.min(0.8 * window.innerHeight, Math.max(220, drawnBox.height + 20));
  picture.style.height = `${height}px`;
  return [
    h("p", { class: "dim", id: "money-hint" }, legend(answer, alertId)),
    h(
      "div",
      { class: "frame" },
      h(
        "div",
        { class: "zoom", role: "group", "aria-label": "Zoom" },
        h("button", { type: "button", "aria-label": "Zoom in", onclick: () => view.zoom(1.3) }, "+"),
        h("button", { type: "button", "aria-label": "Zoom out", onclick: () => view.zoom(1 / 1.3) }, "−"),
        h("button", { type: "button", "aria-label": "Show the whole graph", onclick: () => view.whole(drawnBox, NARROWEST) }, "Whole"),
      ),
      picture,
    ),
    details,
    h(
      "details",
      null,
      h("summary", null, "The transfers as a table"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Transfers between these wallets" },
        h("table", null, h("thead", null, h("tr", null, ["From", "To", "Amount", "Transfers", "First (UTC)", "Last (UTC)"].map((one) => h("th", { scope: "col" }, one)))), table)),
    ),
  ];

  function viewOf(svg, moved) {
    let [x, y, scale] = [0, 0, 1];
    const apply = () => moved.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${scale.toFixed(4)})`);
    const self = {
      whole(box, least) {
        const [width, tall] = [svg.clientWidth, svg.clientHeight];
        scale = Math.min(1, Math.max(least, Math.min(width / box.width, tall / box.height)));
        // What does not fit is cut off: the wallet in the middle, at 0, 0, stays, and its evidence.
        const edge = (size.width / 2 + 14) * scale;
        const fits = (room, start, length) => length * scale <= room && room / 2 - (start + length / 2) * scale;
        x = fits(width, box.x, box.width) || (evidenceSide(graph) < 0 ? width - edge : edge);
        y = fits(tall, box.y, box.height) || tall / 2;
        apply();
      },
      zoom(by, at = { x: svg.clientWidth / 2, y: svg.clientHeight / 2 }) {
        const to = Math.min(WIDEST, Math.max(NARROWEST, scale * by));
        x = at.x - ((at.x - x) * to) / scale;
        y = at.y - ((at.y - y) * to) / scale;
        scale = to;
        apply();
      },
      shift(dx, dy) {
        x += dx * scale;
        y += dy * scale;
        apply();
      },
      pan(dx, dy) {
        x += dx;
        y += dy;
        apply();
      },
    };
    listen(svg, self);
    return self;
  }

  function listen(svg, self) {
    let held = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button === 0) held = { x: event.clientX, y: event.clientY, moved: false };
    });
    svg.addEventListener("pointermove", (event) => {
      if (held === null) return;
      const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
      if (!held.moved && Math.hypot(dx, dy) < 4) return;
      if (!held.moved) svg.setPointerCapture(event.pointerId);
      held = { x: event.clientX, y: event.clientY, moved: true };
      self.pan(dx, dy);
    });
    const release = () => (held = null);
    svg.addEventListener("pointerup", release);
    svg.addEventListener("pointercancel", release);
    svg.addEventListener("wheel", (event) => {
      // A page that scrolls must not get caught in a picture.
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== svg) return;
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      self.zoom(Math.exp(-event.deltaY / 300), { x: event.clientX - box.left, y: event.clientY - box.top });
    }, { passive: false });
    svg.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = {
        "+": () => self.zoom(1.3), "=": () => self.zoom(1.3), "-": () => self.zoom(1 / 1.3),
        0: () => self.whole(drawnBox, NARROWEST),
        ArrowLeft: () => self.pan(60, 0), ArrowRight: () => self.pan(-60, 0),
        ArrowUp: () => self.pan(0, 60), ArrowDown: () => self.pan(0, -60),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }
}

/** -1 where the evidence pays the wallet in the middle, 1 where that pays. */
function evidenceSide(graph) {
  const edges = [...graph.edges.values()].filter(({ from, to }) => from === graph.centre || to === graph.centre);
  const first = edges.find((edge) => edge.in_evidence) ?? edges[0];
  return first && first.to === graph.centre ? -1 : 1;
}

function legend({ whole, since_block: since, others, edges_left_out: left }, alertId) {
  const parts = [
    `Payers stand to the left, payees to the right${alertId && "; red is the alert's evidence"}.`,
    "A wallet with a + expands when it is chosen. Drag to move; scroll with Ctrl to zoom.",
  ];
  if (!whole) parts.push(`Looked at from block ${count(since)} on.`);
  if (others) parts.push(`${count(others)} more counterparties are not drawn.`);
  if (left) parts.push(`${count(left)} more edges are not drawn.`);
  return parts.join(" ");
}

function drawNode(node, graph, size, expand) {
  const words = node.address === graph.centre && !node.labels.length ? "this wallet" : node.labels.map(plain).join(", ");
  const room = Math.floor((size.width - 34) / 6.2);
  const below = words.length > room ? words.slice(0, room - 1) + "…" : words;
  const classes = ["node", node.address === graph.centre && "centre", node.in_evidence && "hot"].filter(Boolean).join(" ");
  const more = node.expanded ? "" : "(expands)";
  const left = node.expanded && node.others ? `${count(node.others)} more` : "";
  const top = (node.height - size.height) / 2; // of its words
  return s(
    "g",
    {
      class: classes, tabindex: "0", role: "button", "data-address": node.address,
      transform: `translate(${node.x - size.width / 2} ${(node.y - node.height / 2).toFixed(1)})`,
      onclick: () => expand(node),
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        expand(node);
      },
    },
    s("title", null, [node.address, words, left, node.in_evidence && "(evidence)", more].filter(Boolean).join(" ")),
    s("rect", { width: size.width, height: node.height, rx: 6 }),
    s("text", { class: "address", x: 10, y: top + (below ? 18 : 27) }, size === WIDE ? short(node.address) : `${node.address.slice(0, 8)}…${node.address.slice(-4)}`),
    below && s("text", { class: "what", x: 10, y: top + 34 }, below),
    !node.expanded && s("text", { class: "plus", x: size.width - 20, y: top + 28 }, "+"),
    left && s("text", { class: "what", x: size.width - 8, y: top + 34, "text-anchor": "end" }, left),
  );
}

function drawEdge({ edge, to, turned, path, words }, choose) {
  return s(
    "g",
    { class: edge.in_evidence ? "edge hot" : "edge", "data-key": `${edge.from} ${edge.to}`, onclick: () => choose(edge) },
    s("title", null, told(edge)),
    s("path", { class: "wide", d: path }),
    s("path", { class: "line", d: path }),
    s("path", { class: "arrow", d: `M${to.x} ${to.y} l${9 * turned} -4.5 v9 Z` }),
    s("text", { class: "amount", x: words.x, y: words.y - 5, "text-anchor": words.anchor }, summary(edge)),
    s("text", { class: "when", x: words.x, y: words.y + 13, "text-anchor": words.anchor }, span(edge.first_time, edge.last_time)),
  );
}

function summary({ amounts, tokens, count: times }) {
  const more = tokens > 1 ? ` +${tokens - 1}` : "";
  return `${briefAmount(amounts[0])}${more}${times > 1 ? ` (${count(times)}×)` : ""}`;
}

function told(edge) {
  return `${edge.from} → ${edge.to}: ${exact(edge)} in ${count(edge.count)} transfer${edge.count > 1 ? "s" : ""}, ${moment(edge.first_time)} – ${moment(edge.last_time)} UTC`;
}

function exact({ amounts, tokens }) {
  const more = tokens > amounts.length ? `, ${count(tokens - amounts.length)} more tokens` : "";
  return amounts.map(exactAmount).join(", ") + more;
}

function edgeRow(edge) {
  return h(
    "tr",
    { class: edge.in_evidence ? "hot" : "" },
    h("td", null, wallet(edge.from)),
    h("td", null, wallet(edge.to)),
    h("td", null, exact(edge)),
    h("td", { class: "n" }, count(edge.count)),
    h("td", { class: "nowrap" }, moment(edge.first_time)),
    h("td", { class: "nowrap" }, moment(edge.last_time)),
  );
}

function nodeDetails(node, { expand, alertId }) {
  return h(
    "div",
    { class: "actions" },
    wallet(node.address, true), " ", tags(node.labels),
    !node.expanded && h("button", { type: "button", onclick: () => expand(node) }, "Expand"),
    h("button", { type: "button", onclick: () => askForLabel({ address: node.address, alertId }) }, "Label"),
    outside("address", node.address),
  );
}

function edgeDetails(edge) {
  return [
    h("p", null, wallet(edge.from), " → ", wallet(edge.to), ` ${exact(edge)} in ${count(edge.count)} transfer${edge.count > 1 ? "s" : ""}, ${moment(edge.first_time)} – ${moment(edge.last_time)} UTC, blocks ${edge.first_block} – ${edge.last_block}`),
    h("ul", { class: "bare" }, edge.transactions.map((one) => h("li", null, h("code", { class: "whole" }, one), " ", outside("tx", one)))),
  ];
}
