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
