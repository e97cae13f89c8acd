// Copies what is shown once. Where the browser does not let us, it is selected, ready for the keys.
for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  const said = button.parentElement.querySelector("[data-copied]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    source.select();
    try {
      await navigator.clipboard.writeText(source.value);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "It is selected: press Ctrl+C or ⌘C.";
    }
  });
}
