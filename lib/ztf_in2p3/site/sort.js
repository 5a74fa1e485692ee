// Tables of the class sortable: a click on a title sorts by its column, a second one the other way round.
document.querySelectorAll("table.sortable th").forEach((title) => title.addEventListener("click", () => {
  const body = title.closest("table").tBodies[0], column = title.cellIndex;
  const up = title.dataset.up !== "yes";
  title.dataset.up = up ? "yes" : "no";
  const key = (row) => row.cells[column].textContent;
  const order = (a, b) => {
    const p = parseFloat(key(a)), q = parseFloat(key(b));
    const both = !Number.isNaN(p) && !Number.isNaN(q);
    return both ? p - q : key(a).localeCompare(key(b));
  };
  [...body.rows].sort((a, b) => (up ? order(a, b) : order(b, a))).forEach((row) => body.appendChild(row));
}));
