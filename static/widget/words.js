/* Everything that the widget says, in each of its languages. What the server wrote stays as it is. */

const EN = {
  chat: "Chat",
  chatWith: (title) => `Chat with ${title}`,
  unread: (count) => `, ${count} new`,
  newAnswer: (title) => `New answer from ${title}`,
  newCorrection: (title) => `Correction from ${title}`,
  close: "Close chat",
  conversation: "Conversation",
  greeting: "What can we do for you?",
  greetingMore: "An AI assistant answers. Some answers are checked by a colleague first.",
  newBelow: "New below",
  write: "Write a message",
  yourMessage: "Your message",
  send: "Send",
  person: "Talk to a person",
  personAsked: "I would like to talk to a person.",
  assistant: "AI assistant",
  connecting: "AI assistant · connecting…",
  notConnected: "AI assistant · not connected",
  you: "You:",
  answer: "Answer:",
  toYourQuestion: "To your question: ",
  reviewed: "Reviewed by a colleague",
  correction: "Correction to an earlier answer",
  written: "Written by a colleague",
  unsent: "Not sent yet",
  sending: "Sending…",
  sent: "Sent",
  silent: "Sent. Nothing heard back yet",
  progress: {
    checking: "Checking your message",
    thinking: "Thinking",
    waiting_for_person: "A colleague is checking this answer",
    person: "Waiting for a person",
    paused: "Answers are paused. Yours will follow",
    failed: "This answer failed",
  },
  answers: {
    flowing: "Answers come as usual again.",
    paused: "Answers are paused at the moment. What you write is kept and answered afterwards.",
    by_people: "At the moment a colleague checks every answer first. That can take longer.",
  },
  askedAgain: "This answer failed. Asked again below",
  tryAgain: "Try again",
  edit: "Edit",
  reload: "Reload the page",
  later: { unconfirmed: "Not sent yet. Trying again in", rate_limited: "Too many messages. Trying again in" },
  refused: {
    too_long: "Too long to send",
    conversation: "This conversation belongs to somebody else",
    bad_request: "Could not be sent",
  },
  errors: {
    forbidden_origin: "This page may not show this chat.",
    unauthorized: "Your sign-in for this chat has expired.",
    unavailable: "The chat is not available at the moment.",
    unknown: "Something went wrong.",
  },
  reconnecting: "Reconnecting… What you write is kept and sent afterwards.",
  offline: "You are offline. What you write is kept and sent afterwards.",
  connectingAgain: "Connecting…",
  tooLong: (over) => `${over} bytes too long to send`,
  used: (used, limit) => `${used} of ${limit} bytes`,
  rating: {
    question: "Was this answer helpful?",
    up: "Helpful",
    down: "Not helpful",
    thanks: "Thank you. You may say why.",
    why: { up: "What was good?", down: "What did not help?" },
    choices: {
      up: { correct: "Correct", clear: "Clear", complete: "Complete" },
      down: { wrong: "Wrong", unclear: "Unclear", incomplete: "Incomplete", rude: "Rude" },
    },
    more: "In your words, if you like",
    send: "Send",
    skip: "Skip",
    saved: "Thank you",
    failed: "Your rating could not be saved",
  },
  units: { h: "h", m: "m", s: "s" },
};

