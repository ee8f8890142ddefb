"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const book = data.book, endpoints = data.endpoints, PAGE = 50;
  const position = new Map(book.ids.map((id, i) => [id, i]));
  const byId = (id) => document.getElementById(id);
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "text") node.textContent = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((c) => c !== null));
    return node;
  };
  const number = (value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(6))).replace("-", "−"));
  const column = (metric, arm) => book.values.find((v) => v.metric === metric && v.arm === arm);
  const words = (name) => { const text = name.replace(/_mm$/, " (mm)").replaceAll("_", " "); return text.charAt(0).toUpperCase() + text.slice(1); };
  // One number of decimals for a column, so that points align: six significant digits of its largest value.
  const aligned = (numbers) => {
    const largest = Math.max(0, ...numbers.filter((v) => v !== null).map(Math.abs));
    const decimals = largest > 0 ? Math.min(10, Math.max(0, 5 - Math.floor(Math.log10(largest)))) : 0;
    return (v) => (v === null || v === undefined ? "–" : v.toFixed(decimals).replace("-", "−"));
  };

  // ---- theme
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // ---- cases
  const chosen = { endpoint: Object.keys(endpoints)[0] || "", text: "", groups: {}, sort: "case", down: false, first: 0 };
  const levels = Object.entries(book.groups)
    .map(([name, cells]) => [name, [...new Set(cells.map((c) => (c === null ? "missing" : String(c))))].sort()])
    .filter(([, found]) => found.length > 1 && found.length <= 30);
  const controls = {};

  function buildFilters() {
    const form = byId("filters");
    const select = (label, options, value, change) => {
      const node = make("select", { onchange: (e) => { change(e.target.value); chosen.first = 0; showCases(); } },
        ...options.map(([v, text]) => make("option", { value: v, text })));
      node.value = value;
      form.append(make("label", { text: label }, node));
      return node;
    };
    controls.endpoint = select("Endpoint", Object.entries(endpoints).map(([k, e]) => [k, `${k} ${e.title}`]), chosen.endpoint, (v) => { chosen.endpoint = v; });
    const text = make("input", { type: "search", autocomplete: "off", id: "case-search", oninput: (e) => { chosen.text = e.target.value.trim().toLowerCase(); chosen.first = 0; showCases(); } });
    form.append(make("label", { text: "Case or pseudonym" }, text));
    for (const [name, found] of levels) {
      controls[name] = select(words(name), [["", "all"], ...found.map((f) => [f, f])], "", (v) => { chosen.groups[name] = v; });
    }
    form.addEventListener("submit", (e) => e.preventDefault());
    for (const left of book.left_out) byId("left-out").append(make("li", { text: `Not in this page: ${left.metric} (${left.why}). It is in the measurement files.` }));
  }

  function columnsShown() {
    const endpoint = endpoints[chosen.endpoint];
    if (!endpoint) return [];
    const arms = ["output", ...(endpoint.comparator === "none" ? [] : [endpoint.comparator])];
    const found = arms.map((arm) => column(endpoint.metric, arm)).filter(Boolean)
      .map((v) => ({ title: `${words(v.arm)} (${v.unit})`, of: (i) => v.numbers[i], print: aligned(v.numbers) }));
    if (found.length === 2) {
      const [a, b] = found;
      found.push({ title: "Difference", of: (i) => (a.of(i) === null || b.of(i) === null ? null : a.of(i) - b.of(i)), print: a.print });
    }
    return found;
  }

  function showCases() {
    const endpoint = endpoints[chosen.endpoint];
    const about = endpoint && endpoint.cases ? new Set(endpoint.cases) : null;
    const shown = columnsShown();
    let rows = book.ids.map((_, i) => i).filter((i) =>
      (!about || about.has(book.ids[i]) || book.reasons[i]) &&
      (!chosen.text || book.ids[i].toLowerCase().includes(chosen.text) || (book.clusters[i] || "").toLowerCase().includes(chosen.text)) &&
      Object.entries(chosen.groups).every(([name, level]) => !level || String(book.groups[name][i] ?? "missing") === level));
    const key = (i) => {
      if (chosen.sort === "case") return book.ids[i];
      if (chosen.sort === "cluster") return book.clusters[i] || "";
      if (chosen.sort.startsWith("group:")) { const cell = book.groups[chosen.sort.slice(6)][i]; return cell === null || isNaN(cell) ? cell : Number(cell); }
      return shown[Number(chosen.sort)] ? shown[Number(chosen.sort)].of(i) : null;
    };
    rows.sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === y) return a - b;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return (x < y ? -1 : 1) * (chosen.down ? -1 : 1);
    });
    chosen.first = Math.min(chosen.first, Math.max(0, Math.floor((rows.length - 1) / PAGE) * PAGE));
    const part = rows.slice(chosen.first, chosen.first + PAGE);
    const head = (title, sort, right) => make("th", { scope: "col", class: right ? "right" : null, "aria-sort": chosen.sort === sort ? (chosen.down ? "descending" : "ascending") : null },
      make("button", { type: "button", text: title + (chosen.sort === sort ? (chosen.down ? " ▼" : " ▲") : ""), onclick: () => { chosen.down = chosen.sort === sort && !chosen.down; chosen.sort = sort; showCases(); } }));
    const groups = Object.keys(book.groups);
    byId("case-table").tHead.replaceChildren(make("tr", {}, head("Case", "case"), head("Patient (pseudonym)", "cluster"), ...groups.map((g) => head(words(g), `group:${g}`)), ...shown.map((s, k) => head(s.title, String(k), true))));
    byId("case-table").tBodies[0].replaceChildren(...part.map((i) => make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", class: "case", "data-case": book.ids[i], text: book.ids[i] })),
      make("td", { class: "code", text: (book.clusters[i] || "").slice(0, 12) }),
      ...groups.map((g) => make("td", { text: book.groups[g][i] ?? "–" })),
      ...(book.reasons[i] ? [make("td", { colspan: Math.max(shown.length, 1), text: `rejected: ${book.reasons[i]}` })] : shown.map((s) => make("td", { class: "right value", text: s.print(s.of(i)) }))))));
    const last = chosen.first + part.length;
    byId("count").textContent = rows.length ? `${rows.length} cases; showing ${chosen.first + 1} to ${last}` : "No case matches.";
    byId("previous").disabled = chosen.first === 0;
    byId("next").disabled = last >= rows.length;
  }
  byId("previous").addEventListener("click", () => { chosen.first -= PAGE; showCases(); });
  byId("next").addEventListener("click", () => { chosen.first += PAGE; showCases(); });

  function toCases(endpoint, groupColumn, level) {
    chosen.endpoint = endpoint; controls.endpoint.value = endpoint; chosen.groups = {}; chosen.first = 0;
    for (const [name] of levels) controls[name].value = "";
    if (groupColumn && controls[groupColumn]) { chosen.groups[groupColumn] = level; controls[groupColumn].value = level; }
    const shown = columnsShown();
    chosen.sort = shown.length ? String(shown.length - 1) : "case"; chosen.down = true;
    showCases();
    for (const open of document.querySelectorAll("dialog[open]")) open.close();
    byId("cases").scrollIntoView();
    byId("filters").querySelector("select").focus({ preventScroll: true });
  }

  // ---- one case
  function showCase(id) {
    const i = position.get(id), body = byId("case-body");
    byId("case-title").textContent = `Case ${id}`;
    if (i === undefined) { body.replaceChildren(make("p", { text: "This case is not in the case table of the run." })); byId("case").showModal(); return; }
    const facts = [["Patient (pseudonym)", book.clusters[i] || "–"], ...Object.entries(book.groups).map(([g, cells]) => [words(g), cells[i] === null ? "missing" : String(cells[i])])];
    if (book.reasons[i]) facts.push(["Rejected", book.reasons[i]]);
    const parts = [make("dl", { class: "head" }, ...facts.map(([k, v]) => make("div", {}, make("dt", { text: k }), make("dd", { text: v }))))];
    const images = data.pictures.filter((p) => p.case_id === id);
    parts.push(...(images.length ? showPictures(images) : [make("p", { class: "note", text: "The record holds pictures of the worst cases only; this case has none." })]));
    const metrics = [...new Set(book.values.map((v) => v.metric))];
    const arms = [...new Set(book.values.map((v) => v.arm))];
    parts.push(make("table", {}, make("caption", { text: "Measured values, seven significant digits" }),
      make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "Metric" }), ...arms.map((a) => make("th", { scope: "col", class: "right", text: words(a) })), make("th", { scope: "col", text: "Unit" }), make("th", { scope: "col", text: "Endpoints" }))),
      make("tbody", {}, ...metrics.map((m) => make("tr", {}, make("th", { scope: "row", class: "code", text: m }),
        ...arms.map((a) => { const v = column(m, a); return make("td", { class: "right value", text: v ? (v.numbers[i] === null ? "–" : String(v.numbers[i]).replace("-", "−")) : "" }); }),
        make("td", { text: (book.values.find((v) => v.metric === m) || {}).unit || "" }),
        make("td", { text: Object.entries(endpoints).filter(([, e]) => e.metric === m).map(([k]) => k).join(", ") }))))));
    const digests = Object.entries((book.digests || {}).of || {}).map(([role, all]) => [`File: ${role}`, book.digests.once[all[i]] || "–"]);
    const shard = book.shards && book.shards.of[i] >= 0 ? book.shards.files[book.shards.of[i]] : "";
    if (shard) digests.push([`Values: ${shard}`, digestOf(shard)]);
    for (const p of images) digests.push([`Picture: ${p.file}`, p.sha256]);
    parts.push(make("table", {}, make("caption", { text: "SHA-256 of the files behind this case. Several files of one image have the digest of the sorted list of theirs." }),
      make("tbody", {}, ...digests.map(([k, v]) => make("tr", {}, make("th", { scope: "row", text: k }), make("td", { class: "code", text: v }))))));
    body.replaceChildren(...parts);
    if (!byId("case").open) byId("case").showModal();
    byId("case").scrollTop = 0;
  }
  function digestOf(name) {
    for (const row of document.querySelectorAll("#file-rows tbody tr")) if (row.cells[0].textContent === name) return row.cells[2].textContent;
    return "the run is not closed";
  }

  function showPictures(images) {
    const grey = images.filter((p) => p.arm !== "difference"), reach = grey[0] || images[0];
    const level = { low: reach.low, high: reach.high }, span = reach.high - reach.low, text = make("output", {});
    const apply = () => {
      const slope = span / (level.high - level.low), intercept = (reach.low - level.low) / (level.high - level.low);
      for (const f of document.querySelectorAll("#window feComponentTransfer > *")) { f.setAttribute("slope", slope); f.setAttribute("intercept", intercept); }
      text.textContent = `black at ${number(level.low)}, white at ${number(level.high)} ${reach.unit}`;
    };
    const slider = (label, value, change) => make("label", { text: label }, make("input", { type: "range", min: 0, max: 100, value, oninput: (e) => { change(Number(e.target.value) / 100); apply(); } }));
    let centre = 0.5, width = 1;
    const set = () => { const half = Math.max(width, 0.02) * span / 2, middle = reach.low + centre * span; level.low = middle - half; level.high = middle + half; };
    const sliders = make("div", { class: "sliders" }, slider("Level", 50, (v) => { centre = v; set(); }), slider("Width", 100, (v) => { width = v; set(); }), text);
    apply();
    const order = { input: 0, baseline: 1, output: 2, reference: 3, difference: 4 };
    const sorted = [...images].sort((a, b) => (order[a.arm] ?? 9) - (order[b.arm] ?? 9));
    return [sliders, make("div", { class: "pictures" }, ...sorted.map((p) => make("figure", {},
      make("img", { src: p.data || data.beside + p.file, alt: `${words(p.arm)} of case ${p.case_id}`, class: p.arm === "difference" ? null : "windowed", loading: "lazy" }),
      make("figcaption", { text: `${words(p.arm)}${p.slice_index === null ? "" : `, slice ${p.slice_index + 1}`}; ${number(p.low)} to ${number(p.high)} ${p.unit}` }))))];
  }

  // ---- where a number comes from
  function showTrace(link) {
    const id = link.dataset.id, row = byId(link.getAttribute("href").slice(1));
    const name = Object.keys(endpoints).find((k) => id.startsWith(`${k}.`));
    const body = byId("trace-body"), parts = [["Id in the record", id], ["Exact value", row ? row.cells[1].textContent : "–"], ["Unit", (row && row.cells[2].textContent) || "–"], ["Recorded in", id.includes(":") ? `${id.split(":")[0]} of the run` : "results.json"], ["SHA-256 of results.json", digestOf("results.json")]];
    if (name) parts.push(["Endpoint", `${name} ${endpoints[name].title}`], ["Computed from", `measurements of ${endpoints[name].metric}`]);
    const buttons = [];
    if (name) {
      const group = id.match(/\.subgroups\.([^.]+)\.(.+)\.(?:estimate|status)/);
      buttons.push(make("button", { type: "button", text: group ? `Show the cases of ${group[2]}` : "Show its cases", onclick: () => toCases(name, group && group[1], group && group[2]) }));
      const worst = id.match(/\.worst_cases\.\d+\./);
      if (worst && link.previousElementSibling && link.previousElementSibling.dataset.case) { const c = link.previousElementSibling.dataset.case; buttons.push(make("button", { type: "button", text: `Open case ${c}`, onclick: () => { byId("trace").close(); showCase(c); } })); }
    }
    body.replaceChildren(make("dl", { class: "head" }, ...parts.map(([k, v]) => make("div", {}, make("dt", { text: k }), make("dd", { class: "code", text: v })))), make("p", {}, ...buttons));
    byId("trace").showModal();
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("button.case, button.to-cases, a.num");
    if (!target) return;
    if (target.matches("button.case")) showCase(target.dataset.case);
    else if (target.matches("button.to-cases")) toCases(target.dataset.endpoint, target.dataset.column, target.dataset.level);
    else { event.preventDefault(); showTrace(target); }
  });
  for (const box of document.querySelectorAll("input.search")) {
    box.addEventListener("input", () => {
      const wanted = box.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of byId(box.dataset.rows).tBodies[0].rows) { const text = row.textContent.toLowerCase(); row.hidden = !wanted.every((w) => text.includes(w)); }
    });
  }
  const openTarget = () => { const found = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1))); if (found) { for (let n = found; n; n = n.parentElement) if (n.tagName === "DETAILS") n.open = true; found.scrollIntoView(); } };
  addEventListener("hashchange", openTarget);
  addEventListener("beforeprint", () => { for (const d of document.querySelectorAll("details.endpoint, #ledger details")) d.open = true; });
  document.addEventListener("keydown", (e) => { if (e.key === "/" && !/INPUT|SELECT|TEXTAREA/.test(e.target.tagName)) { e.preventDefault(); byId("case-search").focus(); } });
  buildFilters(); showCases(); openTarget();
  document.documentElement.dataset.ready = "yes";
})();
