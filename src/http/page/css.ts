export const css = `
:root {
  --ground: #f7f6f9; --card: #ffffff; --ink: #23202b; --soft: #6b6577; --line: #e4e0ea;
  --violet: #6d4ba8; --good: #2e7d54; --warn: #a86400; --bad: #b3362c; --rest: #9a94a6;
  --good-ground: #e6f3ec; --warn-ground: #fbf0dc; --bad-ground: #fae6e4; --violet-ground: #efe9f8;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #17151c; --card: #211e28; --ink: #ece9f1; --soft: #a59eb3; --line: #353040;
    --violet: #b79aea; --good: #6cc595; --warn: #e0ae5c; --bad: #f08a80; --rest: #79728a;
    --good-ground: #1d3328; --warn-ground: #3a2e19; --bad-ground: #402322; --violet-ground: #2f2740;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body {
  margin: 0 auto; padding: 0 clamp(1rem, 3vw, 2.5rem) 4rem; max-width: 84rem;
  background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums;
}
h1, h2, h3, p, ol, ul { margin: 0; padding: 0; font-weight: inherit; font-size: inherit; }
ol, ul { list-style: none; }
code, .mono { font-family: var(--mono); font-size: .92em; }
:focus-visible { outline: 2px solid var(--violet); outline-offset: 2px; border-radius: 4px; }
.skip { position: absolute; left: -99em; }
.skip:focus { left: 1rem; top: .5rem; }

.top { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.25rem; padding: 1.5rem 0 1rem; border-bottom: 1px solid var(--line); }
.top h1 { font-size: 1.35rem; font-weight: 650; letter-spacing: -.01em; color: var(--violet); }
.summary { color: var(--soft); }
.connection { margin-left: auto; padding: .1rem .7rem; border-radius: 1rem; font-size: .85rem; background: var(--violet-ground); color: var(--violet); }
.connection[data-state=live] { background: var(--good-ground); color: var(--good); }
.connection[data-state=cut] { background: var(--bad-ground); color: var(--bad); font-weight: 600; }
body[data-state=cut] main { opacity: .55; filter: grayscale(.6); }

h2 { margin: 2rem 0 .75rem; font-size: .8rem; font-weight: 650; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); }
.notice { margin: 2rem auto; padding: 1.25rem 1.5rem; max-width: 36rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.notice .row { display: flex; gap: .5rem; margin-top: .75rem; }
input, button { font: inherit; color: inherit; padding: .45rem .7rem; border: 1px solid var(--line); border-radius: 6px; background: var(--ground); }
input { flex: 1; min-width: 0; }
button { background: var(--violet); border-color: var(--violet); color: var(--card); cursor: pointer; }
.error { color: var(--bad); margin-top: .5rem; }
.empty { color: var(--soft); padding: .75rem 0; }

.pools { display: grid; gap: 1rem; }
.pool { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.25rem 1.25rem; }
.pool-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; margin-bottom: .85rem; }
.pool-head h3 { font-size: 1.1rem; font-weight: 620; }
.pool-head .facts { color: var(--soft); font-size: .9rem; }
.hold { flex-basis: 100%; padding: .35rem .75rem; border-radius: 6px; background: var(--warn-ground); color: var(--warn); font-size: .9rem; }
.replicas { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: .6rem; }
.replica { padding: .6rem .8rem .65rem; border: 1px solid var(--line); border-left: 4px solid var(--rest); border-radius: 6px; min-width: 0; }
.replica[data-tone=good] { border-left-color: var(--good); }
.replica[data-tone=warn] { border-left-color: var(--warn); }
.replica[data-tone=bad] { border-left-color: var(--bad); background: var(--bad-ground); }
.line { display: flex; align-items: baseline; justify-content: space-between; gap: .75rem; min-width: 0; }
.line > :first-child { min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.name { font-weight: 600; }
.quiet { color: var(--soft); font-size: .85rem; }
.doing { color: var(--soft); font-size: .85rem; min-height: 1.3em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }

.tag { flex: none; padding: 0 .5rem; border-radius: 1rem; font-size: .8rem; line-height: 1.5; background: var(--violet-ground); color: var(--violet); white-space: nowrap; }
.tag[data-tone=good] { background: var(--good-ground); color: var(--good); }
.tag[data-tone=warn] { background: var(--warn-ground); color: var(--warn); }
.tag[data-tone=bad] { background: var(--bad-ground); color: var(--bad); }

.dependencies { display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin-top: .9rem; font-size: .9rem; }
.dependencies li { display: flex; gap: .5rem; align-items: baseline; }
.columns { display: grid; gap: 0 2.5rem; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); }
@media (max-width: 56rem) { .columns { grid-template-columns: minmax(0, 1fr); } }

.incidents > li { border-bottom: 1px solid var(--line); }
summary { padding: .55rem 0; cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary .line:first-child > :first-child { font-weight: 600; }
.evidence { color: var(--soft); overflow-wrap: anywhere; }
.timeline { margin: .25rem 0 1rem .3rem; padding-left: 1rem; border-left: 2px solid var(--line); }
.timeline li { position: relative; padding: .2rem 0; overflow-wrap: anywhere; font-size: .92rem; }
.timeline li::before { content: ""; position: absolute; left: calc(-1rem - 5px); top: .72em; width: 8px; height: 8px; border-radius: 50%; background: var(--rest); }
.timeline li[data-kind=sign]::before, .timeline li[data-kind=verdict]::before { background: var(--bad); }
.timeline li[data-kind=action]::before, .timeline li[data-kind=operator]::before { background: var(--violet); }
.timeline li[data-kind=outcome]::before, .timeline li[data-kind=closed]::before { background: var(--good); }
.tasks > li { padding: .4rem 0; border-bottom: 1px solid var(--line); }
@media (prefers-reduced-motion: no-preference) { main { transition: opacity .3s, filter .3s; } }
`.trimStart()
