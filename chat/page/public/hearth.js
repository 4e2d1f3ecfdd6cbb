// Parts in files of their own: the library's panel and saving a chat, whose buttons are kept in the page's header,
// the marked quote, and names for a screen reader.
let keepButton = () => {};
let keepExport = () => {};
let markCited = () => {};
let nameSoon = () => {};
import("/public/library.js").then((library) => { keepButton = library.keepButton; keepButton(); });
import("/public/export.js").then((saving) => { keepExport = saving.keepExport; keepExport(); });
import("/public/highlight.js").then((highlight) => { markCited = highlight.markCited; });
import("/public/names.js").then((names) => { nameSoon = names.nameSoon; nameSoon(); });

// A click on a citation such as [1] presses the button of the same source under the same answer,
// which opens the page or passage beside the chat.
document.addEventListener("click", (event) => {
  const link = event.target.closest && event.target.closest('a[href^="#source-"]');
  if (!link) return;
  event.preventDefault();
  const answer = link.closest(".ai-message");
  const label = `[${link.getAttribute("href").slice("#source-".length)}] `;
  const buttons = answer ? [...answer.querySelectorAll("button")] : [];
  const button = buttons.find((candidate) => candidate.textContent.startsWith(label));
  if (button) button.click();
});

// A PDF page is drawn at its paper size: make it as wide as the panel. The viewer's own zoom works on top of this,
// so the width it had at first is what counts.
const firstWidth = new WeakMap();
const fit = (viewer) => {
  const paper = viewer.querySelector(".react-pdf__Document");
  const page = viewer.querySelector(".react-pdf__Page");
  const frame = viewer.querySelector(":scope > .overflow-auto");
  // A canvas that nothing was drawn on yet has a width of its own, which says nothing about the paper's.
  const drawn = parseFloat(page?.querySelector("canvas")?.style.width);
  if (!paper || !frame || !drawn) return;
  if (!firstWidth.has(paper)) firstWidth.set(paper, drawn);
  const factor = (frame.clientWidth - 32) / firstWidth.get(paper);
  paper.style.zoom = Math.min(1.5, Math.max(0.3, factor)).toFixed(3);
};
const resized = new ResizeObserver((entries) => entries.forEach((entry) => fit(entry.target)));
const known = new WeakSet();
new MutationObserver(() => {
  keepButton();
  keepExport();
  nameSoon();
  for (const viewer of document.querySelectorAll(".side-pdf")) {
    if (!known.has(viewer)) { known.add(viewer); resized.observe(viewer); }
    if (!firstWidth.has(viewer.querySelector(".react-pdf__Document"))) fit(viewer);
    markCited(viewer);
  }
}).observe(document.documentElement, { childList: true, subtree: true });
