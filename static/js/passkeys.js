// Shows what has to do with passkeys where the browser knows them, and says in words why one was not used.
const WORDS = {
  NotAllowedError: "No passkey was used: it was cancelled, took too long, or there is none for this address. Try again, or choose another way.",
  InvalidStateError: "This passkey is one of yours already.",
  SecurityError: "The browser allows no passkeys at this address.",
  NotSupportedError: "This passkey cannot do what is asked of it. Choose another one.",
};

const isKnown = "PublicKeyCredential" in window;
for (const part of document.querySelectorAll("[data-passkeys]")) part.hidden = !isKnown;
for (const part of document.querySelectorAll("[data-no-passkeys]")) part.hidden = isKnown;

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const { name, message } = event.detail.exception;
  const place = document.getElementById("passkey-said");
  place.hidden = false;
  place.replaceChildren(Object.assign(document.createElement("p"), {
    textContent: WORDS[name] ?? `The passkey could not be used: ${message}`,
  }));
});
