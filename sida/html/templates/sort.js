for (const table of document.querySelectorAll("table.overview")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, at) => {
    const cell = row.cells[at];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
  };
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  heads.forEach((head, at) => head.querySelector("button")?.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const rows = [...body.rows].map(row => [value(row, at), row]);
    const known = rows.filter(([v]) => v !== "\u2014");
    known.sort(([a], [b]) => rising ? compare(a, b) : compare(b, a));
    const unknown = rows.filter(([v]) => v === "\u2014");
    body.append(...[...known, ...unknown].map(([, row]) => row));
  }));
}
