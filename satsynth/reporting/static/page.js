// What a table offers where scripts run: sorting by a column, and a copy for a spreadsheet or a Markdown file. Without scripts it is whole.

/** A cell as something to sort by: its first number, or its text. */
function keyOf(cell) {
  const text = cell.textContent.replaceAll("−", "-").replaceAll("\u202f", "").trim();
  const found = /^[[+≥≤ ]*(-?[0-9]+(?:\.[0-9]+)?)/.exec(text);
  return { none: text === "–" || text === "", number: found ? Number(found[1]) : null, text };
}

function compare(one, other) {
  if (one.none || other.none) return Number(one.none) - Number(other.none);
  if (one.number !== null && other.number !== null) return one.number - other.number;
  return one.text.localeCompare(other.text, "en");
}

function sortable(table) {
  const body = table.tBodies[0];
  const before = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  if (before.length < 2) return;
  for (const [place, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      const order = next === undefined ? "ascending" : next;
      for (const other of heads) other.removeAttribute("aria-sort");
      if (order) head.setAttribute("aria-sort", order);
      const keyed = before.map((row) => [keyOf(row.cells[place]), row]);
      const sign = order === "descending" ? -1 : 1;
      // A dash stays last, whichever way the others are sorted.
      if (order) keyed.sort(([one], [other]) => (one.none || other.none ? 1 : sign) * compare(one, other));
      body.replaceChildren(...keyed.map(([, row]) => row));
    });
  }
}

function lines(table) {
  return [...table.tHead.rows, ...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
}

const FORMS = {
  TSV: (table) => lines(table).map((cells) => cells.join("\t")).join("\n"),
  Markdown: (table) => {
    const [head, ...rest] = lines(table).map((cells) => `| ${cells.map((cell) => cell.replaceAll("\\", "\\\\").replaceAll("|", "\\|")).join(" | ")} |`);
    return [head, `|${" --- |".repeat(table.tHead.rows[0].cells.length)}`, ...rest].join("\n");
  },
};

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea"); // where the clipboard is not to be had, as from some disks
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

function copyable(box, table) {
  const tools = document.createElement("div");
  const told = document.createElement("span");
  tools.className = "tools";
  told.setAttribute("role", "status");
  tools.append(told);
  for (const [name, form] of Object.entries(FORMS)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Copy as ${name}`;
    button.addEventListener("click", async () => {
      told.textContent = (await copy(form(table))) ? "Copied." : "It could not be copied; the links below lead to the files.";
    });
    tools.append(button);
  }
  box.before(tools);
}

for (const box of document.querySelectorAll(".wide")) {
  const table = box.querySelector("table");
  sortable(table);
  copyable(box, table);
}
