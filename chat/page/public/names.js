// Names for a screen reader where Chainlit's buttons show nothing but a picture, and a word when an answer is there.
const BY_ID = {
  "chat-input": "Message", "chat-submit": "Send", "stop-button": "Stop the answer", "upload-button": "Add documents",
  "chat-settings-open-modal": "Settings of this chat", "new-chat-button": "New chat", "user-nav-button": "Account",
  "sidebar-trigger-button": "Show or hide past chats",
};
const BY_PICTURE = {
  "chevron-left": "Page before", "chevron-right": "Next page", "zoom-in": "Larger", "zoom-out": "Smaller",
  "copy": "Copy", "check": "Copied", "thumbs-up": "Good answer", "thumbs-down": "Bad answer", "pencil": "Edit",
  "search": "Search past chats", "ellipsis": "More about this chat", "arrow-down": "To the newest message",
  "arrow-left": "Close the panel", "x": "Close", "trash": "Delete", "trash-2": "Delete", "square-pen": "New chat",
};
// Pictures without a name of their own, by the beginning of what they draw.
const BY_LINE = { "M10.75 4.25": "Search past chats", "M13.2929 4.292": "Edit this message" };
const PAUSE_MILLISECONDS = 250;

function nameOf(button) {
  const classes = [...(button.querySelector("svg")?.classList ?? [])];
  const picture = classes.map((one) => one.replace(/^lucide-/, "")).find((one) => one in BY_PICTURE);
  const line = button.querySelector("svg path")?.getAttribute("d") ?? "";
  return BY_PICTURE[picture] ?? BY_LINE[Object.keys(BY_LINE).find((start) => line.startsWith(start))];
}

const said = document.createElement("p");
said.className = "only-read";
said.setAttribute("role", "status");
document.body.append(said);
let wasAnswering = false;

function name() {
  waiting = false;
  for (const [id, words] of Object.entries(BY_ID)) document.getElementById(id)?.setAttribute("aria-label", words);
  for (const button of document.querySelectorAll("button:not([aria-label])")) {
    if (button.textContent.trim() || button.title) continue;
    const words = nameOf(button);
    if (words) button.setAttribute("aria-label", words);
  }
  // A slider is called as the label beside it.
  for (const thumb of document.querySelectorAll('[role="slider"]:not([aria-label])')) {
    let box = thumb.parentElement;
    while (box && !box.querySelector("label")) box = box.parentElement;
    const words = box?.querySelector("label").textContent.trim();
    if (words) thumb.setAttribute("aria-label", words);
  }
  // The menu of a past chat opens by its keys, once it can be reached.
  for (const menu of document.querySelectorAll("#thread-options:not([tabindex])")) {
    for (const [key, value] of [["tabindex", "0"], ["role", "button"], ["aria-label", "More about this chat"]]) {
      menu.setAttribute(key, value);
    }
  }
  // The bars of a table of probabilities repeat the number beside them.
  for (const cell of document.querySelectorAll("td:not([aria-hidden])")) {
    if (/^[█▏]+$/.test(cell.textContent)) cell.setAttribute("aria-hidden", "true");
  }
  const isAnswering = document.getElementById("stop-button") !== null;
  if (isAnswering !== wasAnswering) said.textContent = isAnswering ? "Answering …" : "The answer is there.";
  wasAnswering = isAnswering;
}

let waiting = false;
export function nameSoon() {
  if (waiting) return;
  waiting = true;
  setTimeout(name, PAUSE_MILLISECONDS);
}
