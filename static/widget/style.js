/* The look, as sheets that only the widget's shadow root has: no page needs to allow inline styles for them. */

const LIGHT = `color-scheme: light; --paper: #f6f6f3; --surface: #fff; --sunk: #efeeea; --line: #e3e2dc; --line-strong: #c9c7be; --edge: #85827a; --ink: #1a1a17; --ink-2: #55534c; --ink-3: #6a685f; --on-ink: #fff;
  --hold: #5a45b5; --hold-bg: #eeebfb; --soft: #8a5200; --soft-bg: #fdf0d5; --stop: #b3261e; --stop-bg: #fce9e7; --lift: 0 12px 40px #1a1a1726;`;
const DARK = `color-scheme: dark; --paper: #121310; --surface: #1a1b18; --sunk: #282923; --line: #2d2e29; --line-strong: #45463f; --edge: #7d7b72; --ink: #edece6; --ink-2: #b7b5ab; --ink-3: #9c9a90; --on-ink: #151613;
  --hold: #b1a3f5; --hold-bg: #26213f; --soft: #e7b04c; --soft-bg: #35280d; --stop: #ff8a80; --stop-bg: #3d1714; --lift: 0 12px 40px #000a;`;

const dark = (rules) => `.root.dark { ${rules} } @media (prefers-color-scheme: dark) { .root.auto { ${rules} } }`;

const BASE = `
:host { display: contents !important; }
.root { all: initial; direction: ltr; font: 400 14px/1.5 Inter, system-ui, sans-serif; color: var(--ink); overflow-wrap: anywhere; ${LIGHT}
  --accent: var(--ink); --on-accent: var(--on-ink); --accent-hover: color-mix(in srgb, var(--ink) 86%, var(--paper)); --accent-edge: var(--ink); }
${dark(DARK)}
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
svg { width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; flex: none; }
button { font: 560 13px/1 Inter, system-ui, sans-serif; min-height: 36px; padding: 0 12px; border-radius: 7px; border: 1px solid var(--edge); background: var(--surface); color: var(--ink); cursor: pointer; display: inline-flex; align-items: center; justify-content: center; gap: 8px; }
button:hover { background: var(--sunk); }
button.first { background: var(--accent); color: var(--on-accent); border-color: var(--accent-edge); }
button.first:hover { background: var(--accent-hover); }
button.bare { border-color: transparent; background: none; width: 36px; padding: 0; }
button.bare:hover { background: var(--sunk); }
button.quiet { min-height: 28px; padding: 0 8px; border-color: transparent; background: none; color: var(--ink-2); font-size: 12px; }
button.quiet:hover:enabled { background: var(--sunk); color: var(--ink); }
button.quiet svg { width: 16px; height: 16px; }
button:disabled { opacity: .6; cursor: default; }
.launcher { position: fixed; right: 16px; bottom: 16px; z-index: 2147483000; height: 48px; padding: 0 18px 0 16px; border-radius: 24px; font-size: 15px; box-shadow: var(--lift); }
.launcher:focus-visible { box-shadow: 0 0 0 6px var(--surface); }
.launcher b { font-weight: 650; font-size: 12px; min-width: 20px; padding: 4px 6px; border-radius: 10px; background: var(--on-accent); color: var(--accent); font-variant-numeric: tabular-nums; }
dialog { position: fixed; inset: auto 16px 16px auto; z-index: 2147483000; width: 384px; max-width: calc(100vw - 32px); height: min(620px, calc(100dvh - 32px)); max-height: none; padding: 0; border: 1px solid var(--line-strong); border-radius: 12px; background: var(--paper); color: inherit; box-shadow: var(--lift); flex-direction: column; overflow: hidden; }
dialog[open] { display: flex; }
.left .launcher { right: auto; left: 16px; }
.left dialog { inset: auto auto 16px 16px; }
.top { display: flex; align-items: center; gap: 8px; padding: 10px 8px 10px 16px; background: var(--surface); border-bottom: 1px solid var(--line); }
.top div { flex: 1; min-width: 0; }
h2 { font-size: 16px; line-height: 1.3; font-weight: 620; letter-spacing: -.01em; }
.meta, .note, .strip, .prospects { font-size: 12px; line-height: 1.4; color: var(--ink-3); }`;

