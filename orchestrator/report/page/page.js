"use strict";
// Reads top to bottom: theme, libraries, table, charts, choice of the workload. All text goes in as text, never as markup,
// except through `escaped`.
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);
const narrow = () => window.innerWidth < 640;
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// -- light and dark: the system's choice until the reader makes one
const system = window.matchMedia("(prefers-color-scheme: dark)");
const remembered = {
  get() { try { return localStorage.getItem("theme"); } catch { return null; } }, // a file: page may have no storage
  set(word) { try { localStorage.setItem("theme", word); } catch { /* then it lasts until the page is left */ } },
};
const isDark = () => (remembered.chosen ?? remembered.get() ?? (system.matches ? "dark" : "light")) === "dark";
function applyTheme() {
  root.classList.toggle("dark", isDark());
  root.classList.toggle("light", !isDark());
  byId("theme").setAttribute("aria-pressed", String(isDark()));
  for (const box of document.querySelectorAll(".plot.drawn")) applyThemeTo(box);
}
byId("theme").addEventListener("click", () => {
  remembered.chosen = isDark() ? "light" : "dark";
  remembered.set(remembered.chosen);
  applyTheme();
});
system.addEventListener("change", applyTheme);
applyTheme();

// -- libraries: unpacked when they are needed
async function unpacked(name) {
  const packed = atob(byId(`library-${name}`).textContent);
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return URL.createObjectURL(new Blob([await new Response(stream).arrayBuffer()], { type: "text/javascript" }));
}
let plotly;
function withPlotly() {
  plotly ??= unpacked("plotly").then((url) => new Promise((done, failed) => {
    document.head.append(element("script", { src: url, onload: done, onerror: failed }));
  }));
  return plotly;
}

// -- how values are written (orchestrator/texts.py writes them alike)
const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const number = (value) => Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
const small = (value) => value === 0 || Math.abs(value) >= 0.01 ? number(value) : value.toExponential(1);
const WRITE = {
  text: (text) => text.length > 20 ? `<div class="long">${escaped(text)}</div>` : escaped(text),
  number,
  small,
  percent: (value) => `${(100 * value).toFixed(0)} %`,
  fine: (value) => `${(100 * value).toFixed(2)} %`,
  interval: ([middle, low, high]) =>
    number(middle) + (low === null ? "" : `<small>[${number(low)}, ${number(high)}]</small>`),
  speed: (value) => WRITE.interval(value),
  flags: (flags) => flags.map((flag) => `<span class="tag">${escaped(flag)}</span>`).join(""),
};
const isText = (kind) => kind === "text" || kind === "flags";
function written(kind, outcome) {
  return (value, type, row) => {
    if (value === null || value === undefined) {
      if (type === "display") return kind === "speed" && row[outcome] !== "ok" ? `<b class="word ${row[outcome] === "unsupported" ? "unsupported" : ""}">${escaped(row[outcome])}</b>` : "–";
      return isText(kind) || type === "export" ? "" : null;
    }
    if (type === "display") return WRITE[kind](value);
    if (kind === "interval" || kind === "speed") {
      if (type === "export") return value[1] === null ? value[0] : `${value[0]} [${value[1]}, ${value[2]}]`;
      return type === "filter" ? number(value[0]) : value[0];
    }
    const plain = kind === "flags" ? value.join(" ") : value;
    return type === "filter" && isText(kind) ? escaped(plain) : plain; // the search decodes it, as markup
  };
}

