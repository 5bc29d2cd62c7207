"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const ROWS_AT_A_TIME = 60;
  const NAME_GAP = 3;

  // --- the data ----------------------------------------------------------------------------

  function decode(text, kind) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new kind(bytes.buffer);
  }
  const points = {
    x: decode(data.points.x, Float32Array),
    y: decode(data.points.y, Float32Array),
    cluster: decode(data.points.cluster, Int32Array),
    strength: decode(data.points.strength, Uint8Array),
    row: decode(data.points.row, Int32Array),
    text: data.points.text,
    id: data.points.id,
    attached: new Set(data.points.attached),
  };
  const total = points.x.length;
  const clusters = data.clusters;
  const position = new Map(clusters.map((one, at) => [one.cluster, at]));
  const members = new Map(clusters.map((one) => [one.cluster, []]));
  members.set(-1, []);
  for (let i = 0; i < total; i++) members.get(points.cluster[i])?.push(i);
  for (const [key, rows] of members) {
    if (key >= 0) rows.sort((a, b) => points.strength[b] - points.strength[a]);
  }

  // --- making elements: texts go in as text, never as markup -------------------------------

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }
  const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
  // Controls that turn or hide text would act on the page around it.
  const shown = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "\ufffd");

  // --- colours -----------------------------------------------------------------------------

  const darkQuery = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => darkQuery.matches;
  function colour(at) {
    // The golden ratio keeps the hues of clusters of like size apart.
    const hue = (222 + at * 137.508) % 360;
    const light = (isDark() ? [68, 58, 76] : [46, 58, 38])[at % 3];
    return `hsl(${hue.toFixed(0)}, ${[62, 55, 70][at % 3]}%, ${light}%)`;
  }
  const noiseColour = () => (isDark() ? "#4a4e57" : "#c9ccd2");
  const rowColour = (i) => (points.cluster[i] < 0 ? noiseColour() : colour(position.get(points.cluster[i])));

  // --- the map -----------------------------------------------------------------------------

  const frame = byId("map-frame");
  const map = byId("map");
  const names = byId("names");
  const tip = byId("tip");
  const state = { chosen: null, found: null, layer: 0 };

  const dotSize = () => Math.max(2.2, Math.min(9, 260 / Math.sqrt(total + 1))) * (frame.clientWidth < 500 ? 0.8 : 1);

  function trace(rows, size, opacity, extra = {}) {
    return {
      type: "scattergl", mode: "markers", hoverinfo: "none", showlegend: false,
      x: rows.map((i) => points.x[i]), y: rows.map((i) => points.y[i]), customdata: rows,
      marker: {
        size, opacity, color: rows.map(rowColour),
        symbol: points.attached.size ? rows.map((i) => (points.attached.has(i) ? "circle-open" : "circle")) : "circle",
        line: { width: 0 }, ...extra,
      },
    };
  }

  function bounds() {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < total; i++) {
      left = Math.min(left, points.x[i]); right = Math.max(right, points.x[i]);
      low = Math.min(low, points.y[i]); high = Math.max(high, points.y[i]);
    }
    if (!total) return { x: [-1, 1], y: [-1, 1] };
    // The same scale on both axes, the whole map in the frame.
    const width = Math.max(frame.clientWidth, 1);
    const height = Math.max(frame.clientHeight, 1);
    const unit = 1.08 * Math.max((right - left) / width, (high - low) / height, 1e-6);
    const [cx, cy] = [(left + right) / 2, (low + high) / 2];
    return { x: [cx - unit * width / 2, cx + unit * width / 2], y: [cy - unit * height / 2, cy + unit * height / 2] };
  }

  function axis(range) {
    return { range, visible: false, fixedrange: false, zeroline: false, showgrid: false };
  }

  function layout() {
    const range = bounds();
    return {
      margin: { l: 0, r: 0, t: 0, b: 0 }, dragmode: "pan", hovermode: "closest", hoverdistance: 12,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: axis(range.x), yaxis: { ...axis(range.y), scaleanchor: "x" },
    };
  }

  const everyRow = Array.from({ length: total }, (_, i) => i);
  const noiseRows = everyRow.filter((i) => points.cluster[i] < 0);
  const clusterRows = everyRow.filter((i) => points.cluster[i] >= 0);

  function marked() {
    if (state.found) return state.found;
    if (state.chosen !== null) return members.get(state.chosen) ?? [];
    return null;
  }

  function traces() {
    const picked = marked();
    const size = dotSize();
    const faded = picked ? 0.13 : 1;
    const all = [trace(noiseRows, size * 0.75, 0.55 * faded), trace(clusterRows, size, 0.8 * faded)];
    all.push(trace(picked ?? [], size * 1.35, 1, { line: { width: total < 20000 ? 0.6 : 0, color: isDark() ? "#111" : "#fff" } }));
    return all;
  }

  const config = { displayModeBar: false, scrollZoom: true, doubleClick: false, responsive: false };
  let isDrawn = false;
  function draw() {
    const current = isDrawn ? { ...layout(), xaxis: axis([...map.layout.xaxis.range]), yaxis: { ...axis([...map.layout.yaxis.range]), scaleanchor: "x" } } : layout();
    return Plotly.react(map, traces(), current, config).then(() => {
      if (!isDrawn) listen();
      isDrawn = true;
      placeNames();
    });
  }

  function pixel(x, y) {
    const full = map._fullLayout;
    return [full.xaxis._offset + full.xaxis.c2p(x), full.yaxis._offset + full.yaxis.c2p(y)];
  }

  // --- names on the map --------------------------------------------------------------------

  function labels() {
    if (!state.layer) return clusters.map((one) => ({ label: one.label, size: one.size, at: one.at, cluster: one.cluster }));
    return data.layers.filter((one) => one.layer === state.layer).map((one) => {
      let [x, y, n] = [0, 0, 0];
      for (const k of one.clusters) {
        const inner = clusters[position.get(k)];
        if (inner?.at) { x += inner.at[0] * inner.size; y += inner.at[1] * inner.size; n += inner.size; }
      }
      return { label: one.label, size: one.size, at: n ? [x / n, y / n] : null, group: one.clusters };
    });
  }
  let nameButtons = [];
  function makeNames() {
    const listed = labels().sort((a, b) => b.size - a.size);
    const large = listed[Math.min(listed.length - 1, 11)]?.size ?? 0;
    nameButtons = listed.filter((one) => one.at).map((one) => {
      const button = make("button", one.size >= large ? "large" : "", shortName(one.label));
      button.type = "button";
      button.tabIndex = -1;
      button.title = shown(one.label);
      button.addEventListener("click", () => (one.group ? zoomTo(one.group.flatMap((k) => members.get(k) ?? [])) : choose(one.cluster)));
      return { ...one, button };
    });
    names.replaceChildren(...nameButtons.map((one) => one.button));
    for (const one of nameButtons) {
      one.width = one.button.offsetWidth;
      one.height = one.button.offsetHeight;
    }
    placeNames();
  }
  function shortName(label) {
    const text = shown(label);
    const cut = frame.clientWidth < 600 ? 22 : 34;
    if (text.length <= cut) return text;
    const parts = text.split(" · ");
    let name = parts[0];
    for (const part of parts.slice(1)) {
      if (name.length + part.length + 3 > cut) break;
      name += ` · ${part}`;
    }
    return name.length > cut ? `${name.slice(0, cut - 1)}…` : name;
  }
  function placeNames() {
    if (!isDrawn || !map._fullLayout?.xaxis) return;
    const taken = [];
    const order = [...nameButtons].sort((a, b) => (b.cluster === state.chosen) - (a.cluster === state.chosen) || b.size - a.size);
    for (const one of order) {
      const [x, y] = pixel(one.at[0], one.at[1]);
      const left = Math.max(4, Math.min(x - one.width / 2, frame.clientWidth - one.width - 4));
      const box = [left, y - one.height / 2, left + one.width, y + one.height / 2];
      const isOutside = x < 0 || y < 0 || x > frame.clientWidth || y > frame.clientHeight;
      const overlaps = taken.some((o) => box[0] < o[2] + NAME_GAP && box[2] + NAME_GAP > o[0] && box[1] < o[3] + NAME_GAP && box[3] + NAME_GAP > o[1]);
      one.button.hidden = isOutside || overlaps;
      one.button.classList.toggle("chosen", one.cluster !== undefined && one.cluster === state.chosen);
      if (!one.button.hidden) {
        taken.push(box);
        one.button.style.transform = `translate(${box[0].toFixed(1)}px, ${box[1].toFixed(1)}px)`;
      }
    }
    names.classList.toggle("faded", marked() !== null);
  }

  // --- hover -------------------------------------------------------------------------------

  function showTip(i, event) {
    const name = points.cluster[i] < 0 ? "in no group" : clusters[position.get(points.cluster[i])].label;
    const head = make("b", "", shown(name));
    head.style.color = points.cluster[i] < 0 ? "" : rowColour(i);
    const body = make("p", "", shown(points.text[i]) || "no text");
    body.dir = "auto";
    tip.replaceChildren(head, body);
    tip.hidden = false;
    const [x, y] = event ? [event.clientX - frame.getBoundingClientRect().left, event.clientY - frame.getBoundingClientRect().top] : pixel(points.x[i], points.y[i]);
    const left = x + 14 + tip.offsetWidth > frame.clientWidth ? Math.max(4, x - tip.offsetWidth - 14) : x + 14;
    const top = Math.max(4, Math.min(y + 14, frame.clientHeight - tip.offsetHeight - 4));
    tip.style.transform = `translate(${left}px, ${top}px)`;
  }
  function listen() {
    map.on("plotly_hover", (event) => showTip(event.points[0].customdata, event.event));
    map.on("plotly_unhover", () => { tip.hidden = true; });
    map.on("plotly_click", (event) => choose(points.cluster[event.points[0].customdata]));
    map.on("plotly_relayouting", () => { tip.hidden = true; placeNames(); });
    map.on("plotly_relayout", placeNames);
  }

  // --- choosing and searching --------------------------------------------------------------

  function zoomTo(rows) {
    if (!rows.length) return;
    const xs = rows.map((i) => points.x[i]).sort((a, b) => a - b);
    const ys = rows.map((i) => points.y[i]).sort((a, b) => a - b);
    const at = (v, share) => v[Math.round(share * (v.length - 1))];
    const whole = bounds();
    const least = (whole.x[1] - whole.x[0]) / 12;
    const span = Math.max(1.6 * (at(xs, 0.95) - at(xs, 0.05)), 1.6 * (at(ys, 0.95) - at(ys, 0.05)) * frame.clientWidth / frame.clientHeight, least);
    const [cx, cy] = [(at(xs, 0.05) + at(xs, 0.95)) / 2, (at(ys, 0.05) + at(ys, 0.95)) / 2];
    const half = span / 2;
    const tall = half * frame.clientHeight / frame.clientWidth;
    Plotly.relayout(map, { "xaxis.range": [cx - half, cx + half], "yaxis.range": [cy - tall, cy + tall] });
  }
  function choose(cluster, { zoom = false } = {}) {
    state.chosen = cluster;
    state.found = null;
    byId("search").value = "";
    update();
    if (zoom) zoomTo(members.get(cluster) ?? []);
  }
  function search(words) {
    const wanted = words.toLocaleLowerCase().split(/\s+/u).filter(Boolean);
    state.chosen = null;
    state.found = wanted.length ? everyRow.filter((i) => {
      const text = lower[i] ?? (lower[i] = points.text[i].toLocaleLowerCase());
      return wanted.every((word) => text.includes(word));
    }) : null;
    update();
  }
  const lower = [];
  function update() {
    draw();
    fillPanel();
    for (const row of byId("table").querySelectorAll("tbody tr")) {
      row.classList.toggle("chosen", Number(row.dataset.cluster) === state.chosen);
    }
    byId("status").textContent = said();
  }
  function said() {
    if (state.found) return `${plural(state.found.length, "row")} found`;
    if (state.chosen === -1) return `${plural(members.get(-1).length, "row")} in no group`;
    if (state.chosen !== null) return `${clusters[position.get(state.chosen)].label}: ${plural(clusters[position.get(state.chosen)].size, "row")}`;
    return total ? "Scroll to zoom, drag to move, click a row or a name to read its group." : "There is nothing to draw.";
  }

  // --- the panel beside the map ------------------------------------------------------------

  function rowItem(i, words) {
    const item = make("li");
    const text = make("div", "text");
    text.dir = "auto";
    appendMarked(text, shown(points.text[i]) || "no text", words);
    const about = make("small", "", `${points.id?.[i] ?? `row ${points.row[i].toLocaleString("en")}`}`);
    if (points.attached.has(i)) about.append(make("span", "", "attached"));
    if (state.found && points.cluster[i] >= 0) {
      const dot = make("span", "dot");
      dot.style.background = rowColour(i);
      about.prepend(dot);
      about.append(make("span", "", shown(clusters[position.get(points.cluster[i])].label)));
    }
    item.append(text, about);
    item.addEventListener("click", () => item.classList.toggle("open"));
    item.addEventListener("mouseenter", () => showTipAt(i));
    item.addEventListener("mouseleave", () => { tip.hidden = true; });
    return item;
  }
  function showTipAt(i) {
    const [x, y] = pixel(points.x[i], points.y[i]);
    if (x > 0 && y > 0 && x < frame.clientWidth && y < frame.clientHeight) showTip(i);
  }
  function appendMarked(parent, text, words) {
    if (!words.length) { parent.append(text); return; }
    const pattern = new RegExp(words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "giu");
    let last = 0;
    for (const match of text.matchAll(pattern)) {
      parent.append(text.slice(last, match.index), make("mark", "", match[0]));
      last = match.index + match[0].length;
    }
    parent.append(text.slice(last));
  }
  function rowList(rows, words) {
    const list = make("ol");
    let done = 0;
    const more = make("button", "quiet", "");
    more.type = "button";
    const add = () => {
      list.append(...rows.slice(done, done + ROWS_AT_A_TIME).map((i) => rowItem(i, words)));
      done = Math.min(done + ROWS_AT_A_TIME, rows.length);
      more.hidden = done >= rows.length;
      more.textContent = `Show more (${(rows.length - done).toLocaleString("en")} left)`;
    };
    more.addEventListener("click", add);
    add();
    return [list, more];
  }
  function measure(name, value) {
    const span = make("span", "", `${name} `);
    span.append(make("b", "", value));
    return span;
  }
  function fillPanel() {
    const panel = byId("panel");
    panel.scrollTop = 0;
    if (state.found) {
      const words = byId("search").value.toLocaleLowerCase().split(/\s+/u).filter(Boolean);
      panel.replaceChildren(make("h3", "", plural(state.found.length, "row")), make("p", "hint", "found by the search, in the order of the file"), ...rowList(state.found, words));
    } else if (state.chosen === -1) {
      panel.replaceChildren(make("h3", "", "In no group"), make("p", "hint", `${plural(members.get(-1).length, "row")} that fit no group`), ...rowList(members.get(-1), []));
    } else if (state.chosen !== null) {
      panel.replaceChildren(...clusterPanel(clusters[position.get(state.chosen)]));
    } else {
      panel.replaceChildren(...overview());
    }
  }
  function clusterPanel(one) {
    const head = make("h3", "", shown(one.label));
    const chips = make("div", "chips");
    chips.append(...one.keywords.map((word) => make("span", "", shown(word))));
    const measures = make("p", "measures");
    measures.append(measure("rows", one.size.toLocaleString("en")), measure("cohesion", one.cohesion.toFixed(2)));
    if (one.stability !== null) measures.append(measure("stability", one.stability.toFixed(2)));
    const parts = [head, chips, measures];
    if (position.has(one.nearest)) {
      const near = make("p", "hint", "next to ");
      const link = make("button", "quiet", shown(clusters[position.get(one.nearest)].label));
      link.type = "button";
      link.addEventListener("click", () => choose(one.nearest));
      near.append(link);
      parts.push(near);
    }
    return [...parts, ...rowList(members.get(one.cluster), [])];
  }
  function overview() {
    const head = make("h3", "", clusters.length ? "Largest groups" : "No groups");
    const list = make("div");
    list.append(...clusters.slice(0, 40).map((one) => pick(one.label, one.size, colour(position.get(one.cluster)), one.cluster)));
    if (members.get(-1).length) list.append(pick("In no group", data.noise, noiseColour(), -1));
    return [head, list];
  }
  function pick(label, size, fill, cluster) {
    const button = make("button", "pick");
    button.type = "button";
    const dot = make("span", "dot");
    dot.style.background = fill;
    button.append(dot, make("span", "", shown(label)), make("span", "n", size.toLocaleString("en")));
    button.addEventListener("click", () => choose(cluster));
    return button;
  }

  // --- the table ---------------------------------------------------------------------------

  const columns = [
    ["Group", null], ["Rows", "size"], ["Cohesion", "cohesion"], ["Stability", "stability"], ["Over", null], ["Typical row", null],
  ];
  let order = { key: "size", down: true };
  let over = data.breakdowns.length ? 0 : null;
  function fillTable() {
    const table = byId("table");
    if (!clusters.length) { table.replaceChildren(); return; }
    const head = make("tr");
    for (const [title, key] of columns) {
      if (title === "Over" && over === null) continue;
      if (title === "Stability" && clusters.every((one) => one.stability === null)) continue;
      const cell = make("th");
      cell.scope = "col";
      if (key) {
        const button = make("button", "", title + (order.key === key ? (order.down ? " ↓" : " ↑") : ""));
        button.type = "button";
        if (order.key === key) button.setAttribute("aria-sort", order.down ? "descending" : "ascending");
        button.addEventListener("click", () => { order = { key, down: order.key === key ? !order.down : true }; fillTable(); });
        cell.append(button);
      } else {
        cell.textContent = title === "Over" ? `Over ${data.breakdowns[over].column}` : title;
      }
      head.append(cell);
    }
    const sorted = [...clusters].sort((a, b) => (order.down ? -1 : 1) * ((a[order.key] ?? 0) - (b[order.key] ?? 0)) || a.cluster - b.cluster);
    const body = make("tbody");
    body.append(...sorted.map(tableRow));
    const top = make("thead");
    top.append(head);
    table.replaceChildren(top, body);
    fillLegend();
  }
  function tableRow(one) {
    const row = make("tr", one.cluster === state.chosen ? "chosen" : "");
    row.dataset.cluster = one.cluster;
    const name = make("td", "name");
    const button = make("button");
    button.type = "button";
    const dot = make("span", "dot");
    dot.style.background = colour(position.get(one.cluster));
    button.append(dot, make("span", "", shown(one.label)));
    button.addEventListener("click", () => {
      choose(one.cluster, { zoom: true });
      byId("map-section").scrollIntoView({ block: "start", behavior: "smooth" });
    });
    name.append(button, make("small", "", shown(one.keywords.slice(0, 6).join(", "))));
    const size = make("td", "number", one.size.toLocaleString("en"));
    const bar = make("span", "size-bar");
    bar.style.width = `${(100 * one.size / clusters[0].size).toFixed(1)}%`;
    bar.style.background = colour(position.get(one.cluster));
    size.append(bar);
    row.append(name, size, make("td", "number", one.cohesion.toFixed(2)));
    if (clusters.some((c) => c.stability !== null)) {
      const cell = make("td", "number", one.stability === null ? "" : one.stability.toFixed(2));
      if (one.stability !== null && one.stability < 0.5) {
        cell.classList.add("weak");
        cell.title = "often not found again on a part of the rows";
      }
      row.append(cell);
    }
    if (over !== null) {
      const cell = make("td");
      cell.append(overCell(position.get(one.cluster)));
      row.append(cell);
    }
    const example = make("td", "example");
    const text = make("p", "", shown(one.texts[0] ?? ""));
    text.dir = "auto";
    example.append(text);
    row.append(example);
    return row;
  }
  const shade = (n, of) => `hsl(${(205 + 300 * n / Math.max(of, 1)) % 360}, 45%, ${isDark() ? 60 : 52}%)`;
  function overCell(line) {
    const one = data.breakdowns[over];
    const counts = one.counts[line];
    const sum = counts.reduce((a, b) => a + b, 0);
    if (one.isTime) {
      const spark = make("div", "spark");
      const most = Math.max(...counts, 1);
      spark.append(...counts.map((n, at) => {
        const bar = make("i");
        bar.style.height = `${Math.max(3, 100 * n / most)}%`;
        bar.style.background = n ? colour(line) : "";
        bar.title = `${one.values[at]}: ${plural(n, "row")}`;
        return bar;
      }));
      return spark;
    }
    const stack = make("div", "stack");
    stack.append(...counts.map((n, at) => {
      const part = make("span");
      part.style.width = `${100 * n / Math.max(sum, 1)}%`;
      part.style.background = shade(at, one.values.length);
      part.title = `${shown(one.values[at])}: ${plural(n, "row")} (${Math.round(100 * n / Math.max(sum, 1))}%)`;
      return part;
    }));
    return stack;
  }
  function fillLegend() {
    const legend = byId("over-legend");
    const one = over === null ? null : data.breakdowns[over];
    if (!one) { legend.replaceChildren(); return; }
    if (one.isTime) {
      legend.replaceChildren(make("span", "", `${one.values[0]} to ${one.values[one.values.length - 1]}, rows in each period`));
      return;
    }
    legend.replaceChildren(...one.values.map((value, at) => {
      const item = make("span");
      const dot = make("span", "dot");
      dot.style.background = shade(at, one.values.length);
      item.append(dot, shown(value));
      return item;
    }));
  }

  // --- the start ---------------------------------------------------------------------------

  byId("search").addEventListener("input", (event) => search(event.target.value));
  byId("clear").addEventListener("click", () => { byId("search").value = ""; state.chosen = state.found = null; update(); });
  byId("whole").addEventListener("click", () => { const r = bounds(); Plotly.relayout(map, { "xaxis.range": r.x, "yaxis.range": r.y }); });
  if (data.breakdowns.length) {
    byId("over-choice").hidden = data.breakdowns.length < 2;
    byId("over").append(...data.breakdowns.map((one, at) => { const option = make("option", "", one.column); option.value = at; return option; }));
    byId("over").addEventListener("change", (event) => { over = Number(event.target.value); fillTable(); });
  }
  const layers = [...new Set(data.layers.map((one) => one.layer))];
  if (layers.length) {
    byId("layer-choice").hidden = false;
    byId("layer").append(...[0, ...layers].map((layer) => {
      const n = layer ? data.layers.filter((one) => one.layer === layer).length : clusters.length;
      const option = make("option", "", layer ? `layer ${layer} (${n})` : `groups (${n})`);
      option.value = layer;
      return option;
    }));
    byId("layer").addEventListener("change", (event) => { state.layer = Number(event.target.value); makeNames(); });
  }
  fillTable();
  fillPanel();
  byId("status").textContent = said();
  draw().then(makeNames);
  let waiting = 0;
  new ResizeObserver(() => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (!isDrawn) return;
      const range = bounds();
      Plotly.relayout(map, { width: frame.clientWidth, height: frame.clientHeight, "xaxis.range": range.x, "yaxis.range": range.y }).then(makeNames);
    }, 120);
  }).observe(frame);
  darkQuery.addEventListener("change", () => { draw(); fillTable(); fillPanel(); });
})();
