// Where wallets and transfers are drawn. The same graph is always laid out the same: nothing here
// depends on chance, or on the window beyond which of the two sizes is chosen.
//
// Columns are steps away from the wallet in the middle, against the flow to the left and with it to
// the right. Within a column wallets stand as their neighbours do (barycentres, four sweeps, ties by
// when they became known), which keeps most edges from crossing.

// gap is between columns; straight is the part of an edge at the end where its words stand.
export const WIDE = { width: 172, height: 44, gap: 262, straight: 158 };
export const COMPACT = { width: 130, height: 44, gap: 152, straight: 130 };
const ROW = 82;
const SWEEPS = 4;

/** The graph that answers are merged into. */
export function newGraph(centre) {
  return { centre, nodes: new Map(), edges: new Map() };
}

/** Adds an answer's wallets and transfers. Returns how many wallets are new. */
export function merge(graph, answer) {
  const before = graph.nodes.size;
  for (const one of answer.nodes) {
    const known = graph.nodes.get(one.address);
    if (known) {
      known.labels = one.labels;
      known.in_evidence ||= one.in_evidence;
    } else {
      graph.nodes.set(one.address, { ...one, column: null, place: graph.nodes.size, expanded: false, others: 0 });
    }
  }
  for (const edge of answer.edges) {
    const key = `${edge.from} ${edge.to}`;
    const known = graph.edges.get(key);
    // An answer about one of the ends counts all there is between them; the evidence's may not.
    if (!known || edge.count >= known.count) graph.edges.set(key, { ...edge, in_evidence: edge.in_evidence || known?.in_evidence });
  }
  const middle = graph.nodes.get(answer.centre);
  if (middle) {
    middle.expanded = true;
    middle.others = answer.others;
  }
  assignColumns(graph);
  return graph.nodes.size - before;
}

function assignColumns(graph) {
  const { nodes } = graph;
  const middle = nodes.get(graph.centre);
  if (middle && middle.column === null) middle.column = 0;
  for (;;) {
    let moved = false;
    for (const { from, to } of graph.edges.values()) {
      const [a, b] = [nodes.get(from), nodes.get(to)];
      if (a.column !== null && b.column === null) b.column = a.column + 1;
      else if (a.column === null && b.column !== null) a.column = b.column - 1;
      else continue;
      moved = true;
    }
    if (moved) continue;
    // A piece that nothing joins to the middle, such as what a spender moved between others.
    const apart = [...graph.edges.values()].find(({ from }) => nodes.get(from).column === null);
    if (!apart) break;
    nodes.get(apart.from).column = -1;
  }
  for (const node of nodes.values()) node.column ??= 0;
}

/** Every wallet with x and y of its middle and its height, every edge with its path and where its words stand. */
export function layout(graph, size) {
  const columns = new Map();
  for (const node of graph.nodes.values()) {
    if (!columns.has(node.column)) columns.set(node.column, []);
    columns.get(node.column).push(node);
  }
  const numbers = [...columns.keys()].sort((a, b) => a - b);
  const near = neighbours(graph);
  for (const number of numbers) place(columns.get(number));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const number of sweep % 2 ? [...numbers].reverse() : numbers) {
      const column = columns.get(number);
      for (const node of column) node.wish = mean(near.get(node.address).map((other) => other.y)) ?? node.y;
      column.sort((a, b) => a.wish - b.wish || a.place - b.place);
      place(column);
    }
  }
  for (const node of graph.nodes.values()) node.x = node.column * (size.width + size.gap);
  const edges = routes(graph, columns, size);
  return { nodes: [...graph.nodes.values()], edges, box: bounds(graph, edges, size) };
}

function place(column) {
  column.forEach((node, at) => { node.y = (at - (column.length - 1) / 2) * ROW; });
}

function neighbours(graph) {
  const near = new Map([...graph.nodes.keys()].map((address) => [address, []]));
  for (const { from, to } of graph.edges.values()) {
    near.get(from).push(graph.nodes.get(to));
    near.get(to).push(graph.nodes.get(from));
  }
  return near;
}

function mean(numbers) {
  return numbers.length ? numbers.reduce((a, b) => a + b, 0) / numbers.length : null;
}

