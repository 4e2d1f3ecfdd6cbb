// The cited words marked on the PDF's page, found through the text layer that the viewer lays over the picture.
// A highlight of the browser's own: nothing in the viewer's elements is changed.
const NAME = "cited";
const LEAST_LETTERS = 12;
const seen = new WeakMap();

// Letters and digits alone: lines end, hyphens and ligatures fall differently in a PDF and in its extracted text.
const letters = (text) => (text.normalize("NFKC").toLowerCase().match(/[\p{L}\p{N}]/gu) ?? []).join("");

function lettersOf(layer) {
  const places = [];
  let text = "";
  const nodes = document.createTreeWalker(layer, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    const node = nodes.currentNode;
    let offset = 0;
    for (const character of node.data) {
      const kept = letters(character);
      text += kept;
      for (let unit = 0; unit < kept.length; unit += 1) places.push([node, offset, offset + character.length]);
      offset += character.length;
    }
  }
  return { text, places };
}

// Where the words stand on the page; of words that go on on the next page, as much of their beginning as is here.
function rangeOf(wanted, { text, places }) {
  for (let length = wanted.length; length >= Math.min(LEAST_LETTERS, wanted.length) && length > 0; length = length >> 1) {
    const at = text.indexOf(wanted.slice(0, length));
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(places[at][0], places[at][1]);
    range.setEnd(places[at + length - 1][0], places[at + length - 1][2]);
    return range;
  }
  return null;
}

export function markCited(viewer) {
  const layer = viewer.querySelector(".textLayer");
  const quote = document.querySelector("#side-view-content blockquote");
  if (!layer || !quote || !window.CSS?.highlights) return;
  // The viewer may lay the same words down anew, and a range over the ones before holds nothing then.
  const state = `${layer.childElementCount} ${quote.textContent}`;
  const before = seen.get(layer);
  if (before?.state === state && (!before.range || before.range.toString())) return;
  const range = rangeOf(letters(quote.textContent), lettersOf(layer));
  seen.set(layer, { state, range });
  if (!range) return void CSS.highlights.delete(NAME);
  CSS.highlights.set(NAME, new Highlight(range));
  range.startContainer.parentElement.scrollIntoView({ block: "center" });
}
