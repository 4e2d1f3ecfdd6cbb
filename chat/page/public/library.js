// The library beside the chat. It asks the server with window messages, which Chainlit hands on, and draws the answers;
// everything shown is set as text, so nothing in a document's name is read as markup.
const QUESTION = "library";
const ANSWER = "library-state";
const FEW = 8;

const ask = (what, more = {}) => window.postMessage({ hearth: QUESTION, ask: what, ...more }, window.location.origin);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const note = element("p", { class: "library-note", role: "status" });
const body = element("tbody");
const filter = element("input", { type: "search", placeholder: "Find by name", "aria-label": "Find documents by name" });
const collection = element("select", { "aria-label": "Collection" });
const scope = element("p", { class: "library-scope", "aria-live": "polite" });
const everything = element("button", { type: "button", onclick: () => choose([]) }, "Use all");
const heading = ["Use", "Document", "Pages", "Passages", "Where", "Actions"];
const table = element("table", { "aria-label": "Documents" },
  element("thead", {}, element("tr", {}, ...heading.map((text) => element("th", { scope: "col" }, text)))), body);
const panel = element("dialog", { id: "library-panel", "aria-labelledby": "library-title" },
  element("header", {},
    element("h2", { id: "library-title", tabindex: "-1" }, "Library"),
    element("button", { type: "button", "aria-label": "Close the library", onclick: () => panel.close() }, "✕")),
  element("div", { class: "library-tools" }, collection, filter),
  note, element("div", { class: "library-rows", tabindex: "0", role: "region", "aria-label": "List of documents" }, table),
  element("footer", {}, scope, everything));
document.body.append(panel);

let rows = [];
// The document whose removal was asked for once: outside its button, because an answer of the server draws that anew.
let sure = null;
const chosen = () => rows.filter((row) => row.isChosen).map((row) => row.id);

function choose(ids) {
  for (const row of rows) row.isChosen = ids.includes(row.id);
  draw();
  ask("choose", { documents: ids });
}

const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

function removal(row) {
  // Two presses, so that no slip of a finger takes a document out; leaving the button takes the first one back.
  const button = element("button", { type: "button", "data-action": "remove", "aria-label": `Remove ${row.name}` });
  const mark = (id) => {
    sure = id;
    button.textContent = sure === row.id ? "Remove for good?" : "Remove";
    button.toggleAttribute("data-sure", sure === row.id);
  };
  mark(sure);
  button.addEventListener("blur", () => mark(null));
  button.addEventListener("click", () => {
    if (sure === row.id) return ask("remove", { document: row.id });
    mark(row.id);
    note.textContent = `Press again to remove ${row.name} for good.`;
  });
  return button;
}

function reading(row) {
  const button = element("button", {
    type: "button", "data-action": "read", "aria-label": `Read ${row.name} again`,
    onclick: () => {
      note.textContent = `${row.name} is being read …`;
      ask("read", { document: row.id });
    },
  }, "Read again");
  return button;
}

function line(row) {
  const tick = element("input", {
    type: "checkbox", "data-action": "use", "aria-label": `Limit questions to ${row.name}`, disabled: !row.isReady,
    onchange: () => choose(tick.checked ? [...chosen(), row.id] : chosen().filter((id) => id !== row.id)),
  });
  tick.checked = row.isChosen;
  const trouble = row.isReady ? null : element("small", {}, row.trouble || "cannot be read");
  return element("tr", { "data-document": row.id },
    element("td", {}, tick),
    element("th", { scope: "row" }, element("span", {}, row.name), trouble),
    element("td", {}, row.pages === null ? "–" : String(row.pages)),
    element("td", {}, String(row.passages)),
    element("td", {}, row.place, element("small", {}, `since ${row.added}`)),
    element("td", {}, reading(row), removal(row)));
}

function draw() {
  const held = document.activeElement;
  const place = held && body.contains(held)
    ? [held.closest("tr").dataset.document, held.dataset.action, [...body.children].indexOf(held.closest("tr"))] : null;
  const wanted = filter.value.trim().toLowerCase();
  const found = rows.filter((row) => row.name.toLowerCase().includes(wanted));
  const asked = found.some((row) => row.id === sure) ? sure : null;
  body.replaceChildren(...found.map(line));
  sure = asked; // the old button's blur took it back
  if (place) {
    // The same button of the same document; where it went, the next one's.
    const next = body.querySelector(`tr[data-document="${CSS.escape(place[0])}"]`)
      ?? body.children[Math.min(place[2], body.children.length - 1)];
    (next?.querySelector(`[data-action="${place[1]}"]`) ?? panel.querySelector("#library-title")).focus();
  }
  const used = chosen().length;
  everything.hidden = !used;
  scope.textContent = used
    ? `The next questions use only the ${counted(used, "ticked document")}.`
    : "Questions use all of these documents. Tick some to limit them.";
  const button = document.getElementById("library-button");
  if (button) button.textContent = used ? `Library (${used} chosen)` : "Library";
}

function take(state) {
  rows = state.rows;
  filter.hidden = rows.length <= FEW;
  collection.hidden = state.collections.length <= 1;
  collection.replaceChildren(...state.collections.map((name) => element("option", { value: name }, `Collection ${name}`)));
  collection.value = state.collection || state.collections[0];
  const more = state.total - rows.length;
  const left = more > 0 ? `The first ${rows.length} are listed; ${more} more are there and are used as well.` : "";
  draw();
  note.textContent = state.note || (sure && note.textContent) || left
    || (rows.length ? "" : "There are no documents yet. Drop some onto the chat: they belong to it until you keep them.");
  if (state.isOpened) open();
}

function open() {
  if (!panel.open) panel.showModal();
}

filter.addEventListener("input", draw);
collection.addEventListener("change", () => ask("collection", { collection: collection.value }));
panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });

// Ahead of Chainlit's own listener, which would send the answer back to the server.
window.addEventListener("message", (event) => {
  if (event.source !== window || event.data?.hearth !== ANSWER) return;
  event.stopImmediatePropagation();
  take(event.data);
}, true);

// The button in the page's header, put back whenever the page builds its header anew.
export function keepButton() {
  const help = document.getElementById("readme-button");
  if (!help || document.getElementById("library-button")) return;
  const show = () => { open(); ask("show"); };
  help.before(element("button", { id: "library-button", type: "button", class: help.className, onclick: show }, "Library"));
  draw();
}