const TALK = `
.log { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; padding: 16px; display: flex; flex-direction: column; gap: 12px; outline-offset: -3px; }
.log:empty { flex: 0; padding: 0; }
.log:not(:empty) + .hello { display: none; }
.hello { flex: 1; display: grid; place-content: center; gap: 4px; padding: 24px 32px; text-align: center; color: var(--ink-2); text-wrap: balance; }
.hello strong { font-size: 16px; font-weight: 620; color: var(--ink); }
.turn { display: flex; flex-direction: column; align-items: flex-start; gap: 6px; max-width: 100%; }
.turn.user { align-items: flex-end; }
.text { white-space: pre-wrap; max-width: 86%; padding: 8px 12px; border: 1px solid var(--line); border-radius: 12px; background: var(--surface); unicode-bidi: plaintext; text-align: start; }
.user .text { background: var(--sunk); border-color: var(--line-strong); border-bottom-right-radius: 4px; }
.assistant .text { border-bottom-left-radius: 4px; }
.user.unsent .text { border-style: dashed; border-color: var(--edge); background: none; }
.quote { max-width: 86%; padding-left: 8px; border-left: 2px solid var(--line-strong); font-size: 12px; line-height: 1.4; color: var(--ink-2); display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; unicode-bidi: plaintext; }
.label { display: inline-flex; align-items: center; gap: 6px; font-size: 13px; font-weight: 620; color: var(--soft); }
.label svg { width: 16px; height: 16px; }
.correction .text { background: var(--soft-bg); border-color: var(--soft); border-left-width: 4px; }
.reviewed { display: inline-flex; align-items: center; gap: 4px; font-size: 12px; color: var(--ink-2); }
.reviewed svg { width: 14px; height: 14px; }
.foot { display: flex; align-items: center; gap: 4px; min-height: 24px; }
.user .foot { min-height: 0; }
.foot time { margin-right: 4px; font-variant-numeric: tabular-nums; }
.note { display: inline-flex; flex-wrap: wrap; align-items: center; gap: 4px 8px; max-width: 100%; }
.note.plain, .note.hold, .note.soft, .note.stop { align-self: flex-start; padding: 5px 10px; border-radius: 8px; font-weight: 560; color: var(--ink-2); background: var(--sunk); }
.note.user { align-self: flex-end; }
.note.hold { color: var(--hold); background: var(--hold-bg); }
.note.soft { color: var(--soft); background: var(--soft-bg); }
.note.stop { color: var(--stop); background: var(--stop-bg); }
.note time { font-weight: 450; font-variant-numeric: tabular-nums; white-space: nowrap; }
.note button { min-height: 28px; padding: 0 10px; font-size: 12px; }
.busy::before { content: ""; width: 21px; height: 5px; background: radial-gradient(circle closest-side, currentColor 90%, transparent) 0 0 / 7px 5px repeat-x; animation: typing 1.6s steps(3, jump-none) infinite; }
.away .busy::before { display: none; }
@keyframes typing { from { clip-path: inset(0 66% 0 0); } to { clip-path: inset(0); } }`;

const RATE = `
button.thumb { width: 28px; min-height: 28px; color: var(--ink-3); }
button.thumb svg { width: 16px; height: 16px; }
button.thumb:last-of-type svg { transform: rotate(180deg); }
button.thumb[aria-pressed="true"] { color: var(--ink); background: var(--sunk); }
button.thumb[aria-pressed="true"] svg { fill: currentColor; stroke-width: 1; }
.why { position: static; width: min(100%, 320px); padding: 12px; border: 1px solid var(--line); border-radius: 12px; background: var(--surface); display: grid; grid-template-columns: 1fr; gap: 8px; }
.why fieldset { border: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 12px; }
.why legend { font-weight: 560; padding: 0 0 4px; }
.why label { display: inline-flex; align-items: center; gap: 6px; font-size: 13px; min-height: 28px; cursor: pointer; }
.why input { accent-color: var(--ink); margin: 0; width: 16px; height: 16px; }
.why textarea { font-size: 14px; }
.why p { display: flex; gap: 8px; }
.why button { min-height: 28px; font-size: 12px; }`;

const WRITE = `
.below { position: absolute; right: 16px; bottom: 100%; margin-bottom: 8px; border-radius: 18px; }
.strip, .prospects { display: flex; align-items: center; gap: 8px; padding: 8px 16px; color: var(--soft); background: var(--soft-bg); font-weight: 560; }
.prospects.hold { color: var(--hold); background: var(--hold-bg); }
.strip.stop { color: var(--stop); background: var(--stop-bg); }
.strip span { flex: 1; }
form { position: relative; background: var(--surface); border-top: 1px solid var(--line); padding: 12px; padding-bottom: max(8px, env(safe-area-inset-bottom)); display: grid; grid-template-columns: 1fr auto; gap: 8px; align-items: end; }
textarea { font: inherit; font-size: 16px; line-height: 1.4; color: inherit; background: var(--surface); border: 1px solid var(--edge); border-radius: 7px; padding: 6px 10px; width: 100%; height: 58px; max-height: 140px; resize: none; field-sizing: content; }
@supports (field-sizing: content) { textarea { height: auto; min-height: 36px; } }
textarea:focus-visible { outline-offset: -1px; }
::placeholder { color: var(--ink-3); opacity: 1; }
.last { grid-column: 1 / -1; display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 4px 8px; margin-left: -8px; }
.count { font-variant-numeric: tabular-nums; margin-left: 8px; }
.count.over { color: var(--stop); font-weight: 560; }
@media (max-width: 480px) { .root dialog { inset: 0; width: 100%; max-width: none; height: 100dvh; border: 0; border-radius: 0; } }
@media (prefers-reduced-motion: reduce) { *, ::before { animation: none !important; } }
@media print { .root { display: none; } }`;

const tinted = ({ colour, text, hover, edge }) => `
.root { --accent: ${colour}; --on-accent: ${text}; --accent-hover: ${hover}; --accent-edge: ${edge("#ffffff")}; }
${dark(`--accent-edge: ${edge("#1a1b18")};`)}`;

export function sheetsOf(accent) {
  return [BASE + TALK + WRITE + RATE, ...(accent ? [tinted(accent)] : [])].map((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
}
