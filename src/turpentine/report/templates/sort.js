"use strict";
// Sort a table's lines by the column whose heading is pressed; a second press turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (button) button.addEventListener("click", () => sort(table, heads, head, column));
  });
}
function sort(table, heads, head, column) {
  const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const each of heads) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const lines = [...body.rows].map((row) => [row.cells[column].dataset.value, row]);
  lines.sort(([a], [b]) => {
    if (a === b) return 0;
    if (a === "" || b === "") return a === "" ? 1 : -1; // what has no value stays below
    return sign * (head.dataset.kind === "text" ? a.localeCompare(b) : Number(a) - Number(b));
  });
  body.append(...lines.map(([, row]) => row));
}
