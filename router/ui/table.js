// Tables from plain values. Everything goes in as text: nothing from the data is ever markup.

/**
 * A table in `host`.
 * columns: [{title, look?, cell(row, index, rows)}]; look: number | name | short | line | wide;
 * a cell is text or {text, kind?, hint?, link?, more?}; `more` stands below it.
 * Returns fill(rows, hiddenTitles), which touches the page only where something changed.
 */
export function createTable(host, { caption, columns, nothing }) {
  const table = document.createElement("table");
  table.setAttribute("role", "table");
  const name = document.createElement("caption");
  name.textContent = caption;
  const head = document.createElement("thead");
  head.setAttribute("role", "rowgroup");
  const titles = document.createElement("tr");
  titles.setAttribute("role", "row");
  const body = document.createElement("tbody");
  body.setAttribute("role", "rowgroup");
  const placeholder = document.createElement("p");
  placeholder.className = "nothing";
  placeholder.textContent = nothing;
  head.append(titles);
  table.append(name, head, body);
  host.append(placeholder, table);
  let before = null;

  function makeCell(column, value) {
    const cell = document.createElement("td");
    const { text, kind, hint, link, more } = typeof value === "string" ? { text: value } : value;
    cell.setAttribute("role", "cell");
    cell.dataset.label = column.title;
    if (column.look) cell.className = column.look;
    const inside = document.createElement(link ? "a" : "span");
    inside.textContent = text;
    if (link) inside.href = link;
    if (kind) inside.className = kind;
    if (hint) inside.title = hint;
    cell.append(inside);
    if (more) {
      const below = document.createElement("small");
      below.textContent = more;
      cell.append(below);
    }
    return cell;
  }

  return (rows, hidden = new Set()) => {
    const shown = columns.filter((column) => !hidden.has(column.title));
    const cells = rows.map((row, i) => shown.map((column) => column.cell(row, i, rows)));
    const state = JSON.stringify([shown.map((column) => column.title), cells]);
    if (state === before) return;
    before = state;
    placeholder.hidden = rows.length > 0;
    table.hidden = rows.length === 0;
    titles.replaceChildren(
      ...shown.map((column) => {
        const title = document.createElement("th");
        title.scope = "col";
        title.setAttribute("role", "columnheader");
        title.textContent = column.title;
        if (column.look) title.className = column.look;
        return title;
      }),
    );
    body.replaceChildren(
      ...cells.map((line) => {
        const row = document.createElement("tr");
        row.setAttribute("role", "row");
        row.append(...line.map((value, i) => makeCell(shown[i], value)));
        return row;
      }),
    );
  };
}
