// Saving the chat that is open: a button in the header, and a small panel with a link for each form.
const FORMS = [["markdown", "As Markdown, to read"], ["json", "As JSON, for a program"]];

const MESSAGE = "thread";
const PAUSE_MILLISECONDS = 1500;
const thread = () => /^\/thread\/([^/]+)$/.exec(location.pathname)?.[1];

// On a narrow window Chainlit leaves the address as it was, so a page that is loaded again would have lost its chat.
// The server says which chat it is; ahead of Chainlit's own listener, which would send that back.
window.addEventListener("message", (event) => {
  if (event.source !== window || event.data?.hearth !== MESSAGE) return;
  event.stopImmediatePropagation();
  setTimeout(() => {
    if (location.pathname !== "/" || !document.querySelector("[data-step-type]")) return;
    history.replaceState(history.state, "", `/thread/${event.data.thread}`);
    keepExport();
  }, PAUSE_MILLISECONDS);
}, true);

const panel = document.createElement("dialog");
panel.id = "export-panel";
panel.setAttribute("aria-labelledby", "export-title");
const title = document.createElement("h2");
title.id = "export-title";
title.textContent = "Save this chat";
const words = document.createElement("p");
words.textContent = "Everything said here, with its sources and what you thought of the answers.";
const links = FORMS.map(([form, label]) => {
  const link = document.createElement("a");
  link.textContent = label;
  link.dataset.form = form;
  link.setAttribute("download", "");
  link.addEventListener("click", () => panel.close());
  return link;
});
const close = document.createElement("button");
close.type = "button";
close.textContent = "Cancel";
close.addEventListener("click", () => panel.close());
panel.append(title, words, ...links, close);
panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });
document.body.append(panel);

// The button in the page's header, there while a chat is open that has something in it.
export function keepExport() {
  const known = document.getElementById("export-button");
  const library = document.getElementById("library-button");
  if (known) known.hidden = !thread();
  if (known || !library || !thread()) return;
  const button = document.createElement("button");
  button.id = "export-button";
  button.type = "button";
  button.className = library.className;
  button.textContent = "Export";
  button.addEventListener("click", () => {
    for (const link of links) link.href = `/project/thread/${thread()}/export/${link.dataset.form}`;
    panel.showModal();
  });
  library.before(button);
}
