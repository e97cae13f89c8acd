/* What outlives a reload: draft, messages not yet in the transcript, what was read; per tab and person, never in a cookie. */

export const nothing = () => ({ draft: "", pending: [], read: {} });

function owner(token) { // the token changes with every page, the person in it does not
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub || token;
  } catch {
    return token;
  }
}

export function makeStore(socketUrl) {
  let name = null;
  return {
    /* Says whether this is another person than before, or the first. */
    isFor: (token) => name === `interlock:${socketUrl}:${owner(token)}`,
    isOpen: () => name !== null,
    open(token, kept) {
      name = `interlock:${socketUrl}:${owner(token)}`;
      try {
        const old = JSON.parse(sessionStorage.getItem(name));
        if (old) return { draft: kept.draft || old.draft, pending: [...old.pending, ...kept.pending], read: old.read };
      } catch { /* storage is blocked: memory will do */ }
      return kept;
    },
    write(kept) {
      try {
        if (name) sessionStorage.setItem(name, JSON.stringify(kept));
      } catch { /* as above */ }
    },
  };
}