// -- the table
function details(pairs) {
  const list = element("dl");
  for (const [name, text] of pairs) list.append(element("dt", { textContent: name }), element("dd", { textContent: text }));
  return list;
}
function filters(table, columns, rows) {
  columns.forEach((column, index) => {
    const values = new Set(rows.flatMap((row) => row[index] ?? []));
    if (!column.filtered || values.size < 2 - (column.kind === "flags")) return;
    const select = element("select", {}, new Option("all", ""));
    for (const value of [...values].sort()) select.append(new Option(value.slice(0, 60), value));
    select.addEventListener("change", () => {
      const wanted = select.value;
      const fits = column.kind === "flags" ? (text) => text.split(" ").includes(wanted) : (text) => text === wanted;
      table.column(index + 1).search.fixed("choice", wanted === "" ? "" : fits).draw();
    });
    select.setAttribute("aria-label", `Filter: ${column.title}`);
    byId("filters").append(element("label", {}, column.title, select));
  });
}
function toggleDetails(table, button) {
  const row = table.row(button.closest("tr"));
  const open = !row.child.isShown();
  if (open) row.child(details(row.data().at(-1))).show();
  else row.child.hide();
  button.setAttribute("aria-expanded", String(open));
  button.textContent = open ? "−" : "+";
}
async function drawTable() {
  const { columns, rows } = read("table-data");
  const outcome = columns.findIndex((column) => column.title === "Outcome");
  const url = await unpacked("datatables");
  const { default: DataTable } = await import(url);
  const known = (order) => (a, b) => a === null ? (b === null ? 0 : 1) : b === null ? -1 : order * (a - b);
  DataTable.type("known", { order: { asc: known(1), desc: known(-1) }, className: "number" }); // unknown comes last
  const { compare } = new Intl.Collator(undefined, { numeric: true }); // v2 before v10; the library's own takes seconds
  DataTable.type("word", { order: { asc: compare, desc: (a, b) => compare(b, a) } });
  const first = {
    title: '<span class="only-read">Details</span>', data: null, orderable: false, searchable: false, className: "control",
    render: (_, type) => type === "display"
      ? '<button type="button" class="more" aria-expanded="false" aria-label="Details of this row">+</button>' : "",
  };
  const table = new DataTable("#rows", {
    data: rows,
    deferRender: true,
    autoWidth: false,
    order: [[1 + columns.findIndex((column) => column.kind === "speed"), "desc"]],
    pageLength: 25,
    lengthMenu: [10, 25, 100, 500],
    columns: [first, ...columns.map((column, index) => ({
      title: escaped(column.title), data: index, render: written(column.kind, outcome), visible: column.shown,
      type: isText(column.kind) ? "word" : "known", className: isText(column.kind) ? "" : "number",
    }))],
    layout: {
      topStart: { buttons: [
        { extend: "colvis", text: "Columns", columns: ":gt(0)" },
        {
          extend: "csv", text: "CSV of these rows", filename: "rows",
          exportOptions: { columns: ":visible:gt(0)", orthogonal: "export", escapeExcelFormula: true },
        },
      ] },
      topEnd: { search: { placeholder: "engine, variant, flag …" } },
      bottomStart: ["pageLength", "info"],
    },
    language: { info: "_START_ to _END_ of _TOTAL_ rows", lengthMenu: "_MENU_ a page" },
    headerCallback: (head) => columns.forEach((column) => {
      for (const cell of head.cells) if (cell.innerText.trim() === column.title) cell.title = column.tip;
    }),
  });
  const box = element("div", { className: "scroll", tabIndex: 0 });
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "All rows; scrolls sideways");
  byId("rows").replaceWith(box);
  box.append(table.table().node());
  box.addEventListener("click", (event) => {
    const button = event.target.closest("button.more");
    if (button) toggleDetails(table, button);
  });
  filters(table, columns, rows);
  performance.mark("table-drawn");
}
const tableDrawn = drawTable();

// -- the charts: drawn when they come near the window
const CHART_CONFIG = {
  responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", // nothing leaves this file
  // A list of what is wanted: a list of what is not would let in what a later version adds.
  modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};
function themeOf(box) {
  const style = getComputedStyle(box);
  const changes = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", "font.color": style.color,
    "hoverlabel.bgcolor": getComputedStyle(byId("theme")).backgroundColor, "hoverlabel.font.color": style.color,
    "hoverlabel.bordercolor": style.borderTopColor,
  };
  for (const axis of Object.keys(box.shown.layout).filter((name) => /^[xy]axis/.test(name))) {
    changes[`${axis}.gridcolor`] = changes[`${axis}.linecolor`] = changes[`${axis}.zerolinecolor`] = style.borderTopColor;
  }
  return changes;
}
async function applyThemeTo(box) {
  const theme = isDark() ? "dark" : "light";
  await Plotly.relayout(box, themeOf(box));
  box.dataset.theme = theme;
}
function fitted(layout) {
  const { title, ...rest } = layout; // the page has it as a heading
  rest.margin = { ...rest.margin, t: 30, l: narrow() ? 45 : 65, r: narrow() ? 8 : 20 };
  rest.font = { size: narrow() ? 10 : 12, family: getComputedStyle(document.body).fontFamily };
  rest.hoverlabel = { align: "left" };
  rest.height ??= narrow() ? 420 : 480;
  rest.dragmode = narrow() ? false : "zoom"; // a finger scrolls the page
  if (narrow()) {
    for (const axis of Object.values(rest)) {
      if (axis?.ticktext) axis.ticktext = axis.ticktext.map((text) => text.length > 18 ? `${text.slice(0, 17)}…` : text);
    }
  }
  return rest;
}
async function drawChart(box) {
  await withPlotly();
  const { data, layout } = read(box.dataset.figure);
  box.shown = { layout };
  box.style.minHeight = "0";
  await Plotly.newPlot(box, data, fitted(layout), { ...CHART_CONFIG, displayModeBar: narrow() ? false : "hover" });
  box.classList.add("drawn");
  await applyThemeTo(box);
}
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    tableDrawn.finally(() => drawChart(target)); // the table first: it is above
  }
}, { rootMargin: "300px" });
document.querySelectorAll(".plot").forEach((box) => watcher.observe(box));

// -- which workload's answers and charts are shown
byId("workload")?.addEventListener("change", (event) => {
  for (const part of document.querySelectorAll(".of-workload")) part.hidden = part.dataset.workload !== event.target.value;
});
