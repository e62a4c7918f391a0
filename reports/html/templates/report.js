(() => {
  "use strict";

  // Sorting: numbers as numbers, empty cells last whichever way it goes.
  function sort(table, heading) {
    const column = heading.cellIndex;
    const descending = heading.getAttribute("aria-sort") === "ascending";
    const key = (row) => row.cells[column].dataset.sort;
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return descending ? -order : order;
    });
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    body.append(...rows);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) sort(table, button.parentNode);
    });
  }

  // Plots: their colours are names of the page's own, looked up whenever these change.
  const figures = JSON.parse(document.getElementById("figures").textContent);

  function coloured(value, style) {
    if (typeof value === "string") {
      return value.startsWith("css:--") ? style.getPropertyValue(value.slice(4)).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, style)]));
    }
    return value;
  }

  const axis = {
    gridcolor: "css:--line", zeroline: false, linecolor: "css:--line", automargin: true,
    title: { font: { size: 13 }, standoff: 12 },
  };
  const base = {
    height: 340, margin: { l: 56, r: 16, t: 12, b: 48 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 13, color: "css:--muted" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    hoverlabel: { bgcolor: "css:--paper", bordercolor: "css:--line", font: { color: "css:--ink" } },
  };

  function draw() {
    if (typeof Plotly === "undefined") return;
    const style = getComputedStyle(document.documentElement);
    for (const [name, figure] of Object.entries(figures)) {
      const layout = { ...base, ...figure.layout };
      for (const side of ["xaxis", "yaxis"]) {
        layout[side] = { ...axis, ...figure.layout[side], title: { ...axis.title, ...figure.layout[side].title } };
      }
      Plotly.react(
        document.getElementById("plot-" + name), coloured(figure.data, style), coloured(layout, style),
        { responsive: true, displayModeBar: false },
      );
    }
    document.getElementById("js-plotly-tester")?.setAttribute("aria-hidden", "true"); // where it measures text
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("printed"); draw(); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("printed"); draw(); });
})();
