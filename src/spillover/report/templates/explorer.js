"use strict";
// Finds rows, filters the items and shows a matrix cell's numbers at the keyboard. Text reaches the page as text nodes alone.
(() => {
  const PAGE = 40;
  const INVISIBLE = /\n|\t|^ +| +$| {2,}|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gm;
  const at = (id) => document.getElementById(id);

  function make(tag, name, ...children) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    node.append(...children);
    return node;
  }

  function marked(found) {
    if (found === "\n") return ["⏎", "\n"];
    if (found === "\t") return ["⇥", ""];
    if (found[0] === " ") return ["·".repeat(found.length), ""];
    return ["‹U+" + found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "›", ""];
  }

  function put(node, text, all = true) {
    if (Array.isArray(text)) {
      put(node, text[0], all);
      node.append(make("i", "", `… ${text[1].toLocaleString("en")} characters not shown …`));
      return put(node, text[2], all);
    }
    let end = 0;
    for (const found of text.matchAll(INVISIBLE)) {
      const isPlain = !all && found[0][0] === " ";
      const [sign, rest] = isPlain ? [found[0], ""] : marked(found[0]);
      node.append(text.slice(end, found.index), isPlain ? sign : make("i", "", sign), rest);
      end = found.index + found[0].length;
    }
    node.append(text.slice(end));
    return node;
  }

  const whole = (text) => (Array.isArray(text) ? text[0] + " " + text[2] : text);
  const brief = (text) => { const all = whole(text); return all.length > 120 ? all.slice(0, 120) + "…" : all; };

  function block(text) {
    const node = make("pre");
    node.dir = "auto";
    node.tabIndex = 0;
    return put(node, text);
  }

  function unfolded(title, fill) {
    const node = make("details", "", make("summary", "", title));
    node.addEventListener("toggle", () => { if (node.childElementCount === 1) node.append(fill()); });
    return node;
  }

  function explore() {
    const data = JSON.parse(at("item-data").textContent);
    const text = (index) => data.texts[index];
    const rows = data.changes.map(([model, index, direction, base, baseScore, baseShares, own, ownScore, ownShares]) => {
      const [cell, id, prompt, ids, target, options, length] = data.items[index];
      const [task, form, shots, seed, shared, sharedIds] = data.cells[cell];
      return { model, cell, direction, id, prompt, ids, target, options, length, task, form, shots, seed, shared, sharedIds,
        base: { answer: base, score: baseScore, shares: baseShares }, own: { answer: own, score: ownScore, shares: ownShares } };
    });
    const by = Object.fromEntries(["direction", "model", "task", "shots", "label", "shortest", "longest", "text"].map((name) => [name, at("by-" + name)]));
    const several = (place) => new Set(data.cells.map((cell) => cell[place])).size > 1;
    const hasForms = several(1), hasSeeds = several(3);

    function offer(select, entries) {
      for (const [value, label] of entries) {
        const option = put(make("option"), brief(label), false);
        option.value = value;
        select.append(option);
      }
    }
    offer(by.model, data.models.map((name, index) => [index, name]));
    offer(by.task, data.tasks.map((name, index) => [index, name]).filter(([index]) => data.cells.some((cell) => cell[0] === index)));
    offer(by.shots, [...new Set(data.cells.map((cell) => cell[2]))].sort((a, b) => a - b).map((count) => [count, String(count)]));
    const labels = new Set(data.items.filter((item) => item[5].length).map((item) => item[4]));
    offer(by.label, [...labels].slice(0, 200).map((index) => [index, text(index)]));

    const lowered = new Map();
    function holds(index, wanted) {
      if (!lowered.has(index)) lowered.set(index, whole(text(index)).toLowerCase());
      return lowered.get(index).includes(wanted);
    }

    function matching() {
      const number = (field) => (field.value === "" ? null : Number(field.value));
      const direction = Number(by.direction.value), wanted = by.text.value.toLowerCase();
      const [model, task, shots, label, shortest, longest] = [by.model, by.task, by.shots, by.label, by.shortest, by.longest].map(number);
      const fits = (place, cell) => (model === null || place === model) && (task === null || data.cells[cell][0] === task) && (shots === null || data.cells[cell][2] === shots);
      const found = rows.filter((row) => fits(row.model, row.cell) && (!direction || row.direction === direction)
        && (label === null || row.target === label) && (shortest === null || row.length >= shortest) && (longest === null || row.length <= longest)
        && (!wanted || [row.id, row.prompt, row.target, row.base.answer, row.own.answer].some((index) => holds(index, wanted))));
      let count = 0;
      for (const [place, cell, worse, better] of data.counts) {
        if (fits(place, cell)) count += (direction <= 0 ? worse : 0) + (direction >= 0 ? better : 0);
      }
      const kept = rows.filter((row) => fits(row.model, row.cell) && (!direction || row.direction === direction)).length;
      return { found, count, kept };
    }

    function shares(row) {
      const table = make("table", "", make("thead", "", make("tr", "", ...["answer", "base", "variant"].map((name) => make("th", "", name)))));
      const body = make("tbody");
      row.options.forEach((index, place) => {
        const name = put(make("bdi"), text(index));
        const cells = [row.base, row.own].map((side) => make("td", "n", side.shares.length ? side.shares[place].toFixed(3) : "–"));
        body.append(make("tr", "", make("th", "", name, index === row.target ? " (reference)" : ""), ...cells));
      });
      table.append(body);
      return make("div", "scroll", table);
    }

    function inside(row) {
      const part = (title, content) => make("div", "", make("h4", "", title), content);
      const sides = make("div", "answers", part("reference", block(text(row.target))),
        part(`base, scores ${row.base.score}`, block(text(row.base.answer))), part(`variant, scores ${row.own.score}`, block(text(row.own.answer))));
      const node = make("div", "inside", sides);
      if (row.base.shares.length) node.append(shares(row));
      if (whole(text(row.shared))) node.append(unfolded("the prompt's beginning, shared by the cell", () => block(text(row.shared))));
      node.append(part("the prompt's own part", block(text(row.prompt))));
      if (row.ids < 0) node.append(make("p", "note", "Token ids were not kept."));
      else node.append(unfolded("token ids", () => make("p", "ids", whole(text(row.sharedIds)), make("i", "", " ┃ "), whole(text(row.ids)))));
      return node;
    }

    function entry(row) {
      const where = make("span", "", `${row.shots} shots` + (hasForms ? `, form ${row.form}` : "") + (hasSeeds ? `, seed ${row.seed}` : "") + " · ",
        put(make("bdi"), brief(data.models[row.model]), false), " · ", put(make("bdi"), brief(text(row.id)), false), ` · ${row.base.score} → ${row.own.score}`);
      const sign = make("b", row.direction < 0 ? "lost" : "gained", row.direction < 0 ? "▼ base better " : "▲ variant better ");
      const node = unfolded("", () => inside(row));
      node.firstChild.append(sign, put(make("bdi"), brief(data.tasks[row.task]), false), " ", where);
      return make("li", "", node);
    }

    let current = [], shown = 0;
    function more() {
      at("found-items").append(...current.slice(shown, shown + PAGE).map(entry));
      shown = Math.min(current.length, shown + PAGE);
      at("found-more").hidden = shown >= current.length;
    }
    function update() {
      const { found, count, kept } = matching();
      current = found;
      shown = 0;
      at("found-items").replaceChildren();
      const left = count - kept;
      const number = (value) => value.toLocaleString("en");
      at("found").textContent = `${number(found.length)} of the ${number(kept)} changes kept here match; ${number(count)} items changed in the chosen cells, ${number(left)} ${left === 1 ? "is" : "are"} omitted from this page.`;
      more();
    }
    for (const field of Object.values(by)) field.addEventListener("input", update);
    at("found-more").addEventListener("click", () => { const first = shown; more(); at("found-items").children[first].querySelector("summary").focus(); });
    const clear = () => { for (const field of Object.values(by)) field.value = field === by.direction ? "-1" : ""; };
    at("filter-none").addEventListener("click", () => { clear(); update(); });
    at("examples").hidden = true;
    at("explorer").hidden = false;
    update();
    return (cell) => {
      clear();
      by.direction.value = "0";
      for (const name of ["model", "task", "shots"]) by[name].value = cell.dataset[name];
      update();
      at("items").scrollIntoView();
      by.direction.focus({ preventScroll: true });
    };
  }

  function place(tip, cell) {
    const box = cell.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(box.left, window.innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = (box.bottom + tip.offsetHeight + 8 < window.innerHeight ? box.bottom + 4 : box.top - tip.offsetHeight - 4) + "px";
  }

  function walk(table, open) {
    const rows = [...table.querySelectorAll("tr")].map((row) => [...row.querySelectorAll("td.c")]).filter((cells) => cells.length);
    const tip = at("tip");
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    rows.forEach((cells, row) => cells.forEach((cell, column) => {
      cell.tabIndex = row || column ? -1 : 0;
      cell.addEventListener("focus", () => {
        tip.textContent = cell.title;
        tip.hidden = false;
        place(tip, cell);
        cell.setAttribute("aria-describedby", "tip");
      });
      cell.addEventListener("blur", () => { tip.hidden = true; cell.removeAttribute("aria-describedby"); });
      cell.addEventListener("click", () => cell.focus());
      cell.addEventListener("dblclick", () => open && open(cell));
      cell.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && open) return open(cell);
        if (event.key === "Escape") return cell.blur();
        const step = steps[event.key], next = step && rows[row + step[0]] && rows[row + step[0]][column + step[1]];
        if (!next) return;
        event.preventDefault();
        cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      });
    }));
    table.setAttribute("role", "grid");
  }

  function find(region) {
    let rows = null; // read when something is looked for, so that the page opens at once
    const field = region.querySelector(".find");
    field.hidden = false;
    field.addEventListener("input", () => {
      rows ??= [...region.querySelectorAll("tbody tr:not(.group), li")].map((row) => [row, row.textContent.toLowerCase()]);
      const wanted = field.querySelector("input").value.toLowerCase();
      for (const [row, text] of rows) row.hidden = !text.includes(wanted) && row.cells?.[0]?.textContent !== "base";
      const isEmpty = (header) => [...header.parentElement.rows].every((row) => row === header || row.hidden);
      for (const header of region.querySelectorAll("tr.group")) header.hidden = isEmpty(header);
      const found = rows.filter(([row, text]) => text.includes(wanted)).length;
      field.querySelector("output").textContent = wanted ? ` ${found} of ${rows.length}` : "";
    });
  }

  const items = at("items") && at("items").closest("details");
  let show = null;
  const explored = () => (show ??= explore()); // the items are read when they are asked for
  const open = items && ((cell) => { items.open = true; explored()(cell); });
  if (items) items.addEventListener("toggle", explored);
  for (const region of document.querySelectorAll(".searched")) find(region);
  const folds = [...document.querySelectorAll("details.fold")];
  at("open-all").hidden = !folds.length;
  at("open-all").addEventListener("click", () => { for (const fold of folds) fold.open = true; });
  for (const table of document.querySelectorAll("table.matrix")) walk(table, open);
  // A step to a cell out of view moves the page; what is told of the cell goes along.
  document.addEventListener("scroll", () => { if (!at("tip").hidden) place(at("tip"), document.activeElement); }, { passive: true, capture: true });
})();
