// Puts the text of a chosen file into a field, so that it is seen before it is sent; its name, too, where one is asked for.
for (const part of document.querySelectorAll("[data-file-into]")) {
  const field = document.getElementById(part.dataset.fileInto);
  const input = part.querySelector("input");
  part.hidden = false;
  field.addEventListener("input", () => input.setCustomValidity(""));
  input.addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    if (!file) return;
    const { fileName, maxBytes } = part.dataset;
    const isTooLarge = file.size > Number(maxBytes ?? Infinity);
    target.setCustomValidity(isTooLarge ? part.dataset.tooLarge : "");
    if (!target.reportValidity()) return;
    field.value = await file.text();
    if (fileName) document.getElementById(fileName).value = file.name;
    field.focus();
  });
}