function routes(graph, columns, size) {
  const drawn = [...graph.edges.values()].map((edge) => {
    const [a, b] = [graph.nodes.get(edge.from), graph.nodes.get(edge.to)];
    // 1: an edge leaves or enters on the right side of a wallet, -1: on its left.
    const [out, into] = a.column === b.column ? [1, 1] : a.column < b.column ? [1, -1] : [-1, 1];
    return { edge, a, b, out, into };
  });
  const sides = new Map();
  const side = (node, way) => {
    const key = `${node.address} ${way}`;
    if (!sides.has(key)) sides.set(key, []);
    return sides.get(key);
  };
  for (const one of drawn) {
    side(one.a, one.out).push({ one, other: one.b, end: "start" });
    side(one.b, one.into).push({ one, other: one.a, end: "stop" });
  }
  for (const node of graph.nodes.values()) node.height = size.height;
  for (const ports of sides.values()) {
    ports.sort((p, q) => p.other.y - q.other.y || p.other.place - q.other.place || (p.end < q.end ? -1 : 1));
    const gap = Math.min(36, (size.height + 24) / ports.length);
    ports.forEach((port, at) => {
      port.one[port.end] = (at - (ports.length - 1) / 2) * gap;
      port.one[`${port.end}Many`] = ports.length;
      // Every arrow meets its wallet, which grows for many, and never up to the next row's.
      const node = port.end === "start" ? port.one.a : port.one.b;
      node.height = Math.max(node.height, (ports.length - 1) * gap + 10);
    });
  }
  return drawn.map((one) => route(one, columns, size));
}

function route({ edge, a, b, out, into, start, stop, startMany, stopMany }, columns, size) {
  const from = { x: a.x + (out * size.width) / 2, y: a.y + start };
  const to = { x: b.x + (into * size.width) / 2, y: b.y + stop };
  const tip = { x: to.x + into * 8, y: to.y };
  if (a.column === b.column) {
    const bulge = Math.max(from.x, to.x) + 70;
    return {
      edge, to, turned: into,
      path: `M${from.x} ${from.y} C${bulge} ${from.y} ${bulge} ${to.y} ${tip.x} ${tip.y}`,
      words: { x: bulge - 12, y: (from.y + to.y) / 2, anchor: "start" },
    };
  }
  const between = [...columns.entries()].filter(([c]) => (c - a.column) * (c - b.column) < 0).map(([, nodes]) => nodes);
  if (between.length) {
    // Around the columns that it passes, below whatever stands there.
    const low = Math.max(...between.flat().map((node) => node.y)) + ROW * 0.85;
    const middle = (from.x + to.x) / 2;
    const knee = out * (size.gap * 0.42);
    return {
      edge, to, turned: into,
      path: `M${from.x} ${from.y} C${from.x + knee} ${from.y} ${from.x + knee * 0.6} ${low} ${from.x + knee * 1.6} ${low} H${to.x - knee * 1.6} C${to.x - knee * 0.6} ${low} ${to.x - knee} ${to.y} ${tip.x} ${tip.y}`,
      words: { x: middle, y: low, anchor: "middle" },
    };
  }
  // The words stand at the end that has the fewer edges; there the edge is straight.
  const atStart = startMany < stopMany || (startMany === stopMany && a.column !== 0);
  const [near, way] = atStart ? [from, out] : [to, into];
  const knee = near.x + way * size.straight;
  const bend = (from.x + to.x + way * size.straight) / 2;
  const path = atStart
    ? `M${from.x} ${from.y} H${knee} C${bend} ${from.y} ${bend} ${to.y} ${tip.x} ${tip.y}`
    : `M${from.x} ${from.y} C${bend} ${from.y} ${bend} ${to.y} ${knee} ${to.y} H${tip.x}`;
  return { edge, to, turned: into, path, words: { x: near.x + way * 12, y: near.y, anchor: way > 0 ? "start" : "end" } };
}

function bounds(graph, edges, size) {
  const nodes = [...graph.nodes.values()];
  const xs = nodes.map((node) => node.x);
  const ys = nodes.flatMap((node) => [node.y - node.height / 2, node.y + node.height / 2])
    .concat(edges.flatMap(({ words }) => [words.y - 18, words.y + 18]));
  const margin = 14;
  const aside = edges.some(({ edge }) => graph.nodes.get(edge.from).column === graph.nodes.get(edge.to).column) ? 170 : 0;
  const left = Math.min(...xs) - size.width / 2 - margin;
  const top = Math.min(...ys) - margin;
  return {
    x: left,
    y: top,
    width: Math.max(...xs) + size.width / 2 + margin + aside - left,
    height: Math.max(...ys) + margin - top,
  };
}
