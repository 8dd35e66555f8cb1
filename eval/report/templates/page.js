// A click on a column's head sorts the table by it; another click turns the order round.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0], at = head.cellIndex;
    const down = head.ariaSort !== "descending";
    for (const other of head.parentElement.cells) other.ariaSort = "none";
    head.ariaSort = down ? "descending" : "ascending";
    const known = (row) => row.cells[at].dataset.number ?? row.cells[at].textContent.trim();
    const compare = (a, b) => {
      const [x, y] = [known(a), known(b)], [p, q] = [parseFloat(x), parseFloat(y)];
      const [isP, isQ] = ["number" in a.cells[at].dataset, "number" in b.cells[at].dataset];
      if (isP !== isQ) return isP ? -1 : 1; // what has no number stays at the end
      return (isP ? q - p : x.localeCompare(y)) * (down ? 1 : -1);
    };
    body.append(...[...body.rows].sort(compare));
  });
}

// The controls hide rows of other families and budgets, and tables of other sets. Without scripts everything is shown.
const controls = document.querySelector("#controls");
function filter() {
  const chosen = Object.fromEntries(new FormData(controls));
  const other = (value, wanted) => Boolean(wanted && value !== undefined && value !== wanted);
  for (const row of document.querySelectorAll("tr[data-family]")) {
    row.hidden = other(row.dataset.family, chosen.family) || other(row.dataset.budget, chosen.budget);
  }
  for (const part of document.querySelectorAll(".part")) part.hidden = other(part.dataset.set, chosen["data set"]);
  for (const section of document.querySelectorAll("section:has(.part)")) section.hidden = !section.querySelector(".part:not([hidden])");
}
controls.addEventListener("change", filter);
controls.hidden = false;
filter();