const DE = {
  chat: "Chat",
  chatWith: (title) => `Chat mit ${title}`,
  unread: (count) => `, ${count} neu`,
  newAnswer: (title) => `Neue Antwort von ${title}`,
  newCorrection: (title) => `Korrektur von ${title}`,
  close: "Chat schließen",
  conversation: "Gespräch",
  greeting: "Was können wir für Sie tun?",
  greetingMore: "Es antwortet ein KI-Assistent. Manche Antworten prüft vorher ein Mensch aus unserem Team.",
  newBelow: "Neues weiter unten",
  write: "Nachricht schreiben",
  yourMessage: "Ihre Nachricht",
  send: "Senden",
  person: "Mit einem Menschen sprechen",
  personAsked: "Ich möchte mit einem Menschen sprechen.",
  assistant: "KI-Assistent",
  connecting: "KI-Assistent · Verbindung wird hergestellt…",
  notConnected: "KI-Assistent · nicht verbunden",
  you: "Sie:",
  answer: "Antwort:",
  toYourQuestion: "Zu Ihrer Frage: ",
  reviewed: "Von einem Menschen geprüft",
  correction: "Korrektur zu einer früheren Antwort",
  written: "Von einem Menschen geschrieben",
  unsent: "Noch nicht gesendet",
  sending: "Wird gesendet…",
  sent: "Gesendet",
  silent: "Gesendet. Noch keine Rückmeldung",
  progress: {
    checking: "Ihre Nachricht wird geprüft",
    thinking: "Denkt nach",
    waiting_for_person: "Ein Mensch aus unserem Team prüft diese Antwort",
    person: "Wartet auf einen Menschen",
    paused: "Antworten sind gerade angehalten. Ihre folgt",
    failed: "Diese Antwort ist fehlgeschlagen",
  },
  answers: {
    flowing: "Antworten kommen wieder wie gewohnt.",
    paused: "Antworten sind gerade angehalten. Was Sie schreiben, bleibt und wird danach beantwortet.",
    by_people: "Im Moment prüft jede Antwort zuerst ein Mensch aus unserem Team. Das kann länger dauern.",
  },
  askedAgain: "Diese Antwort ist fehlgeschlagen. Unten neu gefragt",
  tryAgain: "Noch einmal",
  edit: "Ändern",
  reload: "Seite neu laden",
  later: { unconfirmed: "Noch nicht gesendet. Neuer Versuch in", rate_limited: "Zu viele Nachrichten. Neuer Versuch in" },
  refused: {
    too_long: "Zu lang zum Senden",
    conversation: "Dieses Gespräch gehört jemand anderem",
    bad_request: "Konnte nicht gesendet werden",
  },
  errors: {
    forbidden_origin: "Diese Seite darf den Chat nicht zeigen.",
    unauthorized: "Ihre Anmeldung für diesen Chat ist abgelaufen.",
    unavailable: "Der Chat ist gerade nicht erreichbar.",
    unknown: "Etwas ist schiefgegangen.",
  },
  reconnecting: "Neue Verbindung… Was Sie schreiben, bleibt und wird danach gesendet.",
  offline: "Sie sind offline. Was Sie schreiben, bleibt und wird danach gesendet.",
  connectingAgain: "Verbindung wird hergestellt…",
  tooLong: (over) => `${over} Bytes zu lang zum Senden`,
  used: (used, limit) => `${used} von ${limit} Bytes`,
  rating: {
    question: "War diese Antwort hilfreich?",
    up: "Hilfreich",
    down: "Nicht hilfreich",
    thanks: "Danke. Sie können sagen, warum.",
    why: { up: "Was war gut?", down: "Was hat nicht geholfen?" },
    choices: {
      up: { correct: "Richtig", clear: "Klar", complete: "Vollständig" },
      down: { wrong: "Falsch", unclear: "Unklar", incomplete: "Unvollständig", rude: "Unhöflich" },
    },
    more: "In Ihren Worten, wenn Sie mögen",
    send: "Senden",
    skip: "Überspringen",
    saved: "Danke",
    failed: "Ihre Bewertung konnte nicht gespeichert werden",
  },
  units: { h: "Std.", m: "Min.", s: "Sek." },
};

export const WORDS = { en: EN, de: DE };
export const LANGUAGES = Object.keys(WORDS);

/* A language tag that we have words for, such as de-AT; else nothing. */
export function localeOf(tag) {
  try {
    const [locale] = Intl.getCanonicalLocales(tag || []);
    return locale && LANGUAGES.includes(locale.split("-")[0]) ? locale : "";
  } catch {
    return "";
  }
}

export function wordsFor(locale) {
  const language = locale.split("-")[0];
  const time = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
  const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
  const { h, m, s } = WORDS[language].units;
  return {
    ...WORDS[language],
    language,
    number: (count) => count.toLocaleString(locale),
    when: (date) => (date.toDateString() === new Date().toDateString() ? time : day).format(date),
    lasting(milliseconds) {
      const seconds = Math.max(0, Math.floor(milliseconds / 1000));
      if (seconds >= 3600) return `${Math.floor(seconds / 3600)} ${h} ${Math.floor((seconds % 3600) / 60)} ${m}`;
      return seconds >= 60 ? `${Math.floor(seconds / 60)} ${m} ${seconds % 60} ${s}` : `${seconds} ${s}`;
    },
  };
}
