// Filters that live in the URL hash, sortable headers, copy buttons. Without it the page is complete and readable.
"use strict";
(() => {
  const list = document.getElementById("list");
  const form = document.getElementById("filters");
  const shown = document.getElementById("shown");
  const body = list.tBodies[0];
  const heads = [...list.tHead.rows[0].cells];
  const keys = heads.map((head) => head.dataset.key);
  const rows = [...body.rows].map((row) => {
    const cells = [...row.cells].map((cell) => cell.textContent.trim());
    const fields = Object.fromEntries(keys.map((key, i) => [key, cells[i]]));
    fields.verdict = fields.verdict.replace(/^\S+ /, ""); // its sign
    return { row, fields, text: cells.join(" ").toLowerCase() };
  });
  const ranks = { verdict: list.dataset.verdict.split("|"), grade: list.dataset.grade.split("|") };
  const numeric = { cases: (text) => Number(text.split("/")[1].replaceAll(",", "")), ulp: distance };
  let sorted = { key: "", down: false };

  function distance(text) {
    if (text === "") return -1;
    return text === "∞" || text === "NaN" ? Infinity : Number(text.replaceAll(",", ""));
  }

  function order(key) {
    if (ranks[key]) return (row) => ranks[key].indexOf(row.fields[key]);
    return numeric[key] ? (row) => numeric[key](row.fields[key]) : (row) => row.fields[key];
  }

  function sort() {
    const found = [...rows];
    if (sorted.key) {
      const value = order(sorted.key);
      const sign = sorted.down ? -1 : 1;
      found.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        return x === y ? 0 : x < y ? -sign : sign;
      });
    }
    body.append(...found.map(({ row }) => row));
    for (const head of heads) {
      if (head.dataset.key !== sorted.key) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    }
  }

  function filter() {
    const wanted = [...new FormData(form)].filter(([, value]) => value !== "");
    let count = 0;
    for (const { row, fields, text } of rows) {
      row.hidden = !wanted.every(([key, value]) =>
        key === "text" ? text.includes(value.toLowerCase()) : fields[key] === value);
      count += !row.hidden;
    }
    shown.value = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} records`;
    return wanted;
  }

  function remember() {
    const state = new URLSearchParams(filter());
    if (sorted.key) state.set("sort", (sorted.down ? "-" : "") + sorted.key);
    history.replaceState(null, "", `#${state.size ? state : "records"}`);
  }

  function recall() {
    const hash = location.hash.slice(1);
    if (hash.includes("=")) {
      const state = new URLSearchParams(hash);
      for (const field of form.elements) if (field.name) field.value = state.get(field.name) ?? "";
      const key = state.get("sort") ?? "";
      sorted = { key: key.replace("-", ""), down: key.startsWith("-") };
      if (!keys.includes(sorted.key)) sorted.key = "";
      sort();
      filter();
      document.getElementById("records").scrollIntoView();
      return;
    }
    const place = document.getElementById(hash);
    if (!place) return;
    if (place.hidden) {
      form.reset();
      filter();
    }
    for (let outer = place; outer; outer = outer.parentElement) if (outer.tagName === "DETAILS") outer.open = true;
    place.scrollIntoView();
  }

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      sorted = { key: head.dataset.key, down: sorted.key === head.dataset.key && !sorted.down };
      sort();
      remember();
    });
  }

  for (const place of document.querySelectorAll(".copied")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "copy";
    button.addEventListener("click", async () => {
      const text = place.querySelector("pre");
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(text); // no clipboard here: the reader presses the keys
        button.textContent = "selected";
      }
      setTimeout(() => (button.textContent = "copy"), 1500);
    });
    place.append(button);
  }

  // A cell of the matrix leads to its first record; with the script, to all of them.
  document.querySelector("#matrix table").addEventListener("click", (event) => {
    const link = event.target.closest("td a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const found = rows.find(({ row }) => `#${row.id}` === link.getAttribute("href"));
    if (!found) return;
    event.preventDefault();
    const { target, function: name, check } = found.fields;
    location.hash = new URLSearchParams({ target, function: name, check });
  });

  form.hidden = false;
  form.addEventListener("input", remember);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(remember));
  addEventListener("hashchange", recall);
  recall();
})();
