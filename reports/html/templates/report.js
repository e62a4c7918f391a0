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
    table.dataset.sorted = ""; // for a page that loads itself anew
  }

  // Filtering: a row is hidden if it lacks the text, or if its kind is not ticked.
  function filtered(form) {
    const rows = [...document.getElementById(form.dataset.table).tBodies[0].rows];
    const words = (row) => [...row.querySelectorAll("th, summary, .params, .state")].map((part) => part.textContent);
    const texts = new Map(rows.map((row) => [row, words(row).join(" ").replace(/\s+/g, " ").toLowerCase()]));
    const boxes = [...form.querySelectorAll("[type=checkbox]")];
    function show() {
      const text = form.elements.text.value.trim().toLowerCase();
      const unwanted = boxes.filter((box) => !box.checked);
      for (const row of rows) {
        row.hidden = !texts.get(row).includes(text) || unwanted.some((box) => row.dataset[box.name] === box.value);
      }
      form.querySelector("output").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    }
    form.addEventListener("input", show);
    form.addEventListener("reset", () => setTimeout(show));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    show();
  }
  document.querySelectorAll("form.filter").forEach(filtered);

  // Not every browser opens what a link leads into.
  function reveal() {
    const goal = document.getElementById(location.hash.slice(1));
    const around = goal && goal.closest("details");
    if (around) around.open = true;
  }
  addEventListener("hashchange", reveal);
  reveal();

  // On paper nothing can be opened: pictures of mistakes, and how the best trial was trained, are shown.
  addEventListener("beforeprint", () => {
    for (const drawer of document.querySelectorAll("details.mistaken, .board tr.best details")) drawer.open = true;
  });

  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) sort(table, button.parentNode);
    });
  }
})();
